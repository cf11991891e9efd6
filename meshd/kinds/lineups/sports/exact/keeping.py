"""Rules asked of some lineups at a time, given as players: where there are too many to ask all at once."""

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.rules import Rules


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
