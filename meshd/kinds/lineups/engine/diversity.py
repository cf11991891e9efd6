"""How the lineups of one answer must differ: overlap, exposure, and which of them are given beforehand.

Lineups are chosen one after the other. What was chosen closes some of the others: those that share too many players
with a chosen one, and those with a player who is used up. Towards the end, players who have to appear more often may
have to be in every lineup that is left; then some are closed for want of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.ranking import Values, first
from meshd.kinds.lineups.engine.rules import held

_LOOKED_AT = 4_096
"""Lineups that are looked at first; where they do not do, eight times as many."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """What is asked of the lineups together."""

    count: int
    """How many lineups are to be chosen, those given beforehand not counted."""

    max_overlap: int | None = None
    """Players that two lineups may share at most; None: they need only differ."""

    most: tuple[int, ...] = ()
    """In how many lineups each player may be at most; empty: in all."""

    least: tuple[int, ...] = ()
    """In how many lineups each player must be at least; empty: in none."""

    given: tuple[tuple[int, ...], ...] = ()
    """Lineups that are kept, as ascending players: they overlap, and count towards each player's uses."""

    men: tuple[int, ...] = ()
    """Which man each player is, where one man is two players, himself and the captain; empty: each is his own.

    Uses are then those of the man; a lineup holds no man twice."""

    @property
    def is_plain(self) -> bool:
        """Whether the lineups only have to differ."""
        return self.max_overlap is None and not self.most and not self.least and not self.given


@dataclass(frozen=True, slots=True)
class Demand:
    """What the next lineup must hold, or too few are left to reach every `least`.

    Demands only grow: a lineup that does not answer one does not answer a later one either.
    """

    players: tuple[int, ...] = ()
    """Of these, one for each of `held` men: all of them, where each player is his own."""

    held: int = 0

    some: int = 0
    """So many of `among`, at least."""

    among: tuple[int, ...] = ()


def demand(diversity: Diversity, size: int, uses: NDArray[np.int64], left: int) -> Demand:
    """Return what the next of `left` lineups of `size` must hold, given how often each player was used."""
    if not diversity.least:
        return Demand()
    lacking = np.maximum(np.array(diversity.least, np.int64) - uses, 0)
    players = tuple(int(player) for player in np.flatnonzero(lacking >= left) if lacking[player])
    men, each = len(players), lacking
    if diversity.men:
        _, once = np.unique(np.array(diversity.men), return_index=True)
        men, each = len({diversity.men[player] for player in players}), lacking[once]
    some = int(each.sum()) - (left - 1) * size
    if some <= men:
        return Demand(players, men)
    return Demand(players, men, some, tuple(int(player) for player in np.flatnonzero(lacking)))


Held: TypeAlias = Callable[[Sequence[int]], NDArray[np.int8]]
"""Tells how many of some players each lineup holds: of all lineups, or of those that somebody is looking at."""


def held_in_all(lineups: Lineups) -> Held:
    """Return what tells it of all lineups."""
    return partial(held, lineups)


def held_in(members: NDArray[np.int64], players: int) -> Held:
    """Return what tells it of some lineups, given as players."""
    holds = np.zeros((players, len(members)), np.int8)
    for place in range(members.shape[1]):
        holds[members[:, place], np.arange(len(members))] = 1

    def tell(some: Sequence[int]) -> NDArray[np.int8]:
        return holds[list(some)].sum(axis=0, dtype=np.int8)

    return tell


class Chosen:
    """The lineups chosen so far, and what they leave open."""

    def __init__(self, diversity: Diversity, players: int, size: int) -> None:
        self._diversity = diversity
        self._size = size
        # Two lineups that share all players are one.
        self._overlap = size - 1 if diversity.max_overlap is None else min(diversity.max_overlap, size - 1)
        self._men = np.array(diversity.men, np.int64) if diversity.men else None
        self.lineups: list[tuple[int, ...]] = []
        self.uses = np.zeros(players, np.int64)
        for lineup in diversity.given:
            self.choose(lineup)

    @property
    def left(self) -> int:
        """How many lineups are still to be chosen."""
        return self._diversity.count + len(self._diversity.given) - len(self.lineups)

    def choose(self, lineup: Sequence[int]) -> None:
        """Add a lineup, given as its players."""
        self.lineups.append(tuple(lineup))
        if self._men is None:
            self.uses[list(lineup)] += 1
        else:
            self.uses += np.isin(self._men, self._men[list(lineup)])

    def open_in_all(self, lineups: Lineups, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of all lineups may be chosen next, of those that are allowed."""
        tell = held_in_all(lineups)
        return self.answering(tell, self.leave(tell, allowed))

    def demand(self) -> Demand:
        """Return what the next lineup must hold."""
        return demand(self._diversity, self._size, self.uses, self.left)

    def leave(self, tell: Held, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which lineups of the mask are not closed for good."""
        for lineup in self.lineups:
            mask = mask & (tell(lineup) <= self._overlap)
        return self._without_used_up(tell, mask)

    def leave_after_last(self, tell: Held, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the same for a mask of what was not closed before the last choice."""
        return self._without_used_up(tell, mask & (tell(self.lineups[-1]) <= self._overlap))

    def answering(self, tell: Held, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which lineups of the mask hold what the next one must hold."""
        needed = self.demand()
        if needed.players:
            mask = mask & (tell(needed.players) == needed.held)
        if needed.some:
            mask = mask & (tell(needed.among) >= needed.some)
        return mask

    def _without_used_up(self, tell: Held, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self._diversity.most:
            used_up = np.flatnonzero(self.uses >= np.array(self._diversity.most, np.int64)).tolist()
            if used_up:
                mask = mask & (tell(used_up) == 0)
        return mask


def chosen_by_value(
    lineups: Lineups,
    numbers: NDArray[np.int64],
    values: Values,
    diversity: Diversity,
) -> NDArray[np.int64]:
    """Return lineups chosen one after the other, each the first that is open, highest values first.

    `values` hold one entry for each of the numbered lineups. Fewer are returned than asked for when none is open.
    """
    if diversity.is_plain:
        return first(lineups, numbers, values, diversity.count)
    return go_on_choosing(lineups, numbers, values, Chosen(diversity, lineups.players, lineups.size))


def go_on_choosing(
    lineups: Lineups,
    numbers: NDArray[np.int64],
    values: Values,
    chosen: Chosen,
) -> NDArray[np.int64]:
    """Return which of the numbered lineups are chosen next, as long as one is open; `chosen` is told of each."""
    picks: list[int] = []
    take = 0
    while chosen.left and take < len(numbers):
        take = min(len(numbers), max(_LOOKED_AT, 8 * take))
        best = first(lineups, numbers, values, take)
        members = lineups.members(best)
        tell = held_in(members, lineups.players)
        mask = chosen.leave(tell, np.ones(take, bool))
        while chosen.left and (answers := chosen.answering(tell, mask)).any():
            at = int(answers.argmax())
            picks.append(int(best[at]))
            chosen.choose(members[at].tolist())
            mask = chosen.leave_after_last(tell, mask)
    return np.array(picks, np.int64)
