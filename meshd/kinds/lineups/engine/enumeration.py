"""Every lineup of a slate, numbered: a subset of players from the front of the slate and one from its back.

The slate is cut in the middle. A six-player lineup with three players on either side of the cut is a triple of the
front beside a triple of the back; one with more on one side is four from there beside the pair that is left, wherever
that reaches to. So there are three *families*, each a table with subsets of one end as columns and subsets of the
other end as rows. The back is counted from the far end, so that both ends share one order, in which the rows that go
with a column are always the first few: columns that have the same largest player form a *step*, a full rectangle.
Lineups are numbered family by family, step by step, row by row. Lineups of other sizes are cut in the same way.

Locked players are in every lineup and excluded ones in none: both are left out of the subsets, so that locking a
player leaves fewer lineups to look at, and not the same number with a test on each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.subsets import Number, add_largest, ranks, subset_sums, subsets


@dataclass(frozen=True, slots=True)
class Strip:
    """The subsets along one side of a family's table: those of `size` among the first `reach` players of one end."""

    back: bool
    """Whether players are counted from the back of the slate."""

    size: int
    reach: int

    @property
    def length(self) -> int:
        """How many subsets there are."""
        return comb(self.reach, self.size)

    def facing(self, values: NDArray[Number]) -> NDArray[Number]:
        """Return the values (players along the last axis) of the players in reach, as this end counts them."""
        return (values[..., ::-1] if self.back else values)[..., : self.reach]

    def sums(self, values: NDArray[Number]) -> NDArray[Number]:
        """Return the sum of every subset."""
        return subset_sums(self.facing(values), self.size)


@dataclass(frozen=True, slots=True)
class Step:
    """The lineups of a family whose columns have the same largest player: a full rectangle."""

    largest: int
    """The largest player of its columns; meaningless for a family that is one rectangle."""

    first_column: int
    columns: int
    rows: int
    offset: int
    """The number of the rectangle's first lineup; they follow row by row."""

    @property
    def lineups(self) -> slice:
        """The numbers of its lineups."""
        return slice(self.offset, self.offset + self.rows * self.columns)


@dataclass(frozen=True, slots=True)
class Family:
    """The lineups that are cut alike."""

    rows: Strip
    columns: Strip
    steps: tuple[Step, ...]


def families_of(players: int, size: int) -> tuple[Family, ...]:
    """Return the families of all lineups of `size` among `players`; together they hold each lineup once."""
    if players < size:
        return ()
    if size == 0:
        return (Family(Strip(False, 0, 0), Strip(True, 0, 0), (Step(0, 0, 1, 1, 0),)),)
    front = players // 2
    few = (size - 1) // 2
    many = size - few
    families: list[Family] = []
    offset = 0
    for columns in (Strip(True, many, players - front), Strip(False, many, front)):
        steps: list[Step] = []
        for largest in range(many - 1, columns.reach):
            step = Step(largest, comb(largest, many), comb(largest, many - 1), comb(players - 1 - largest, few), offset)
            if step.rows:
                steps.append(step)
                offset += step.rows * step.columns
        if steps:
            families.append(Family(Strip(not columns.back, few, players - many), columns, tuple(steps)))
    if many - few == 2:
        rows, columns = Strip(False, few + 1, front), Strip(True, few + 1, players - front)
        if rows.length and columns.length:
            families.append(Family(rows, columns, (Step(0, 0, columns.length, rows.length, offset),)))
    return tuple(families)


@dataclass(frozen=True)
class Lineups:
    """All lineups of a slate that hold the locked players and none of the excluded ones."""

    players: int
    size: int
    locked: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()

    @cached_property
    def free(self) -> NDArray[np.int64]:
        """The players that some lineups hold and others do not, ascending."""
        fixed = {*self.locked, *self.excluded}
        return np.array([player for player in range(self.players) if player not in fixed], np.int64)

    @property
    def open_places(self) -> int:
        """How many places the locked players leave."""
        return self.size - len(self.locked)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """How the lineups' free players are cut; players are counted among the free ones."""
        return families_of(len(self.free), self.open_places)

    @cached_property
    def total(self) -> int:
        """How many lineups there are."""
        return comb(len(self.free), self.open_places)

    def blocks(self) -> Iterator[tuple[Family, Step]]:
        """Yield the steps in the order of their lineups' numbers."""
        for family in self.families:
            for step in family.steps:
                yield family, step

    def sums(self, values: NDArray[Number]) -> NDArray[Number]:
        """Return, for every lineup, the sum of its players' values, in the same integer type."""
        sums = np.empty(self.total, values.dtype)
        for lineups, block in self.sums_by_range(values):
            sums[lineups] = block.ravel()
        return sums

    def sums_by_range(self, values: NDArray[Number]) -> Iterator[tuple[slice, NDArray[Number]]]:
        """Yield the same for one range of lineups after the other, [rows, columns]: all of them may be too many."""
        free = values[self.free]
        fixed = values[list(self.locked)].sum(dtype=values.dtype)
        for family in self.families:
            rows, columns = family.rows.sums(free), family.columns.sums(free) + fixed
            for step in family.steps:
                across = columns[step.first_column : step.first_column + step.columns]
                yield step.lineups, np.add(rows[: step.rows, None], across)

    def pair_sums_by_range(self, matrix: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """Yield, for the same ranges, every lineup's sum of a symmetric matrix over its ordered pairs of players."""
        locked = np.array(self.locked, np.int64)
        free = matrix[np.ix_(self.free, self.free)]
        # A locked player meets each free one twice, and every other locked one as well.
        met = 2 * matrix[np.ix_(self.free, locked)].sum(axis=1)
        fixed = matrix[np.ix_(locked, locked)].sum()
        for family in self.families:
            row_own, column_own = _own_sums(family.rows, free, met), _own_sums(family.columns, free, met) + fixed
            row_meets = family.columns.facing(family.rows.sums(free).T)
            smaller = subset_sums(row_meets[:, :-1], family.columns.size - 1) if family.columns.size else None
            for step in family.steps:
                across = slice(step.first_column, step.first_column + step.columns)
                block = 2 * _across(family.columns, step, row_meets[: step.rows], smaller)
                block += row_own[: step.rows, None]
                block += column_own[across]
                yield step.lineups, block

    def members(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the players of each numbered lineup, ascending."""
        found = np.empty((len(numbers), self.size), np.int64)
        found[:, self.open_places :] = self.locked
        for family in self.families:
            rows, columns = _strip_members(family.rows, len(self.free)), _strip_members(family.columns, len(self.free))
            offsets = np.array([step.offset for step in family.steps], np.int64)
            here = np.flatnonzero((numbers >= offsets[0]) & (numbers < family.steps[-1].lineups.stop))
            which = np.searchsorted(offsets, numbers[here], side="right") - 1
            widths = np.array([step.columns for step in family.steps], np.int64)[which]
            firsts = np.array([step.first_column for step in family.steps], np.int64)[which]
            within = numbers[here] - offsets[which]
            found[here, : family.rows.size] = self.free[rows[within // widths]]
            found[here, family.rows.size : self.open_places] = self.free[columns[firsts + within % widths]]
        found.sort(axis=1)
        return found

    def numbers(self, lineups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of each lineup, given as ascending players; -1 for those that are not numbered here."""
        place = np.full(self.players, -1, np.int64)
        place[self.free] = np.arange(len(self.free))
        place[list(self.locked)] = len(self.free)
        placed = np.sort(place[lineups], axis=1)
        # Locked players sort behind all others, excluded ones before them.
        known = (placed[:, : self.open_places] >= 0).all(axis=1) & (
            (placed == len(self.free)).sum(axis=1) == len(self.locked)
        )
        numbers = np.full(len(lineups), -1, np.int64)
        numbers[known] = _numbers(self.families, len(self.free), placed[known, : self.open_places])
        return numbers


def _own_sums(strip: Strip, matrix: NDArray[np.int64], single: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for every subset, the sum of `matrix` over its ordered pairs, and of `single` over its members."""
    members = _strip_members(strip, len(matrix))
    total = single[members].sum(axis=1)
    for one in range(strip.size):
        for other in range(strip.size):
            total += matrix[members[:, one], members[:, other]]
    return total


def _across(
    columns: Strip, step: Step, row_meets: NDArray[np.int64], smaller: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Return what the rows of a step meet in its columns: the sums over the columns' members."""
    if smaller is None:
        return np.zeros((step.rows, step.columns), np.int64)
    if step.columns == columns.length:
        sums = np.empty((step.rows, step.columns), np.int64)
        return add_largest(row_meets, smaller[: step.rows], columns.size, out=sums)
    return smaller[: step.rows, : step.columns] + row_meets[:, step.largest, None]


def _strip_members(strip: Strip, players: int) -> NDArray[np.int64]:
    members = subsets(strip.reach, strip.size)
    return players - 1 - members if strip.back else members


def _numbers(families: tuple[Family, ...], players: int, lineups: NDArray[np.int64]) -> NDArray[np.int64]:
    numbers = np.full(len(lineups), -1, np.int64)
    from_back = players - 1 - lineups[:, ::-1]
    for family in families:
        columns = (from_back if family.columns.back else lineups)[:, : family.columns.size]
        rows = (lineups if family.columns.back else from_back)[:, : family.rows.size]
        # A family holds the lineups whose columns and rows lie within reach of their ends.
        held = np.ones(len(lineups), bool)
        for members, strip in ((columns, family.columns), (rows, family.rows)):
            if strip.size:
                held &= members[:, -1] < strip.reach
        column, row = ranks(columns[held]), ranks(rows[held])
        firsts = np.array([step.first_column for step in family.steps], np.int64)
        which = np.searchsorted(firsts, column, side="right") - 1
        widths = np.array([step.columns for step in family.steps], np.int64)[which]
        offsets = np.array([step.offset for step in family.steps], np.int64)[which]
        numbers[held] = offsets + row * widths + column - firsts[which]
    return numbers
