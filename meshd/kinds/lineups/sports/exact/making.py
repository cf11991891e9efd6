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
    site: tuple[Group, ...] = ()
    """The groups that the site asks for."""

    def columns_of(self, players: Sequence[int]) -> tuple[int, ...]:
        """Return the columns of some players, whatever slot they are in."""
        return tuple(number for number, column in enumerate(self.columns) if column.player in {*players})

    @property
    def men(self) -> list[int]:
        """Which man each column is: a captain listed on a row of his own is the same one."""
        numbers: dict[object, int] = {}
        if all(slot.points_percent == PERCENT for slot in self.roster.slots):
            return [column.player for column in self.columns]
        told = [(self.players[column.player].name, self.players[column.player].team) for column in self.columns]
        return [numbers.setdefault(each, len(numbers)) for each in told]

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
    site = tuple(Group(some, most=most) for some, most in clashes_of(roster, players, columns))
    asked = [*site]
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
            when,
        )
        for group in groups
        # Whoever can fill two kinds of slot binds a lineup in either.
        for when in ([None] if group.when is None else choice.columns_of([group.when]))
    ]
    rules = Rules(choice.rules.salaries, roster.cap, floor, tuple(asked))
    return Choice(roster, players, columns, choice.parts, rules, fixed, choice.excluded, site)


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
    out = {at for at, player in enumerate(choice.players) if player.is_out}
    return StreamedTask(
        choice.lineups,
        choice.rules,
        diversity,
        objective,
        scenarios,
        bounds,
        holdout,
        parts=choice.parts,
        site=choice.site,
        out=tuple(at for at, column in enumerate(choice.columns) if column.player in out),
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
    moved: tuple[int, ...] = ()
    """What randomness adds to each, in the races that choose."""

    @property
    def key(self) -> Hashable:
        """Equal for equal races."""
        return self.races.key, self.columns, self.moved

    def chunk(self, number: int) -> NDArray[np.int16]:
        """Return a chunk of the races, [races, columns]."""
        found = self._spread(self.races.chunk(number))
        return found + np.array(self.moved, np.int16) if any(self.moved) else found

    def fresh(self, number: int) -> NDArray[np.int16]:
        """Return a chunk of other races."""
        return self._spread(self.races.fresh(number))

    def _spread(self, scores: NDArray[np.int16]) -> NDArray[np.int16]:
        percents = np.array([column.points_percent for column in self.columns], np.int32)
        found = scores[:, [column.player for column in self.columns]].astype(np.int32)
        return (found * percents // PERCENT).astype(np.int16)
