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
from meshd.kinds.lineups.engine.task import Beat, Cover, FieldLine, Objective
from meshd.kinds.lineups.problem import objective_of
from meshd.kinds.lineups.races import moves
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
from meshd.kinds.lineups.sports.stacks import told_stack
from meshd.kinds.lineups.sports.ties import Tie, stack_of

SD_PERCENT, LEAST_SD = 40, 40
"""The standard deviation of a player of whom none is given: a share of the mean, and two points at least."""

TEAM, GAME = 0.3, 0.2
"""How much of a score goes up and down with the team, and with the game: team-mates correlate by 0.13."""


@dataclass(frozen=True, eq=False)
class SlateProblem:
    """Players are ordered by id, so that neither the answer nor a tie depends on the file's order."""

    entrants: tuple[Entrant, ...]
    players: tuple[Player, ...]
    """The same, as the engines take them."""

    roster: Roster
    """Under the user's cap, and with no more of a team than he wants."""

    model: ProjectionModel
    """Of men; a captain's row and the driver's draw one score."""

    men: tuple[int, ...]
    """The column of the model for each entrant."""

    moved: tuple[int, ...]
    """What randomness adds to each man's score, in units."""

    groups: tuple[tuple[str, Group], ...]
    """The user's, in rows, each with what he knows it by."""

    stacks: tuple[tuple[str, Stack], ...]
    locked: tuple[tuple[int, ...], ...]
    """The rows of each man who is in every lineup."""

    banned: tuple[tuple[int, ...], ...]
    """Lineups that may not come back, as the task's own players."""

    task: StreamedTask | AnnealedTask
    choice: Choice | None
    """What lineups are chosen from, where all are looked at."""

    @property
    def drawn(self) -> tuple[Column, ...]:
        """The columns that lineups are chosen from, each told by the man whose score it has."""
        columns = () if self.choice is None else self.choice.columns
        return tuple(replace(column, player=self.men[column.player]) for column in columns)

    @property
    def moved_columns(self) -> tuple[int, ...]:
        """What randomness adds to each of these: to a captain half as much again."""
        return tuple(self.moved[column.player] * column.points_percent // PERCENT for column in self.drawn)


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
    seed, randomness = cast("int", resolved["seed"]), cast("float", resolved["randomness"])
    model, men, names = _model(entrants, roster, seed, randomness)
    moved: tuple[int, ...] = tuple(moves(names, randomness, seed).tolist())
    objective = objective_of(resolved, constraints, entrants, seed)
    groups, stacks, ties = _named_rules(constraints, entrants, roster)
    rules = _Rules(
        groups=tuple(group for _, group in groups),
        floor=cast("int", constraints["salary_min"]),
        locked=_locked(entrants, roster),
        excluded=tuple(at for at, player in enumerate(entrants) if player.excluded or player.withdrawn),
        stacks=tuple(stack for _, stack in stacks),
        ties=tuple(tie for _, tie in ties),
        banned=in_columns(constraints["exclude_lineups"], row),
        diversity=diversity_of(resolved, constraints, entrants, row),
    )
    named = (*groups, *((name, group) for name, tie in ties for group in tie.groups()))
    players = tuple(_player(player) for player in entrants)
    if roster.exact:
        choice, task = _exact(roster, players, rules, resolved, objective)
        reach = max(map(abs, moved), default=0) * sum(slot.points_percent * slot.count for slot in roster.slots)
        task = replace(task, bounds=(-reach // PERCENT, MOST_UNITS))
        own = named, stacks, rules.locked, task.rules.banned
        return SlateProblem(entrants, players, roster, model, men, moved, *own, task, choice)
    task = AnnealedTask(
        roster,
        players,
        objective,
        rules.diversity,
        cast("int", resolved["scenarios"]),
        seed,
        holdout=cast("int", resolved["holdout"]),
        floor=rules.floor,
        locked=tuple(at for some in rules.locked for at in some),
        excluded=rules.excluded,
        groups=rules.groups,
        stacks=rules.stacks,
        ties=rules.ties,
        banned=rules.banned,
        chains=CHAINS,
        moves=MOVES,
    )
    own = named, stacks, rules.locked, rules.banned
    return SlateProblem(entrants, players, roster, model, men, moved, *own, task, None)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is asked of lineups, in rows."""

    groups: tuple[Group, ...]
    floor: int
    locked: tuple[tuple[int, ...], ...]
    """The rows of each man who is in every lineup."""

    excluded: tuple[int, ...]
    stacks: tuple[Stack, ...]
    ties: tuple[Tie, ...]
    banned: tuple[tuple[int, ...], ...]
    diversity: Diversity


def _exact(
    roster: Roster, players: tuple[Player, ...], rules: _Rules, resolved: Document, objective: Objective
) -> tuple[Choice, StreamedTask]:
    choice = choice_of(
        roster,
        players,
        locked=tuple(some[0] for some in rules.locked if len(some) == 1),
        excluded=rules.excluded,
        groups=(
            *rules.groups,
            *(group for tie in rules.ties for group in tie.groups()),
            *(Group(some, least=1) for some in rules.locked if len(some) > 1),
        ),
        floor=rules.floor,
    )
    own = choice.rules
    stacks = tuple(Stack(tuple(map(choice.columns_of, stack.choices)), stack.least) for stack in rules.stacks)
    banned, given = (_given_columns(choice, resolved, name) for name in ("exclude_lineups", "existing_lineups"))
    choice = replace(choice, rules=Rules(own.salaries, own.cap, own.floor, own.groups, stacks, banned))
    scenarios, holdout = cast("int", resolved["scenarios"]), cast("int", resolved["holdout"])
    task = exact_task(
        choice,
        _owned_columns(objective, choice),
        replace(_of_columns(rules.diversity, choice), given=given),
        scenarios,
        (0, MOST_UNITS),
        holdout=holdout,
    )
    return choice, task


def _owned_columns(objective: Objective, choice: Choice) -> Objective:
    """Return the objective with the ownership of players said of their columns."""
    if not isinstance(objective, Beat | Cover) or not isinstance(objective.line, FieldLine):
        return objective
    shares = objective.line.ownership
    if shares is None:
        return objective
    by_column = tuple(shares[column.player] for column in choice.columns)
    return replace(objective, line=replace(objective.line, ownership=by_column))


def _of_columns(diversity: Diversity, choice: Choice) -> Diversity:
    """Return what is asked of lineups together, said of columns; exposures are asked only where players have one."""
    return replace(
        diversity,
        most=tuple(diversity.most[column.player] for column in choice.columns) if diversity.most else (),
        least=tuple(diversity.least[column.player] for column in choice.columns) if diversity.least else (),
        men=tuple(choice.men) if len(set(choice.men)) < len(choice.men) else (),
    )


def _given_columns(choice: Choice, resolved: Document, name: str) -> tuple[tuple[int, ...], ...]:
    """Return lineups from outside in columns; who can be in two kinds of place is where he stands in the lineup."""
    row = {player.id: at for at, player in enumerate(choice.players)}
    slots = [at for at, slot in enumerate(choice.roster.slots) for _ in range(slot.count)]
    constraints = cast("dict[str, object]", resolved["constraints"])
    found: list[tuple[int, ...]] = []
    for lineup in cast("list[list[str]]", constraints[name]):
        columns: list[int] = []
        for slot, who in zip(slots, lineup, strict=True):
            his = choice.columns_of([row[who]])
            columns.append(next((at for at in his if choice.columns[at].slot == slot), his[0]))
        found.append(tuple(sorted(columns)))
    return tuple(found)


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


def _model(
    entrants: Sequence[Entrant], roster: Roster, seed: int, randomness: float
) -> tuple[ProjectionModel, tuple[int, ...], tuple[str, ...]]:
    """Return the model of all men, which of them each entrant is, and their ids."""
    if not has_captain(roster):
        men, column = entrants, {player.id: at for at, player in enumerate(entrants)}
        of = tuple(column[player.id] for player in entrants)
    else:
        men = sorted(main_rows(entrants, roster), key=lambda player: player.id)
        by_person = {player.person: at for at, player in enumerate(men)}
        of = tuple(by_person[player.person] for player in entrants)
    highest = highest_score(roster, randomness)
    model = projection_model([_projection(player, highest) for player in men], seed=seed)
    return model, of, tuple(player.id for player in men)


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


def _named_rules(
    constraints: Mapping[str, object], entrants: Sequence[Entrant], roster: Roster
) -> tuple[tuple[tuple[str, Group], ...], tuple[tuple[str, Stack], ...], tuple[tuple[str, Tie], ...]]:
    """Return the user's groups, stacks without an anchor and those with one, each with what he knows it by."""
    names = [player.name for player in entrants]
    groups = [
        (told_group(number, group, names), each)
        for number, group in enumerate(_groups(constraints, entrants, roster), start=1)
        for each in _for_each_row(group, entrants, roster)
    ]
    found = [
        (told_stack(number, stack), stack_of(stack, entrants))
        for number, stack in enumerate(cast("list[dict[str, object]]", constraints["stacks"]), start=1)
    ]
    stacks = [(name, stack) for name, stack in found if isinstance(stack, Stack)]
    least = cast("int | None", constraints["min_from_team"])
    if least is not None:
        stacks.append((f"min_from_team ({least})", Stack(teams_of(entrants), least)))
    return tuple(groups), tuple(stacks), tuple((name, tie) for name, tie in found if isinstance(tie, Tie))


def told_group(number: int, group: Group, names: Sequence[str]) -> str:
    """Return a group as a person knows it."""
    some = list(dict.fromkeys(names[at] for at in group.members))
    shown = ", ".join(some[:4]) + (", …" if len(some) > 4 else "")
    when = "" if group.when is None else f" if {names[group.when]}"
    return f"group {number} ({group.least} to {'any' if group.most is None else group.most} of {shown}{when})"


def _for_each_row(group: Group, entrants: Sequence[Entrant], roster: Roster) -> list[Group]:
    """Return a group that binds lineups with a man as one for each of his rows."""
    if group.when is None or not has_captain(roster):
        return [group]
    who = entrants[group.when].person
    return [replace(group, when=at) for at, player in enumerate(entrants) if player.person == who]


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
