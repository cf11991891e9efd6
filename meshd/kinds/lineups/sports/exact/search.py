# pyright: basic
"""A search through ranges of lineups: what the bound cannot rule out is counted, the rest is certified away."""

from collections.abc import Callable, Iterator

import numpy as np

from meshd.kinds.lineups.limits import MOST_SCREENED
from meshd.kinds.lineups.sports.exact.bound import Screen
from meshd.kinds.lineups.sports.exact.counting import BlockCount, Races
from meshd.kinds.lineups.sports.exact.halves import BLOCK_ROWS, Half, Halves
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.exact.tensors import Tensors, TensorSums

_NO_FIT = 1 << 20
"""An edge beyond all columns': rows that only fill up a block."""


class Search:
    """Counts one task's ranges against one line."""

    def __init__(self, task: StreamedTask, halves: Halves, races: Races, screen: Screen | None) -> None:
        """Join the parts; `prepared` makes them."""
        self._task, self._halves, self._races, self._screen = task, halves, races, screen
        self._counting = BlockCount(races)
        self._line = task.lineups.players

    @classmethod
    def prepared(
        cls,
        task: StreamedTask,
        halves: Halves,
        chunks: list[tuple[np.ndarray, np.ndarray]],
        cancelled: Callable[[], bool],
        *,
        most_gained: int | None = None,
    ) -> "Search | None":
        """Prepare for these races, with the line of each; None when cancelled.

        With `most_gained`, the most of one race, gains are added up instead of races counted.
        """
        screen = None
        if task.lineups.players < MOST_SCREENED:
            tensors = cls._tensors(chunks, cancelled)
            if tensors is None:
                return None
            salaries = np.array([*task.rules.salaries, 0], np.int64)
            screen = Screen(tensors, halves.columns.members, halves.columns.edges, salaries)
        return cls(task, halves, Races(chunks, most_gained), screen)

    @staticmethod
    def _tensors(chunks: list[tuple[np.ndarray, np.ndarray]], cancelled: Callable[[], bool]) -> Tensors | None:
        sums = TensorSums(*_middle(chunks))
        for some_scores, some_lines in chunks:
            if cancelled():
                return None
            sums.add(some_scores, some_lines)
        return sums.tensors()

    @property
    def elements(self) -> int:
        """Lineups x races counted so far, those beside the wanted ones included."""
        return self._counting.elements

    def reaching(
        self, block: Half, required: int, used_up: np.ndarray, cancelled: Callable[[], bool]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray] | None]:
        """Yield rows, columns and counts of lineups that reach the line so often, and of some that break a rule.

        Lineups with a player who is `used_up`, [players], are left out.
        """
        missing = BLOCK_ROWS - len(block.edges)
        rows = np.pad(block.members, ((0, missing), (0, 0)), mode="edge")
        edges = np.pad(block.edges, (0, missing), constant_values=_NO_FIT)
        edges[used_up[rows].any(axis=1)] = _NO_FIT
        tile_rows = self._counting.shape.rows
        if self._screen is None:
            fits = self._halves.columns.edges > edges.reshape(-1, tile_rows).min(axis=1)[:, None]
        elif int(edges.min()) == _NO_FIT:
            return
        else:
            with_line = np.hstack([rows, np.full((len(rows), 1), self._line)])
            limits = self._task.cap, self._task.rules.floor
            average, gains = required / self._races.races, self._races.most_gained is not None
            fits = self._screen.needed(with_line, edges, average, limits, tile_rows, gains=gains)
        if used_up.any():
            fits &= ~used_up[self._halves.columns.members].any(axis=1)
        yield from self._counting.reaching(block.members, self._halves.columns.members, fits, required, cancelled)


def _middle(chunks: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, float]:
    """Return the players' means, behind them the line's negative, and the players' deviation on average."""
    races = sum(len(lines) for _, lines in chunks)
    totals = sum(scores.sum(axis=0, dtype=np.int64) for scores, _ in chunks)
    # 32 bits hold a square, and float64 their sum: all races at once as float64 take four times their own memory.
    squares = sum(np.square(scores, dtype=np.int32).sum(axis=0, dtype=np.int64) for scores, _ in chunks)
    lines = sum(int(some.sum(dtype=np.int64)) for _, some in chunks)
    means = totals / races
    deviation = float(np.sqrt(np.maximum(squares / races - means * means, 0.0)).mean())
    return np.append(means, -lines / races), deviation or 1.0
