"""What the site asks of every lineup, a rival's too: asked of many lineups at a time, in plain arithmetic."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.sports.players import Player
from meshd.kinds.lineups.sports.roster import Roster


def counted_teams(roster: Roster, players: Sequence[Player]) -> list[str]:
    """Return the team of each player who counts towards a team's most; "" for those who do not."""
    without = set(roster.not_of_team)
    return ["" if set(player.positions) & without or roster.most_of_team is None else player.team for player in players]


def numbered(names: Sequence[str]) -> NDArray[np.int32]:
    """Return a number for each name, equal for equal ones; each empty one has its own. Nobody, the last, has one."""
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(name, len(numbers)) if name else -1 - at for at, name in enumerate(names)]
    return np.array([*found, -1 - len(names)], np.int32)


def keeps_site(roster: Roster, players: Sequence[Player], members: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of some lineups, [lineups, players], keep what the site asks beyond places and cap."""
    earlier = np.tril(np.ones((roster.size, roster.size), bool), -1)

    def alike(names: Sequence[str]) -> NDArray[np.bool_]:
        numbers = numbered(names)[members]
        return numbers[:, :, None] == numbers[:, None, :]

    def different(same: NDArray[np.bool_]) -> NDArray[np.int64]:
        return (~(same & earlier).any(axis=2)).sum(axis=1)

    kept = different(members[:, :, None] == members[:, None, :]) == roster.size
    if roster.most_of_team is not None:
        kept &= alike(counted_teams(roster, players)).sum(axis=2).max(axis=1) <= roster.most_of_team
    kept &= different(alike([player.team for player in players])) >= roster.least_teams
    games = alike([player.game for player in players])
    kept &= different(games) >= roster.least_games
    if roster.most_of_game is not None:
        kept &= games.sum(axis=2).max(axis=1) <= roster.most_of_game
    return kept
