"""Rules asked of some lineups at a time, given as players: where there are too many to ask all at once."""

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.diversity import Chosen, held_in
from meshd.kinds.lineups.engine.rules import Rules
from meshd.kinds.lineups.engine.task import Task


class Open:
    """What the lineups that are taken already leave open to the next one."""

    def __init__(self, task: Task, chosen: tuple[int, ...]) -> None:
        """Take the lineups chosen, by number; those given beforehand the task knows."""
        self._rules, players = task.rules, task.lineups.players
        self._chosen = Chosen(task.diversity, players, task.lineups.size)
        for lineup in task.lineups.members(np.array(chosen, np.int64)).tolist():
            self._chosen.choose(lineup)
        self._is_plain = not self._chosen.lineups and task.diversity.is_plain
        self.used_up: NDArray[np.bool_] = np.zeros(players, bool)
        """The players whom no other lineup may hold."""

        if task.diversity.most:
            self.used_up = self._chosen.uses >= np.array(task.diversity.most, np.int64)

    def keeps(self, members: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of the lineups, [lineups, players], keep all rules and are open."""
        kept = keeps(self._rules, members)
        if self._is_plain or not kept.any():
            return kept
        at = np.flatnonzero(kept)
        tell = held_in(members[at], len(self.used_up))
        kept[at] = self._chosen.answering(tell, self._chosen.leave(tell, np.ones(len(at), bool)))
        return kept


def keeps(rules: Rules, members: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of the lineups, [lineups, players], keep all rules."""
    costs = np.array(rules.salaries, np.int64)[members].sum(axis=1)
    kept = costs >= rules.floor
    if rules.cap is not None:
        kept &= costs <= rules.cap
    for group in rules.groups:
        count = _held(group.members, members, len(rules.salaries))
        fits = count >= group.least
        if group.most is not None:
            fits &= count <= group.most
        if group.when is not None:
            fits |= _held((group.when,), members, len(rules.salaries)) == 0
        kept &= fits
    for stack in rules.stacks:
        counts = [_held(choice, members, len(rules.salaries)) for choice in stack.choices]
        kept &= np.logical_or.reduce([count >= stack.least for count in counts], initial=False)
    if rules.banned:
        banned = {tuple(sorted(lineup)) for lineup in rules.banned}
        kept &= np.array([tuple(lineup) not in banned for lineup in np.sort(members, axis=1).tolist()], bool)
    return kept


def _held(players: tuple[int, ...], members: NDArray[np.int64], among: int) -> NDArray[np.int64]:
    wanted = np.zeros(among, np.int64)
    wanted[list(players)] = 1
    return wanted[members].sum(axis=1)
