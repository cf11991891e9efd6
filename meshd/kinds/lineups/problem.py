"""One optimization, read from a resolved spec: drivers in a fixed order, their races, and the engine's task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import msgspec

from meshd.kinds.base import Document
from meshd.kinds.lineups.demands import diversity_of, groups_of, in_columns, teams_of
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.rules import Group, Rules, Stack
from meshd.kinds.lineups.engine.steps import Score
from meshd.kinds.lineups.engine.task import (
    Beat,
    Cover,
    ExpectedMax,
    FieldLine,
    LineSpec,
    Mean,
    Objective,
    Quantile,
    Task,
)
from meshd.kinds.lineups.input.listed import read_documents
from meshd.kinds.lineups.input.players import Player
from meshd.kinds.lineups.memory import MIB
from meshd.kinds.lineups.races import moves
from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.field import race_model
from meshd.kinds.lineups.scenarios.model import RaceModel
from meshd.kinds.lineups.scenarios.scoring import LINEUP_UNITS, SCORING, units
from meshd.kinds.lineups.scenarios.tracks import read_track

WHOLE = 100_000
"""The whole, in the thousandths of a percent that the engine names quantiles in."""

_LEAST_OWNED = 0.001
"""A share that a player has at least, of whom no other is given: somebody takes everybody."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Drivers are ordered by id, so that neither the answer nor a tie depends on the file's order."""

    players: tuple[Player, ...]
    model: RaceModel
    moved: tuple[int, ...]
    """What randomness adds to each driver's score, in units."""

    task: Task
    groups: int
    """How many of the rules' groups are the user's; those behind are of teams."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The drivers' ids, by column."""
        return tuple(player.id for player in self.players)


def read_problem(resolved: Document) -> Problem:
    """Return the problem that a resolved spec states; the spec has been validated.

    Raises:
        BadInput: no race can be simulated with this field.
    """
    return _problem(msgspec.json.encode(resolved))


@lru_cache(maxsize=2)
def _problem(told: bytes) -> Problem:
    # A job reads its problem anew for every span.
    resolved = msgspec.json.decode(told, type=dict[str, object])
    players = tuple(sorted(read_documents(resolved["drivers"]), key=lambda player: player.id))
    constraints = cast("dict[str, object]", resolved["constraints"])
    column = {player.id: at for at, player in enumerate(players)}
    seed = cast("int", resolved["seed"])
    moved: list[int] = moves(tuple(column), cast("float", resolved["randomness"]), seed).tolist()
    own_groups, teams = groups_of(constraints, column), teams_of(players)
    most_of_team = cast("int | None", constraints["max_from_team"])
    least_of_team = cast("int | None", constraints["min_from_team"])
    size = cast("int", constraints["roster_size"])
    rules = Rules(
        salaries=tuple(player.salary for player in players),
        cap=cast("int", constraints["salary_cap"]),
        floor=cast("int", constraints["salary_min"]),
        groups=(
            *own_groups,
            *(
                Group(team, most=most_of_team)
                for team in teams
                if most_of_team is not None and len(team) > most_of_team
            ),
        ),
        stacks=() if least_of_team is None else (Stack(teams, least_of_team),),
        banned=in_columns(constraints["exclude_lineups"], column),
    )
    reach = size * max(map(abs, moved), default=0)
    task = Task(
        lineups=Lineups(
            len(players),
            size,
            locked=tuple(at for at, player in enumerate(players) if player.locked),
            excluded=tuple(at for at, player in enumerate(players) if player.excluded or player.withdrawn),
        ),
        rules=rules,
        diversity=diversity_of(resolved, constraints, players, column),
        objective=objective_of(resolved, constraints, players, seed),
        scenarios=cast("int", resolved["scenarios"]),
        bounds=(LINEUP_UNITS[0] - reach, LINEUP_UNITS[1] + reach),
        holdout=cast("int", resolved["holdout"]),
        memory_bytes=_memory_bytes(resolved),
    )
    return Problem(players, _model(resolved, players, seed), tuple(moved), task, len(own_groups))


def _memory_bytes(resolved: Document) -> int | None:
    limit = cast("dict[str, int | None]", resolved["limits"])["memory_mb"]
    return None if limit is None else limit * MIB


def _model(resolved: Document, players: Sequence[Player], seed: int) -> RaceModel:
    return race_model(
        [
            Entry(
                salary=player.salary,
                average=units(player.avg_points),
                start=player.start_position,
                skill=player.skill,
                mean=None if player.mean is None else units(player.mean),
                sd=None if player.sd is None else units(player.sd),
                withdrawn=player.withdrawn,
            )
            for player in players
        ],
        track=read_track(cast("dict[str, object]", resolved["model"])),
        scoring=SCORING[str(resolved["site"])],
        seed=seed,
    )


def objective_of(
    resolved: Document, constraints: Mapping[str, object], players: Sequence[Player], seed: int
) -> Objective:
    """Return what lineups are chosen by; ownership is that of the players, in their order."""
    fields = cast("dict[str, object]", resolved["objective"])
    match fields["kind"]:
        case "mean":
            return Mean()
        case "quantile":
            return Quantile(round(cast("float", fields["q"]) * WHOLE))
        case "p_beat" | "p_top_field":
            return Beat(_line(fields, constraints, players, seed))
        case "portfolio_cover":
            return Cover(_line(fields, constraints, players, seed))
        case _:
            return ExpectedMax()


def _line(
    fields: Mapping[str, object], constraints: Mapping[str, object], players: Sequence[Player], seed: int
) -> LineSpec:
    if "threshold" in fields:
        return Score(units(cast("float", fields["threshold"])))
    field = cast("dict[str, float]", fields["field"])
    size = cast("int", constraints["roster_size"])
    return FieldLine(
        opponents=int(field["size"]),
        quantile=round(field["percentile"] * WHOLE),
        seed=seed,
        cap=cast("int", constraints["salary_cap"]),
        floor=int(field["salary_min"]),
        temperature=field["temperature"],
        ownership=_ownership(players, size) if any(player.ownership for player in players) else None,
    )


def _ownership(players: Sequence[Player], size: int) -> tuple[float, ...]:
    """Return the share of opponents that takes each player; those of whom none is given have what is left, alike."""
    starters = [player for player in players if not player.withdrawn]
    known = sum(player.ownership for player in starters if player.ownership is not None)
    unknown = sum(player.ownership is None for player in starters)
    rest = round(min(1.0, max(_LEAST_OWNED, (size - known) / max(1, unknown))), 9)
    return tuple(
        0.0 if player.withdrawn else rest if player.ownership is None else player.ownership for player in players
    )
