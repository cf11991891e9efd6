"""The board that chains play on: players, places, and all rules as tables of whole numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.rules import Group, Rules
from meshd.kinds.lineups.sports.annealing.site import counted_teams, keeps_site, numbered
from meshd.kinds.lineups.sports.annealing.task import AnnealedTask
from meshd.kinds.lineups.sports.exact.keeping import keeps
from meshd.kinds.lineups.sports.roster import PERCENT


@dataclass(frozen=True, eq=False)
class Board:
    """One task's tables; the last player of each table is nobody."""

    fits: NDArray[np.bool_]
    """[places, players + 1]"""

    costs: NDArray[np.int32]
    teams: NDArray[np.int32]
    """Of those who count towards a team's most; -1, -2, … for those who do not."""

    all_teams: NDArray[np.int32]
    games: NDArray[np.int32]
    holds: NDArray[np.int8]
    """[players + 1, sets]: who belongs to the sets of the bounds below."""

    least: NDArray[np.int32]
    most: NDArray[np.int32]
    when: NDArray[np.int32]
    """The player whose presence makes a bound binding; nobody where it always is."""

    stacks: NDArray[np.int8]
    """[players + 1, choices]"""

    stack_of: NDArray[np.int32]
    """Which stack each choice belongs to."""

    stack_least: NDArray[np.int32]
    anchors: NDArray[np.int32]
    """[ties, players + 1]"""

    counted: NDArray[np.int32]
    tie_least: NDArray[np.int32]

    @property
    def places(self) -> int:
        """How many players a lineup has."""
        return len(self.fits)

    @property
    def nobody(self) -> int:
        """The number that stands for no player."""
        return self.fits.shape[1] - 1


@lru_cache(maxsize=4)
def board_of(task: AnnealedTask) -> Board:
    """Return a task's board.

    Raises:
        BadInput: nobody is left for a place, or a place changes what a player scores or costs.
    """
    roster, players, nobody = task.roster, task.players, len(task.players)
    if any(slot.points_percent != PERCENT or slot.salary_percent != PERCENT for slot in roster.slots):
        raise BadInput("Captains are chosen exactly, not by annealing.", field="roster")
    fits = np.zeros((roster.size, nobody + 1), bool)
    out = set(task.excluded) | {number for number, player in enumerate(players) if player.is_out}
    for place, slot in enumerate(roster.places):
        for number, player in enumerate(players):
            fits[place, number] = number not in out and bool(set(player.positions) & set(slot.eligible))
        if not fits[place].any():
            raise BadInput(
                f"Nobody is left to play {slot.name}.", field="players", hint="Exclude fewer players at that position."
            )
    groups = [*task.groups]
    holds = np.zeros((nobody + 1, len(groups) + len(task.locked)), np.int8)
    least = [group.least for group in groups] + [1] * len(task.locked)
    most = [roster.size if group.most is None else group.most for group in groups] + [1] * len(task.locked)
    when = [nobody if group.when is None else group.when for group in groups] + [nobody] * len(task.locked)
    for at, members in enumerate([*(group.members for group in groups), *((player,) for player in task.locked)]):
        holds[list(members), at] = 1
    choices = [(at, choice) for at, stack in enumerate(task.stacks) for choice in stack.choices]
    stacks = np.zeros((nobody + 1, len(choices)), np.int8)
    for at, (_, choice) in enumerate(choices):
        stacks[list(choice), at] = 1
    return Board(
        fits,
        np.array([*(player.salary for player in players), 0], np.int32),
        numbered(counted_teams(roster, players)),
        numbered([player.team for player in players]),
        numbered([player.game for player in players]),
        holds,
        np.array(least, np.int32),
        np.array(most, np.int32),
        np.array(when, np.int32),
        stacks,
        np.array([at for at, _ in choices], np.int32),
        np.array([stack.least for stack in task.stacks], np.int32),
        np.array([(*tie.anchors, -1) for tie in task.ties], np.int32).reshape(-1, nobody + 1),
        np.array([(*tie.counted, -2) for tie in task.ties], np.int32).reshape(-1, nobody + 1),
        np.array([tie.least for tie in task.ties], np.int32),
    )


def is_lineup(task: AnnealedTask, board: Board, members: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of some lineups, [lineups, players], keep every rule of the site and of the task.

    Asked of what chains bring, in plain arithmetic that shares nothing with theirs.
    """
    groups = (*task.groups, *_locks(task), *(group for tie in task.ties for group in tie.groups()))
    salaries = tuple(player.salary for player in task.players)
    rules = Rules(salaries, task.roster.cap, task.floor, groups, task.stacks, task.banned)
    kept = keeps(rules, members) & keeps_site(task.roster, task.players, members)
    for at in np.flatnonzero(kept).tolist():
        kept[at] = placed(board, members[at].tolist()) is not None
    return kept


def _locks(task: AnnealedTask) -> tuple[Group, ...]:
    return tuple(Group((player,), least=1) for player in task.locked)


def placed(board: Board, lineup: Sequence[int]) -> list[int] | None:
    """Return the players in the order of the places that they fill, the earliest that is possible; None if none is."""
    order: list[int] = []

    def fill(place: int, left: tuple[int, ...]) -> bool:
        if place == board.places:
            return True
        for player in left:
            if board.fits[place, player]:
                order.append(player)
                if fill(place + 1, tuple(other for other in left if other != player)):
                    return True
                order.pop()
        return False

    return order if fill(0, tuple(lineup)) else None
