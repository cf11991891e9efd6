# pyright: basic
"""An annealed lineup job, driven in one process, and what HiGHS makes of the same task."""

from dataclasses import replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from meshd.kinds.lineups.engine.spans import Races
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.scenarios.projections import Projection, projection_model, scores
from meshd.kinds.lineups.sports.annealing.steps import read_anneal_step
from meshd.kinds.lineups.sports.annealing.story import AnnealedAnswer, PlannedAnneal, anneal_planner
from meshd.kinds.lineups.sports.annealing.task import AnnealedTask
from meshd.kinds.lineups.sports.annealing.work import AnnealSpan, ChainDesk, run
from meshd.kinds.lineups.sports.players import Player
from tests.support.drive import Cut, Driven, drive, whole
from tests.support.engine_job import Patient


class ProjectedRaces:
    """Games in which players score around their averages, teams and games going up and down together."""

    def __init__(self, players: tuple[Player, ...], races: int, *, holdout: int = 0, seed: int = 1) -> None:
        model = projection_model(
            [
                Projection(
                    max(0, player.average),
                    max(40, player.average * 2 // 5),
                    ((f"team:{player.team}", 0.2), (f"game:{player.game}", 0.2)),
                )
                for player in players
            ],
            seed=seed,
        )
        self.key = model.key, races, holdout
        self._model, self._races, self._holdout = model, races, holdout
        self._kept: dict[int, np.ndarray] = {}

    def chunk(self, number: int) -> np.ndarray:
        return self._get(number)[: min(CHUNK_SCENARIOS, self._races - number * CHUNK_SCENARIOS)]

    def fresh(self, number: int) -> np.ndarray:
        return self._get((1 << 32) + number)[: min(CHUNK_SCENARIOS, self._holdout - number * CHUNK_SCENARIOS)]

    def all(self) -> np.ndarray:
        chunks = range(-(-self._races // CHUNK_SCENARIOS))
        return np.concatenate([self.chunk(number) for number in chunks]).astype(np.int64)

    def _get(self, number: int) -> np.ndarray:
        if number not in self._kept:
            self._kept[number] = scores(self._model, number)
        return self._kept[number]


def anneal_to_the_end(
    task: AnnealedTask, races: Races, *, cut: Cut = whole, desk: ChainDesk | None = None
) -> Driven[PlannedAnneal, AnnealedAnswer]:
    """Drive a task to its answer."""
    desk = desk or ChainDesk()
    return drive(
        anneal_planner(),
        task,
        AnnealedAnswer,
        step_of=lambda planned: (planned.step, planned.units(task)),
        compute=lambda told, start, stop: run(
            read_anneal_step(told), AnnealSpan(task, races, start, stop, Patient()), desk
        ),
        cut=cut,
    )


def best_mean_by_highs(task: AnnealedTask, sums: np.ndarray, *, overlap: list[tuple[int, ...]] | None = None) -> int:
    """Return the highest sum of scores of any lineup, proven by HiGHS; `overlap` lists lineups it must not be."""
    roster, players = task.roster, task.players
    places = roster.places
    pairs = [
        (player, place)
        for place, slot in enumerate(places)
        for player in range(len(players))
        if set(players[player].positions) & set(slot.eligible)
        and player not in task.excluded
        and not players[player].is_out
    ]
    teams = sorted({player.team for player in players})
    games = sorted({player.game for player in players})
    rows: list[tuple[dict[int, float], float, float]] = []
    total = len(pairs) + len(teams) + len(games)

    def of(wanted) -> dict[int, float]:
        return {at: 1.0 for at, (player, place) in enumerate(pairs) if wanted(player, place)}

    rows += [(of(lambda _, other, place=place: other == place), 1, 1) for place in range(len(places))]
    rows += [
        (of(lambda other, _, player=player: other == player), float(player in task.locked), 1)
        for player in range(len(players))
    ]
    cost = {at: float(players[player].salary) for at, (player, _) in enumerate(pairs)}
    rows.append((cost, task.floor, roster.cap))
    if roster.most_of_team is not None:
        without = set(roster.not_of_team)
        for team in teams:
            counted = of(lambda p, _, team=team: players[p].team == team and not set(players[p].positions) & without)
            rows.append((counted, 0, roster.most_of_team))
    for names, first, least, of_player in (
        (teams, len(pairs), roster.least_teams, lambda p: players[p].team),
        (games, len(pairs) + len(teams), roster.least_games, lambda p: players[p].game),
    ):
        for at, name in enumerate(names):
            # A team counts as met only where somebody of it is held.
            rows.append(
                (of(lambda p, _, name=name, of_player=of_player: of_player(p) == name) | {first + at: -1.0}, 0, np.inf)
            )
        rows.append(({first + at: 1.0 for at in range(len(names))}, least, np.inf))
    for group in task.groups:
        held = of(lambda p, _, group=group: p in group.members)
        rows.append((held, group.least, len(places) if group.most is None else group.most))
    rows += [(of(lambda p, _, lineup=lineup: p in lineup), 0, len(places) - 1) for lineup in overlap or []]
    at = [(number, column, weight) for number, (row, _, _) in enumerate(rows) for column, weight in row.items()]
    weights, across, down = [w for _, _, w in at], [c for _, c, _ in at], [r for r, _, _ in at]
    matrix = coo_array((weights, (down, across)), shape=(len(rows), total))
    low, high = np.array([low for _, low, _ in rows]), np.array([high for _, _, high in rows])
    constraint: tuple = matrix.tocsr(), low, high
    goal = np.zeros(total)
    goal[: len(pairs)] = [-float(sums[player]) for player, _ in pairs]
    found = milp(
        goal,
        integrality=np.ones(total),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(*constraint),
        options={"mip_rel_gap": 0.0},
    )
    assert found.success, found.message
    return sum(int(sums[player]) for at, (player, _) in enumerate(pairs) if found.x[at] > 0.5)


def shortened(task: AnnealedTask, *, chains: int, moves: int) -> AnnealedTask:
    """Return the same task with fewer chains, for tests that are not about quality."""
    return replace(task, chains=chains, moves=moves)
