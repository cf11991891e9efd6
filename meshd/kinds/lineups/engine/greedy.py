"""Choosing lineups one after the other, each for what it adds to those before, and each proven best of all.

What a lineup adds only falls as others are chosen. So an old gain is a bound: the candidate with the highest one is
looked at afresh, until the highest is a fresh one; and when that is above the best that any lineup outside the
candidates ever had, no lineup at all can add more. When it no longer is, a new pass over all lineups is due.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.diversity import Chosen, held_in
from meshd.kinds.lineups.engine.ranking import spelled

_LOOKED_AT = 16
"""Candidates looked at afresh at first."""


class Pool(Protocol):
    """What candidates score in all races, and what is reached there already."""

    def gains(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what each of these candidates would add now."""
        ...

    def take(self, row: int) -> None:
        """Add a candidate to what is reached."""
        ...


class CoverPool:
    """Candidates add races in which they reach the line and nothing chosen does. A race is one bit."""

    def __init__(self, wins: NDArray[np.uint8]) -> None:
        """Take the races not covered yet, [candidates, bytes] as `packbits` makes them."""
        padded = np.zeros((len(wins), -(-wins.shape[1] // 8) * 8), np.uint8)
        padded[:, : wins.shape[1]] = wins
        self._wins = padded.view(np.uint64)
        self._open = np.full(self._wins.shape[1], np.iinfo(np.uint64).max, np.uint64)

    def gains(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many races each of these candidates would cover."""
        found = np.empty(len(rows), np.int64)
        for part in _parts(len(rows), self._wins.shape[1]):
            still = self._wins[rows[part]]
            np.bitwise_and(still, self._open, out=still)
            found[part] = np.bitwise_count(still).sum(axis=1, dtype=np.int64)
        return found

    def take(self, row: int) -> None:
        """Cover the races of a candidate."""
        self._open &= ~self._wins[row]


class BestPool:
    """Candidates add the points by which they beat the best score there is."""

    def __init__(self, scores: NDArray[np.int16], best: NDArray[np.int16]) -> None:
        """Take what candidates score, [candidates, races], and the best score there is in each race."""
        self._scores = scores
        self._best = best.copy()
        most = int((scores.max(axis=0, initial=_LOWEST).astype(np.int32) - best).max(initial=1))
        # So many gains of one lineup fit 16 bits when added up: five times faster than 64 bits from the start.
        self._together = 1 << min(5, (65_535 // max(1, most)).bit_length() - 1)

    def gains(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the points that each of these candidates would add, over all races."""
        found = np.empty(len(rows), np.int64)
        races = len(self._best)
        even = races // self._together * self._together
        for part in _parts(len(rows), races // 4):
            above = np.maximum(self._scores[rows[part]], self._best)
            np.subtract(above, self._best, out=above)
            small = above.view(np.uint16)
            added = small[:, :even].reshape(len(above), self._together, -1).sum(axis=1, dtype=np.uint16)
            found[part] = added.sum(axis=1, dtype=np.int64) + small[:, even:].sum(axis=1, dtype=np.int64)
        return found

    def take(self, row: int) -> None:
        """Raise the best scores to those of a candidate."""
        np.maximum(self._best, self._scores[row], out=self._best)


_LOWEST = np.iinfo(np.int16).min

_WORDS = 1 << 15
"""Words of 64 bits looked at together: 256 KiB, which stay near the processor."""


def _parts(rows: int, words: int) -> Iterator[slice]:
    size = max(1, _WORDS // max(1, words))
    for first in range(0, rows, size):
        yield slice(first, min(rows, first + size))


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lineup compares: by its gain, then by its total, then by its players."""

    gain: int
    total: int
    spelled: int

    def beats(self, other: "Standing | None") -> bool:
        """Return whether it comes before the other, and may be chosen while that one waits."""
        return other is None or (self.gain, self.total, -self.spelled) > (other.gain, other.total, -other.spelled)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Lineups to choose among."""

    members: NDArray[np.int64]
    gains: NDArray[np.int64]
    """What each would add now."""

    totals: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pick:
    """One choice: which candidate, and what it added."""

    row: int
    gain: int


def choose(
    pool: Pool,
    candidates: Candidates,
    outside: Standing | None,
    chosen: Chosen,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Pick]:
    """Choose for as long as each choice beats all lineups `outside`; `chosen` is told of each.

    The first candidate is the best of all lineups, so that at least one is chosen unless none is open.
    """
    rows = np.arange(len(candidates.members))
    spelling = spelled(candidates.members)
    # Among equal gains the higher total comes first, then the earlier players: a place of its own for each.
    order = np.empty(len(rows), np.int64)
    order[np.lexsort((spelling, -candidates.totals))] = rows[::-1]
    keys = candidates.gains * len(rows) + order
    fresh = np.ones(len(rows), bool)
    tell = held_in(candidates.members, len(chosen.uses))
    mask = chosen.leave(tell, np.ones(len(rows), bool))
    picks: list[Pick] = []
    while chosen.left and not cancelled():
        answers = chosen.answering(tell, mask)
        best = _freshest(pool, keys, order, fresh, answers)
        if best is None:
            break
        gain = int(keys[best] - order[best]) // len(rows)
        if not Standing(gain, int(candidates.totals[best]), int(spelling[best])).beats(outside):
            break
        picks.append(Pick(best, gain))
        pool.take(best)
        chosen.choose(candidates.members[best].tolist())
        mask = chosen.leave_after_last(tell, mask)
        fresh[:] = False
    return picks


def _freshest(
    pool: Pool,
    keys: NDArray[np.int64],
    order: NDArray[np.int64],
    fresh: NDArray[np.bool_],
    answers: NDArray[np.bool_],
) -> int | None:
    """Return the candidate that adds most now, with its key up to date; None when none is open."""
    open_rows = np.flatnonzero(answers)
    at_once = _LOOKED_AT
    while len(open_rows):
        best = int(open_rows[keys[open_rows].argmax()])
        if fresh[best]:
            return best
        stale = open_rows[~fresh[open_rows]]
        if len(stale) > at_once:
            stale = stale[np.argpartition(keys[stale], len(stale) - at_once)[len(stale) - at_once :]]
        keys[stale] = pool.gains(stale) * len(keys) + order[stale]
        fresh[stale] = True
        # Where one lineup has lost what it had, many have: twice as many next time.
        at_once *= 2
    return None
