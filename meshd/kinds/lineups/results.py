"""What a finished job tells: lineups, how they do in fresh races, what they are together, and the certificate."""

from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.base import Document
from meshd.kinds.lineups.certificate import certificate, unreached
from meshd.kinds.lineups.config_digest import digest
from meshd.kinds.lineups.conflicts import infeasible
from meshd.kinds.lineups.engine.answers import Answer, Proof
from meshd.kinds.lineups.engine.steps import Score
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Objective, Quantile
from meshd.kinds.lineups.figures import (
    PERCENT,
    TOLD_QUANTILES,
    Described,
    Spread,
    readable,
    rounded,
    share_and_error,
    spread,
)
from meshd.kinds.lineups.partials import Effort, Partial, Tally, Trail
from meshd.kinds.lineups.problem import Problem
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT

TOLD_OF_THE_RUN = ("device", "duration_s", "rate_gel_s", "versions")
"""The part of a result that says where and how fast it was computed; all the rest is the same on every device."""

_Quantiles: TypeAlias = tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]
"""Quantiles of all lineups, and the standard errors of some, by name."""


def job_result(problem: Problem, resolved: Document, answer: Answer, finished: tuple[Partial, ...]) -> Document:
    """Return the result of a job."""
    told = Telling(problem, answer)
    lineups = told.lineups()
    if resolved["form"] == "plain":
        for lineup, members in zip(lineups, told.members, strict=True):
            lineup.update(_plain(problem, lineup, members.tolist()))
    short = infeasible(problem, answer)
    return {
        "status": "complete" if short is None else "fewer",
        **({} if short is None else {"infeasible": short}),
        "sport": resolved["sport"],
        "site": resolved["site"],
        "race_id": resolved["race_id"],
        "notices": [
            *cast("list[str]", resolved["notices"]),
            *unreached(problem.task.objective, told.reached),
        ],
        "lineups": lineups,
        "portfolio": told.portfolio(),
        "players": told.players(),
        "certificate": certificate(problem, answer),
        "convergence": told.convergence(),
        "iterations": problem.task.scenarios,
        "seed": resolved["seed"],
        "config_hash": digest(resolved),
        **told_run(answer.efforts, finished),
    }


class Telling:
    """An answer in a person's terms: ids and points."""

    def __init__(self, problem: Problem, answer: Answer) -> None:
        self._problem = problem
        self._task = problem.task
        self._answer = answer
        self.members = self._task.lineups.members(answer.lineups)
        """The drivers of each lineup, as columns."""

        self._moved = np.array(problem.moved, np.int64)
        by_lineup = self._moved[self.members].sum(axis=1)
        self._own = Described(answer.described, by_lineup)
        fresh = answer.fresh_described
        self._fresh = None if fresh is None else Described(fresh, np.zeros(len(by_lineup), np.int64))
        # Of all lineups at once: a look at every histogram for each lineup took as long as the rest of a small job.
        self._fresh_quantiles: _Quantiles = (
            ({}, {}) if self._fresh is None else told_quantiles(self._task.objective, self._fresh)
        )

    def lineups(self) -> list[dict[str, object]]:
        """Return every lineup, with what it scores in the races and in fresh ones."""
        wins = self._wins()
        values, errors = told_quantiles(self._task.objective, self._own)
        races = self._answer.moments.races
        owned = any(player.ownership is not None for player in self._problem.players)
        found: list[dict[str, object]] = []
        chosen: list[list[int]] = self.members.tolist()
        for row, members in enumerate(chosen):
            players = [self._problem.players[at] for at in members]
            own = self._spread(members)
            won = None if wins is None else share_and_error(int(wins[row]), races)
            shares = [player.ownership or 0.0 for player in players]
            found.append(
                {
                    "ids": [player.id for player in players],
                    "names": [player.name for player in players],
                    "salary": sum(player.salary for player in players),
                    "mean": own.mean,
                    "sd": own.sd,
                    **{name: float(value[row]) for name, value in values.items()},
                    "p_win": None if won is None else won[0],
                    "se": {
                        "mean": own.se,
                        **{name: rounded(float(error[row])) for name, error in errors.items()},
                        **({} if won is None else {"p_win": won[1]}),
                    },
                    "holdout": self._holdout(row),
                    "ownership_sum": round(sum(shares), 6) if owned else None,
                    "ownership_product": rounded(prod(shares)) if owned else None,
                    "gain": self._gain(row),
                }
            )
        return found

    def portfolio(self) -> dict[str, object]:
        """Return what the lineups are together."""
        uses = np.bincount(self.members.ravel(), minlength=len(self._problem.players))
        used = np.flatnonzero(uses).tolist()
        holds = np.zeros((len(self.members), len(self._problem.players)), np.int64)
        np.put_along_axis(holds, self.members, 1, axis=1)
        together = holds.T @ holds
        shared = holds @ holds.T
        np.fill_diagonal(shared, 0)
        ids = self._problem.ids
        return {
            **self._together(),
            "growth": self._growth(),
            "exposure": {ids[at]: int(uses[at]) / len(self.members) for at in used},
            "pair_matrix": {
                "ids": [ids[at] for at in used],
                "lineups": [[int(together[one, other]) for other in used] for one in used],
            },
            "max_overlap": int(shared.max()) if len(shared) > 1 else 0,
        }

    def players(self) -> list[dict[str, object]]:
        """Return every driver of the slate, with what the races say of each."""
        moments = self._answer.moments
        found: list[dict[str, object]] = []
        for at, player in enumerate(self._problem.players):
            squares = int(moments.products[at, at])
            own = spread(int(moments.sums[at]), squares, moments.races, int(self._moved[at]))
            found.append(
                {
                    "id": player.id,
                    "name": player.name,
                    "team": player.team,
                    "salary": player.salary,
                    "mean": 0.0 if player.withdrawn else own.mean,
                    "sd": 0.0 if player.withdrawn else own.sd,
                    "projected": player.mean,
                    "ownership": player.ownership,
                    "withdrawn": player.withdrawn,
                }
            )
        return found

    @property
    def reached(self) -> int:
        """In how many races the line is reached: by the first lineup, or by any of a portfolio."""
        proof = self._answer.proof
        return proof.counts[0] if proof.counts else reached(proof)

    def convergence(self) -> list[dict[str, object]]:
        """Return how the objective settled."""
        return settled(self._task.objective, self._answer.trail, int(self._moved[self.members[0]].sum()))

    def _growth(self) -> list[dict[str, object]]:
        """Return how a portfolio grew, pass by pass; nothing for lineups that are judged one by one."""
        found: list[dict[str, object]] = []
        lineups = len(self._answer.lineups) - sum(each.picks for each in self._answer.proof.rounds)
        for each in self._answer.proof.rounds:
            if lineups:
                found.append({"lineups": lineups, "best": self._average(each.reached)})
            lineups += each.picks
        return found

    def _spread(self, members: list[int]) -> Spread:
        moments = self._answer.moments
        total = int(moments.sums[members].sum())
        squares = int(moments.products[np.ix_(members, members)].sum())
        return spread(total, squares, moments.races, int(self._moved[members].sum()))

    def _wins(self) -> NDArray[np.int64] | NDArray[np.int32] | None:
        """Return in how many races each lineup reaches the line, where that was counted."""
        proof = self._answer.proof
        match self._task.objective:
            case Beat():
                return np.array(proof.counts, np.int64)
            case Cover() if isinstance(proof.line, Score):
                return self._own.share_at(proof.line.units)
            case _:
                return None

    def _gain(self, row: int) -> float | None:
        """Return what a lineup of a portfolio added to those before it: points, or a share of the races."""
        gains = self._answer.proof.gains
        return self._average(gains[row]) if gains else None

    def _average(self, total: int) -> float:
        return averaged(self._task.objective, total, self._task.scenarios)

    def _holdout(self, row: int) -> dict[str, object]:
        fresh = self._answer.fresh
        if fresh is None:
            return {}
        own = spread(int(fresh.sums[row]), int(fresh.squares[row]), fresh.races)
        values, errors = self._fresh_quantiles
        told: dict[str, object] = {
            "mean": own.mean,
            "sd": own.sd,
            **{name: float(value[row]) for name, value in values.items()},
        }
        se: dict[str, object] = {
            "mean": own.se,
            **{name: rounded(float(error[row])) for name, error in errors.items()},
        }
        if isinstance(self._task.objective, Beat | Cover):
            told["p_win"], se["p_win"] = share_and_error(int(fresh.wins[row]), fresh.races)
        return {**told, "se": se}

    def _together(self) -> dict[str, object]:
        """Return the objective in the races that chose the lineups, and in fresh ones.

        Of a portfolio it is that of all lineups together, the existing ones included; otherwise that of the best one.
        """
        proof, fresh = self._answer.proof, self._answer.fresh
        if fresh is None or self._fresh is None:
            return {}
        return objective_figures(
            self._task.objective,
            Judged(
                first=self._spread(self.members[0].tolist()),
                own=self._own,
                again=self._fresh,
                fresh=fresh,
                reached=reached(proof),
                wins=proof.counts[0] if proof.counts else 0,
                reached_se=reached_error(self._task.objective, self._answer.trail),
            ),
            self._task.scenarios,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What there is to tell of an objective: in the races that chose the lineups, and in fresh ones."""

    first: Spread
    """Of the first lineup."""

    own: Described
    again: Described
    fresh: Tally
    reached: int
    """What all reach together: races covered, or the sum of the best scores."""

    wins: int
    """Races in which the first lineup reaches the line."""

    reached_se: float | None
    """Of what all reach together on average, where that is points."""


def objective_figures(objective: Objective, judged: Judged, scenarios: int) -> dict[str, object]:
    """Return the objective in the races that chose the lineups, and in fresh ones.

    Of a portfolio it is that of all lineups together, the existing ones included; otherwise that of the best one.
    """
    fresh = judged.fresh
    match objective:
        case Cover():
            what = "share of races in which at least one lineup reaches the line"
            own, again = (
                share_and_error(judged.reached, scenarios),
                share_and_error(fresh.covered, fresh.races),
            )
        case ExpectedMax():
            what = "expected points of the best lineup"
            best = spread(fresh.best, fresh.best_squares, fresh.races)
            own, again = (averaged(objective, judged.reached, scenarios), judged.reached_se), (best.mean, best.se)
        case Mean():
            what = "expected points of the first lineup"
            mean = spread(int(fresh.sums[0]), int(fresh.squares[0]), fresh.races)
            own, again = (judged.first.mean, judged.first.se), (mean.mean, mean.se)
        case Quantile(quantile):
            what = f"p{quantile / PERCENT:g} of the first lineup, in points"
            own, again = (first_quantile(each, quantile) for each in (judged.own, judged.again))
        case Beat():
            what = "share of races in which the first lineup reaches the line"
            own, again = (
                share_and_error(judged.wins, scenarios),
                share_and_error(int(fresh.wins[0]), fresh.races),
            )
    return {
        "objective": own[0],
        "objective_se": own[1],
        "holdout_objective": again[0],
        "holdout_objective_se": again[1],
        "holdout_races": fresh.races,
        "what": what,
    }


def settled(objective: Objective, trail: Trail, moved: int) -> list[dict[str, object]]:
    """Return what the objective came to after a part of the races, and with which standard error, up to all.

    `moved` is what randomness added to the first lineup, in units.
    """
    told = zip(trail.marks.tolist(), trail.values.tolist(), trail.spreads.tolist(), strict=True)
    found: list[dict[str, object]] = []
    for races, value, width in told:
        best, error = _settled(objective, races, value, width, moved)
        found.append({"scenarios": races, "best": best, "se": error})
    return found


def _settled(objective: Objective, races: int, value: int, width: int, moved: int) -> tuple[float, float]:
    match objective:
        case Mean():
            own = spread(value, width, races, moved)
            return own.mean, own.se
        case ExpectedMax():
            own = spread(value, width, races)
            return own.mean, own.se
        case Quantile():
            return (value - moved) / UNITS_PER_POINT, rounded(width / 2 / UNITS_PER_POINT)
        case Beat() | Cover():
            return share_and_error(value, races)


def reached_error(objective: Objective, trail: Trail) -> float | None:
    """Return the standard error of the best score on average, where that is the objective."""
    if not isinstance(objective, ExpectedMax):
        return None
    return spread(int(trail.values[-1]), int(trail.spreads[-1]), int(trail.marks[-1])).se


def averaged(objective: Objective, total: int, races: int) -> float:
    """Return what lineups of a portfolio add or reach, over so many races: a share of them, or points."""
    return readable(total / races if isinstance(objective, Cover) else total / (races * UNITS_PER_POINT))


def reached(proof: Proof) -> int:
    """Return what all lineups of a portfolio reach together: races covered, or the sum of the best scores."""
    if not proof.rounds:
        return sum(proof.gains)
    last = proof.rounds[-1]
    return last.reached + sum(proof.gains[len(proof.gains) - last.picks :])


def told_quantiles(objective: Objective, described: Described) -> _Quantiles:
    """Return the quantiles that are told, and the errors of those that matter most, by name."""
    names = {f"p{percent}": percent * PERCENT for percent in TOLD_QUANTILES}
    match objective:
        case Quantile(quantile):
            aimed = {f"p{quantile / PERCENT:g}": quantile}
        case _:
            aimed = {"p90": 90 * PERCENT}
    values = {name: described.quantile(quantile) for name, quantile in {**names, **aimed}.items()}
    return values, {name: described.quantile_error(quantile) for name, quantile in aimed.items()}


def first_quantile(described: Described, quantile: int) -> tuple[float, float]:
    """Return a quantile of the first lineup, and its standard error."""
    return float(described.quantile(quantile)[0]), rounded(float(described.quantile_error(quantile)[0]))


def _plain(problem: Problem, lineup: dict[str, object], members: list[int]) -> dict[str, object]:
    """Return a lineup's fields of the plain form."""
    players = [problem.players[at] for at in members]
    projected = [player.mean for player in players]
    simulated, salary = cast("float", lineup["mean"]), cast("int", lineup["salary"])
    # Without projections of their own, lineups are told of by the simulated points.
    points = simulated if None in projected else round(sum(mean or 0.0 for mean in projected), 6)
    return {
        "drivers": [
            {
                "driver_id": player.id,
                "name": player.name,
                "team": player.team,
                "salary": player.salary,
                "projected_points": player.mean,
            }
            for player in players
        ],
        "total_projected_points": points,
        "total_salary": salary,
        "total_value": round(points / salary * 1_000, 6) if salary else 0.0,
        "risk_score": round(cast("float", lineup["sd"]) / simulated, 6) if simulated > 0 else None,
        "lineup_score": _score(problem, lineup),
    }


def _score(problem: Problem, lineup: Document) -> object:
    """Return what lineups were chosen by, of this one."""
    match problem.task.objective:
        case Quantile(quantile):
            return lineup[f"p{quantile / PERCENT:g}"]
        case Beat():
            return lineup["p_win"]
        case Cover() | ExpectedMax():
            return lineup["gain"]
        case Mean():
            return lineup["mean"]


def told_run(efforts: tuple[Effort, ...], finished: tuple[Partial, ...]) -> dict[str, object]:
    """Return where and how fast an answer was computed; `efforts` are those of the passes over lineups."""
    passes = sum(efforts, Effort())
    whole = sum((partial.effort for partial in finished), Effort())
    versions = {"meshd": version("meshd"), "numpy": np.__version__}
    if passes.microseconds:
        versions["jax"] = version("jax")
    return {
        "device": ", ".join(sorted(passes.devices or whole.devices)),
        "duration_s": round(whole.microseconds / 1e6, 3),
        "rate_gel_s": round(passes.elements / passes.microseconds / 1e3, 2) if passes.microseconds else None,
        "versions": versions,
    }
