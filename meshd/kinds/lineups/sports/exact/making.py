"""Making a task of a slate: golf, Formula 1 and MMA, where every lineup can be looked at."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.rules import Group, Rules
from meshd.kinds.lineups.engine.spans import Races
from meshd.kinds.lineups.engine.task import Objective, Task
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.parts import Part
from meshd.kinds.lineups.sports.players import Player, clashes_of, columns_of, parts_of
from meshd.kinds.lineups.sports.roster import PERCENT, Column, Roster

MOST_KEPT = 21_000_000
"""Sets of columns of which each has an entry, half a gigabyte: 24 fighters with an MVP, 21 drivers with a captain."""


@dataclass(frozen=True)
class Choice:
    """What lineups of an exact sport are chosen from, and the rules of the site; columns count as engine players."""

    roster: Roster
    players: tuple[Player, ...]
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    rules: Rules
    locked: tuple[int, ...]
    excluded: tuple[int, ...]

    def columns_of(self, players: Sequence[int]) -> tuple[int, ...]:
        """Return the columns of some players, whatever slot they are in."""
        return tuple(number for number, column in enumerate(self.columns) if column.player in {*players})

    @property
    def lineups(self) -> Lineups:
        """All lineups of that size, by number."""
        return Lineups(len(self.columns), self.roster.size, self.locked, self.excluded)


def choice_of(
    roster: Roster,
    players: tuple[Player, ...],
    *,
    locked: Sequence[int] = (),
    excluded: Sequence[int] = (),
    groups: Sequence[Group] = (),
    floor: int = 0,
) -> Choice:
    """Return what there is to choose from; players and groups are given by their rows.

    Raises:
        BadInput: the roster is not one of an exact sport.
    """
    if not roster.exact:
        raise BadInput(f"Lineups of {roster.sport} are too many to look at each.", field="sport")
    columns = columns_of(roster, players)
    out = {*excluded, *(number for number, player in enumerate(players) if player.is_out)}
    by_player = {number: [at for at, column in enumerate(columns) if column.player == number] for number in locked}
    fixed = tuple(at for found in by_player.values() for at in found if len(found) == 1)
    asked = [Group(some, most=most) for some, most in clashes_of(roster, players, columns)]
    # Who may fill two kinds of slot has to be in one of them.
    asked += [Group(tuple(found), least=1) for found in by_player.values() if len(found) > 1]
    choice = Choice(
        roster,
        players,
        columns,
        parts_of(roster, columns),
        Rules(tuple(column.salary for column in columns), roster.cap, floor),
        fixed,
        tuple(at for at, column in enumerate(columns) if column.player in out),
    )
    asked += [
        Group(
            choice.columns_of(group.members),
            group.least,
            group.most,
            None if group.when is None else choice.columns_of([group.when])[0],
        )
        for group in groups
    ]
    rules = Rules(choice.rules.salaries, roster.cap, floor, tuple(asked))
    return Choice(roster, players, columns, choice.parts, rules, fixed, choice.excluded)


def exact_task(
    choice: Choice,
    objective: Objective,
    diversity: Diversity,
    scenarios: int,
    bounds: tuple[int, int],
    *,
    holdout: int = 0,
) -> StreamedTask:
    """Return the task; exposures and given lineups in `diversity` are those of columns."""
    return StreamedTask(
        choice.lineups, choice.rules, diversity, objective, scenarios, bounds, holdout, parts=choice.parts
    )


def kept_task(task: StreamedTask) -> Task | None:
    """Return the task for the engine that keeps an entry for each lineup, None where there are too many.

    That engine has portfolios, too; both give the same answers to all other objectives.
    """
    if task.lineups.total > MOST_KEPT:
        return None
    groups = tuple(Group(part.columns, least=part.count, most=part.count) for part in task.parts)
    rules = task.rules
    all_rules = Rules(rules.salaries, rules.cap, rules.floor, (*rules.groups, *groups), rules.stacks, rules.banned)
    return Task(task.lineups, all_rules, task.diversity, task.objective, task.scenarios, task.bounds, task.holdout)


@dataclass(frozen=True)
class ColumnRaces:
    """Races of columns, from those of players: a captain scores half as much again, rounded down to a unit."""

    races: Races
    columns: tuple[Column, ...]

    @property
    def key(self) -> Hashable:
        """Equal for equal races."""
        return self.races.key, self.columns

    def chunk(self, number: int) -> NDArray[np.int16]:
        """Return a chunk of the races, [races, columns]."""
        return self._spread(self.races.chunk(number))

    def fresh(self, number: int) -> NDArray[np.int16]:
        """Return a chunk of other races."""
        return self._spread(self.races.fresh(number))

    def _spread(self, scores: NDArray[np.int16]) -> NDArray[np.int16]:
        percents = np.array([column.points_percent for column in self.columns], np.int32)
        found = scores[:, [column.player for column in self.columns]].astype(np.int32)
        return (found * percents // PERCENT).astype(np.int16)
