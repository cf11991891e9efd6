"""One optimization of a sport with rosters, read from a resolved spec: players in a fixed order, and the task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

import msgspec

from meshd.kinds.base import Document
from meshd.kinds.lineups.demands import diversity_of, groups_of, in_columns, teams_of
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.rules import Group, Rules, Stack
from meshd.kinds.lineups.engine.task import Mean, Quantile
from meshd.kinds.lineups.problem import WHOLE
from meshd.kinds.lineups.scenarios.projections import Projection, ProjectionModel, projection_model
from meshd.kinds.lineups.scenarios.scoring import units
from meshd.kinds.lineups.sports.annealing.task import CHAINS, MOVES, AnnealedTask
from meshd.kinds.lineups.sports.entrants import Entrant, has_captain, main_rows, read_entrants
from meshd.kinds.lineups.sports.exact.making import Choice, choice_of, exact_task
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.pins import with_pins
from meshd.kinds.lineups.sports.players import Player
from meshd.kinds.lineups.sports.roster import PERCENT, Column, Roster, roster_of
from meshd.kinds.lineups.sports.rostered import MOST_UNITS, highest_score

SD_PERCENT, LEAST_SD = 40, 40
"""The standard deviation of a player of whom none is given: a share of the mean, and two points at least."""

TEAM, GAME = 0.3, 0.2
"""How much of a score goes up and down with the team, and with the game: team-mates correlate by 0.13."""


@dataclass(frozen=True, eq=False)
class SlateProblem:
    """Players are ordered by id, so that neither the answer nor a tie depends on the file's order."""

    entrants: tuple[Entrant, ...]
    roster: Roster
    model: ProjectionModel
    """Of men; a captain's row and the driver's draw one score."""

    men: tuple[int, ...]
    """The column of the model for each entrant."""

    task: StreamedTask | AnnealedTask
    choice: Choice | None
    """What lineups are chosen from, where all are looked at."""

    @property
    def drawn(self) -> tuple[Column, ...]:
        """The columns that lineups are chosen from, each told by the man whose score it has."""
        columns = () if self.choice is None else self.choice.columns
        return tuple(replace(column, player=self.men[column.player]) for column in columns)


def read_slate_problem(resolved: Document) -> SlateProblem:
    """Return the problem that a resolved spec states; the spec has been validated.

    Raises:
        BadInput: nobody is left for a place.
    """
    # Read anew for each span; told apart by all that it says.
    return _read(msgspec.json.encode(resolved))


@lru_cache(maxsize=2)
def _read(told: bytes) -> SlateProblem:
    resolved = cast("dict[str, object]", msgspec.json.decode(told))
    entrants = tuple(sorted(read_entrants(resolved["players"]), key=lambda player: player.id))
    constraints = cast("dict[str, object]", resolved["constraints"])
    roster = _narrowed(with_pins(roster_of(str(resolved["site"]), str(resolved["sport"]))), constraints)
    row = {player.id: at for at, player in enumerate(entrants)}
    model, men = _model(entrants, roster, cast("int", resolved["seed"]))
    rules = _Rules(
        groups=_groups(constraints, entrants, roster),
        floor=cast("int", constraints["salary_min"]),
        locked=_locked(entrants, roster),
        excluded=tuple(at for at, player in enumerate(entrants) if player.excluded or player.withdrawn),
        stacks=_stacks(constraints, entrants),
        banned=in_columns(constraints["exclude_lineups"], row),
        diversity=diversity_of(resolved, constraints, entrants, row),
    )
    players = tuple(_player(player) for player in entrants)
    if roster.exact:
        choice, task = _exact(roster, players, rules, resolved)
        return SlateProblem(entrants, roster, model, men, task, choice)
    task = AnnealedTask(
        roster,
        players,
        _objective(resolved),
        rules.diversity,
        cast("int", resolved["scenarios"]),
        cast("int", resolved["seed"]),
        holdout=cast("int", resolved["holdout"]),
        floor=rules.floor,
        locked=tuple(at for some in rules.locked for at in some),
        excluded=rules.excluded,
        groups=rules.groups,
        stacks=rules.stacks,
        banned=rules.banned,
        chains=CHAINS,
        moves=MOVES,
    )
    return SlateProblem(entrants, roster, model, men, task, None)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is asked of lineups, in rows."""

    groups: tuple[Group, ...]
    floor: int
    locked: tuple[tuple[int, ...], ...]
    """The rows of each man who is in every lineup."""

    excluded: tuple[int, ...]
    stacks: tuple[Stack, ...]
    banned: tuple[tuple[int, ...], ...]
    diversity: Diversity


def _exact(
    roster: Roster, players: tuple[Player, ...], rules: _Rules, resolved: Document
) -> tuple[Choice, StreamedTask]:
    choice = choice_of(
        roster,
        players,
        locked=tuple(some[0] for some in rules.locked if len(some) == 1),
        excluded=rules.excluded,
        groups=(*rules.groups, *(Group(some, least=1) for some in rules.locked if len(some) > 1)),
        floor=rules.floor,
    )
    own = choice.rules
    stacks = tuple(Stack(tuple(map(choice.columns_of, stack.choices)), stack.least) for stack in rules.stacks)
    banned = tuple(choice.columns_of(lineup) for lineup in rules.banned)
    choice = replace(choice, rules=Rules(own.salaries, own.cap, own.floor, own.groups, stacks, banned))
    scenarios, holdout = cast("int", resolved["scenarios"]), cast("int", resolved["holdout"])
    task = exact_task(
        choice,
        _objective(resolved),
        _of_columns(rules.diversity, choice),
        scenarios,
        (0, MOST_UNITS),
        holdout=holdout,
    )
    return choice, task


def _of_columns(diversity: Diversity, choice: Choice) -> Diversity:
    """Return what is asked of lineups together, said of columns; exposures are asked only where players have one."""
    return replace(
        diversity,
        most=tuple(diversity.most[column.player] for column in choice.columns) if diversity.most else (),
        least=tuple(diversity.least[column.player] for column in choice.columns) if diversity.least else (),
        given=tuple(choice.columns_of(lineup) for lineup in diversity.given),
    )


def _narrowed(roster: Roster, constraints: Mapping[str, object]) -> Roster:
    """Return the roster under the user's cap, and with no more of a team than he wants."""
    most = cast("int | None", constraints["max_from_team"])
    if roster.most_of_team is not None and most is not None:
        most = min(roster.most_of_team, most)
    return msgspec.structs.replace(
        roster,
        cap=cast("int", constraints["salary_cap"]),
        most_of_team=roster.most_of_team if most is None else most,
    )


def _player(player: Entrant) -> Player:
    return Player(
        player.id,
        player.name,
        player.positions,
        player.salary,
        player.team,
        player.game,
        units(player.avg_points),
        player.withdrawn,
    )


def _model(entrants: Sequence[Entrant], roster: Roster, seed: int) -> tuple[ProjectionModel, tuple[int, ...]]:
    """Return the model of all men, and which of them each entrant is."""
    if not has_captain(roster):
        men, column = entrants, {player.id: at for at, player in enumerate(entrants)}
        of = tuple(column[player.id] for player in entrants)
    else:
        men = sorted(main_rows(entrants, roster), key=lambda player: player.id)
        by_person = {player.person: at for at, player in enumerate(men)}
        of = tuple(by_person[player.person] for player in entrants)
    highest = highest_score(roster)
    return projection_model([_projection(player, highest) for player in men], seed=seed), of


def _projection(player: Entrant, highest: int) -> Projection:
    mean = max(0, units(player.avg_points if player.mean is None else player.mean))
    sd = max(LEAST_SD, mean * SD_PERCENT // PERCENT) if player.sd is None else units(player.sd)
    shared = [(f"team:{player.team}", TEAM)] * bool(player.team) + [(f"game:{player.game}", GAME)] * bool(player.game)
    return Projection(mean, min(sd, highest), tuple(shared), high=highest)


def _locked(entrants: Sequence[Entrant], roster: Roster) -> tuple[tuple[int, ...], ...]:
    """Return the rows of each man who is in every lineup."""
    found: dict[object, list[int]] = {}
    for at, player in enumerate(entrants):
        if player.locked:
            found.setdefault(player.person if has_captain(roster) else player.id, []).append(at)
    return tuple(map(tuple, found.values()))


def _groups(constraints: Mapping[str, object], entrants: Sequence[Entrant], roster: Roster) -> tuple[Group, ...]:
    row = {player.id: at for at, player in enumerate(entrants)}
    rows = {player.id: [at] for at, player in enumerate(entrants)}
    if has_captain(roster):
        # Who is in a group is in it as captain, too.
        persons: dict[object, list[int]] = {}
        for at, player in enumerate(entrants):
            rows[player.id] = persons.setdefault(player.person, [])
            rows[player.id].append(at)
    return groups_of(constraints, row, rows)


def _stacks(constraints: Mapping[str, object], entrants: Sequence[Entrant]) -> tuple[Stack, ...]:
    least = cast("int | None", constraints["min_from_team"])
    if least is None:
        return ()
    return (Stack(teams_of(entrants), least),)


def _objective(resolved: Document) -> Mean | Quantile:
    fields = cast("dict[str, object]", resolved["objective"])
    return Mean() if fields["kind"] == "mean" else Quantile(round(cast("float", fields["q"]) * WHOLE))
