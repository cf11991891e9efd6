"""Halves of lineups: the first few columns of a lineup in one table, the others in a second one.

Columns are put in an order in which the parts of a roster follow each other. The first half of a lineup's columns is
then a row, the second half a column of one large table. Where the cut falls inside a part, a row fits those columns
that begin behind its last player: its *edge* tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.subsets import subsets
from meshd.kinds.lineups.sports.parts import Part

BLOCK_ROWS = 512
"""Rows in a range of lineups: whole tiles of any shape; all golf lineups of 88 players are 214 of them."""

MAX_HALVES = 4_000_000
"""Half lineups of one kind; three of 288 golfers."""


@dataclass(frozen=True, slots=True, eq=False)
class Half:
    """One side of the table."""

    members: NDArray[np.int64]
    """[halves, players]"""

    edges: NDArray[np.int64]
    """Of a row, the place in the cut part of its last player; of a column, that of its first one."""

    def taken(self, which: NDArray[np.int64]) -> "Half":
        """Return some of the halves."""
        return Half(self.members[which], self.edges[which])


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """All lineups: every row with each of the columns whose edge is larger."""

    rows: Half
    columns: Half

    @property
    def blocks(self) -> int:
        """How many ranges the lineups are cut into."""
        return -(-len(self.rows.edges) // BLOCK_ROWS)

    def block(self, number: int) -> Half:
        """Return the rows of one range."""
        rows = slice(number * BLOCK_ROWS, (number + 1) * BLOCK_ROWS)
        return Half(self.rows.members[rows], self.rows.edges[rows])


def halves_of(
    parts: Sequence[Part], locked: Sequence[int], excluded: Sequence[int], values: NDArray[np.int64]
) -> Halves:
    """Return the lineups of a roster; players of high value are met first, which only decides what is soon ruled out.

    Raises:
        BadInput: a part has too few columns left, or there are too many lineups.
    """
    places: list[tuple[NDArray[np.int64], int]] = []
    for part in parts:
        free = np.array([column for column in part.columns if column not in {*locked, *excluded}], np.int64)
        count = part.count - sum(1 for column in locked if column in part.columns)
        if count < 0 or count > len(free):
            raise BadInput(
                f"{part.count} of {len(part.columns)} players are needed, {len(free)} are free and "
                f"{part.count - count} locked.",
                hint="Lock or exclude fewer players.",
            )
        places.append((free[np.lexsort((free, -values[free]))], count))
    wanted = sum(count for _, count in places)
    cut_at = (wanted + 1) // 2
    before: list[tuple[NDArray[np.int64], int]] = []
    behind: list[tuple[NDArray[np.int64], int]] = []
    cut: tuple[NDArray[np.int64], int, int] | None = None
    for columns, count in places:
        taken = min(count, max(0, cut_at))
        cut_at -= taken
        if 0 < taken < count:
            cut = columns, taken, count - taken
        else:
            (before if taken else behind).append((columns, count))
    first, last = (None, None) if cut is None else ((cut[0], cut[1]), (cut[0], cut[2]))
    rows, columns = _half(before, first, locked, last=True), _half(behind, last, (), last=False)
    # The best rows of an edge together: what rules one of them out then rules out its neighbours.
    order = np.lexsort((-values[rows.members].sum(axis=1), rows.edges))
    return Halves(rows.taken(order), columns.taken(np.argsort(-columns.edges, kind="stable")))


def _half(
    whole: list[tuple[NDArray[np.int64], int]],
    cut: tuple[NDArray[np.int64], int] | None,
    locked: Sequence[int],
    *,
    last: bool,
) -> Half:
    """Return all choices from some parts, with so many from the part that is cut, and the locked columns."""
    sizes = [comb(len(columns), count) for columns, count in [*whole, *([cut] if cut else [])]]
    total = int(np.prod(sizes, dtype=np.float64))
    if total > MAX_HALVES:
        raise BadInput(f"Half a lineup can be filled in {total:,} ways.", hint="Exclude players who will not be taken.")
    members = np.array([list(locked)], np.int64)
    for columns, count in whole:
        members = _crossed(members, columns[subsets(len(columns), count)])
    edges = np.full(len(members), -1 if last else 0, np.int64)
    if cut is not None:
        chosen = subsets(len(cut[0]), cut[1])
        edges = np.tile(chosen[:, -1 if last else 0], len(members))
        members = _crossed(members, cut[0][chosen])
    return Half(members, edges)


def _crossed(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each of some choices with each of the others."""
    return np.hstack([np.repeat(some, len(others), axis=0), np.tile(others, (len(some), 1))])
