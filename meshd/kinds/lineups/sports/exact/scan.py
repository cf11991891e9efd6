"""The lineups with the highest sum of values, range by range: no race has to be looked at."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.partials import best_of
from meshd.kinds.lineups.sports.exact.halves import Half, Halves
from meshd.kinds.lineups.sports.exact.keeping import Open
from meshd.kinds.lineups.sports.exact.task import StreamedTask

_ROWS = 32
"""Rows at a time: three million lineups, 25 MB."""

_FIRST = 4_096
"""Lineups that are asked about the rules at first; eight times as many where too few keep them."""


_MOST = 1 << 18
"""But no more at once: they are told apart player by player, 23 MB of 88 golfers."""


class Pool:
    """The best lineups so far; their values, what orders equal ones, and the least that still gets in."""

    def __init__(self, size: int, take: int) -> None:
        """Begin empty."""
        self._take = take
        self.members: NDArray[np.int64] = np.zeros((0, size), np.int64)
        self.values: NDArray[np.int64] = np.zeros(0, np.int64)
        self.totals: NDArray[np.int64] = np.zeros(0, np.int64)

    @property
    def least(self) -> int | None:
        """The value of the last one when there is no more room, else None; equal ones may still get in."""
        return int(self.values[-1]) if len(self.values) == self._take else None

    def put(self, members: NDArray[np.int64], values: NDArray[np.int64], totals: NDArray[np.int64]) -> None:
        """Add different lineups, given as ascending players."""
        members = np.concatenate([self.members, members])
        values, totals = np.concatenate([self.values, values]), np.concatenate([self.totals, totals])
        kept = best_of(members, values, totals, self._take)
        self.members, self.values, self.totals = members[kept], values[kept], totals[kept]


class Scan:
    """Looks for the lineups with the highest values among those of some ranges."""

    def __init__(
        self,
        task: StreamedTask,
        halves: Halves,
        values: NDArray[np.int64],
        sums: NDArray[np.int64],
        open_: Open,
    ) -> None:
        """Prepare for all ranges of the halves."""
        self._task, self._halves, self._values, self._sums = task, halves, values, sums
        self._open = open_
        self._column_used_up: NDArray[np.bool_] = np.any(open_.used_up[halves.columns.members], axis=1)
        self._salaries = np.array(task.rules.salaries, np.int64)
        columns = halves.columns
        self._column_values = values[columns.members].sum(axis=1)
        self._column_costs = self._salaries[columns.members].sum(axis=1)
        # The best of the columns up to each place: what a row can reach at most.
        self._best_column = np.maximum.accumulate(self._column_values)

    def block(self, number: int, pool: Pool, cancelled: Callable[[], bool]) -> int | None:
        """Put the best of a range into the pool; return how many lineups the range has, None when cancelled."""
        block = self._halves.block(number)
        fits = columns_behind(self._halves.columns, block.edges)
        row_values = self._values[block.members].sum(axis=1)
        for first in range(0, len(row_values), _ROWS):
            if cancelled():
                return None
            rows = np.arange(first, min(first + _ROWS, len(row_values)))
            rows = rows[(fits[rows] > 0) & ~self._open.used_up[block.members[rows]].any(axis=1)]
            if pool.least is not None:
                rows = rows[row_values[rows] + self._best_column[fits[rows] - 1] >= pool.least]
            if len(rows):
                self._look(block.taken(rows), row_values[rows], fits[rows], pool)
        return int(fits.sum())

    def _look(self, rows: Half, row_values: NDArray[np.int64], fits: NDArray[np.int64], pool: Pool) -> None:
        width = int(fits.max())
        values = row_values[:, None] + self._column_values[:width]
        costs = self._salaries[rows.members].sum(axis=1)[:, None] + self._column_costs[:width]
        open_ = (costs <= self._task.cap) & (costs >= self._task.rules.floor) & (np.arange(width) < fits[:, None])
        open_ &= ~self._column_used_up[:width]
        if pool.least is not None:
            open_ &= values >= pool.least
        at = np.flatnonzero(open_)
        found = values.ravel()[at]
        for some in _from_above(found, pool):
            row, column = np.divmod(at[some], width)
            members = np.hstack([rows.members[row], self._halves.columns.members[column]])
            members.sort(axis=1)
            kept = self._open.keeps(members)
            members = members[kept]
            pool.put(members, found[some][kept], self._sums[members].sum(axis=1))


def columns_behind(columns: Half, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many columns fit each row with such an edge: always the first ones."""
    return np.searchsorted(-columns.edges, -edges)


def _from_above(values: NDArray[np.int64], pool: Pool) -> Iterator[NDArray[np.int64]]:
    """Yield where the highest values are, then the next highest, for as long as the pool wants more."""
    take, left = _FIRST, np.arange(len(values))
    while len(left):
        here = values[left]
        line = here.min() if take >= len(left) else np.partition(here, len(here) - take)[len(here) - take]
        yield left[here >= line]
        left = left[here < line]
        if pool.least is not None:
            left = left[values[left] >= pool.least]
        take = min(8 * take, _MOST)
