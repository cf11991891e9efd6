"""What a finished job of a sport with rosters tells: the same that a NASCAR job does, of players in places."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, prod
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.base import Document
from meshd.kinds.lineups.certificate import name_of, unreached
from meshd.kinds.lineups.config_digest import digest
from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.steps import Line, Score
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Objective
from meshd.kinds.lineups.figures import PERCENT, Described, Spread, readable, rounded, share_and_error, spread
from meshd.kinds.lineups.partials import Effort, Histogram, Partial, Tally, Trail
from meshd.kinds.lineups.results import (
    Judged,
    averaged,
    objective_figures,
    reached,
    reached_error,
    settled,
    told_quantiles,
    told_run,
)
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT
from meshd.kinds.lineups.sports import roster
from meshd.kinds.lineups.sports.annealing.story import AnnealedAnswer
from meshd.kinds.lineups.sports.exact.making import Choice
from meshd.kinds.lineups.sports.explaining import why_no_more
from meshd.kinds.lineups.sports.problem import GAME, SD_PERCENT, TEAM, SlateProblem


@dataclass(frozen=True, eq=False)
class Chosen:
    """What either engine has chosen, in rows of the slate."""

    members: NDArray[np.int64]
    """[lineups, places], in the order of the roster's places."""

    salaries: NDArray[np.int64]
    spreads: tuple[Spread, ...]
    """Of the lineups, in the races that chose them."""

    players: tuple[Spread, ...]
    described: Histogram
    trail: Trail
    fresh: Tally | None
    fresh_described: Histogram | None
    efforts: tuple[Effort, ...]
    moved: NDArray[np.int64]
    """What randomness added to each lineup, in units, in the races that chose."""

    line: Line | None
    wins: tuple[int, ...]
    """Races in which each lineup reaches the line; empty where that is not what was asked for."""

    gains: tuple[int, ...]
    """What each lineup of a portfolio added."""

    reached: int
    picked: list[list[int]]
    """The lineups as the engine's own players: columns where it has them."""

    @property
    def own(self) -> Described:
        """The lineups' scores as they were before randomness moved them."""
        return Described(self.described, self.moved)

    def won(self, objective: Objective) -> Sequence[int] | NDArray[np.int32] | None:
        """Return in how many races each lineup reaches the line, where that was counted."""
        match objective:
            case Beat():
                return self.wins
            case Cover() if isinstance(self.line, Score):
                return self.own.share_at(self.line.units)
            case _:
                return None


def exact_result(
    problem: SlateProblem, resolved: Document, answer: Answer, finished: tuple[Partial, ...]
) -> dict[str, object]:
    """Return the result of a job whose lineups were all looked at."""
    choice, moments = problem.choice, answer.moments
    if choice is None:
        raise AssertionError("lineups of an exact sport are chosen from columns")
    columns = choice.lineups.members(answer.lineups)
    rows = np.array([column.player for column in choice.columns], np.int64)
    salaries = np.array(choice.rules.salaries, np.int64)
    of_row = {column.player: at for at, column in reversed(list(enumerate(choice.columns)))}
    # Of a player in two columns, the one in which he scores what he scores.
    of_row |= {column.player: at for at, column in enumerate(choice.columns) if column.points_percent == roster.PERCENT}

    moved = np.array(problem.moved_columns, np.int64)

    def of_columns(some: list[int]) -> Spread:
        squares = int(moments.products[np.ix_(some, some)].sum())
        return spread(int(moments.sums[some].sum()), squares, moments.races, int(moved[some].sum()))

    chosen = Chosen(
        rows[columns],
        salaries[columns].sum(axis=1),
        tuple(of_columns(lineup) for lineup in cast("list[list[int]]", columns.tolist())),
        tuple(of_columns([of_row[at]] if at in of_row else []) for at in range(len(problem.entrants))),
        answer.described,
        answer.trail,
        answer.fresh,
        answer.fresh_described,
        answer.efforts,
        moved[columns].sum(axis=1),
        answer.proof.line,
        answer.proof.counts,
        answer.proof.gains,
        reached(answer.proof),
        columns.tolist(),
    )
    proven: dict[str, object] = {
        "exact": True,
        "lineups_evaluated": _looked_at(choice),
        "passes": answer.proof.passes,
    }
    if answer.proof.required:
        proven |= {"races_required": answer.proof.required, "complete_set": answer.proof.complete_set}
    if answer.proof.gains:
        pairs = list(zip(answer.proof.gains, answer.proof.bounds, strict=True))
        proven["every_choice_proven"] = all(gain >= bound for gain, bound in pairs)
        proven["least_of_best"] = rounded(min((gain / bound for gain, bound in pairs if bound > gain), default=1.0))
    said = ["Best among all lineups over these drawn scores; how well they resemble real ones is another matter."]
    if chosen.gains:
        each = "the one that adds most"
        if not proven["every_choice_proven"]:
            each = f"one that adds at least {proven['least_of_best']:.0%} of what any lineup could"
        said.append(f"Each lineup is {each} to those before it; another set may be better as a whole.")
    elif not problem.task.diversity.is_plain:
        said.append("Lineups are chosen one after the other: each is the best that overlap and exposure leave open.")
    return _result(problem, resolved, chosen, proven, said, finished)


def annealed_result(
    problem: SlateProblem, resolved: Document, answer: AnnealedAnswer, finished: tuple[Partial, ...]
) -> dict[str, object]:
    """Return the result of a job whose lineups were looked for by chains."""
    summed = finished[0]
    if not isinstance(summed, Tally):
        raise AssertionError("an annealed job begins by adding up its players' scores")
    counts = answer.described.counts.astype(np.int64)
    scores = answer.described.low + np.arange(counts.shape[1], dtype=np.int64)
    salaries = np.array([player.salary for player in problem.entrants], np.int64)
    races, moved = answer.described.races, np.array(problem.moved, np.int64)
    by_lineup = moved[answer.lineups].sum(axis=1)
    objective = problem.task.objective
    chosen = Chosen(
        answer.lineups,
        salaries[answer.lineups].sum(axis=1),
        tuple(
            spread(int(total), int(squares), races, int(by))
            for total, squares, by in zip(counts @ scores, counts @ (scores * scores), by_lineup, strict=True)
        ),
        tuple(
            spread(int(total), int(squares), summed.races, int(by))
            for total, squares, by in zip(summed.sums, summed.squares, moved, strict=True)
        ),
        answer.described,
        answer.trail,
        answer.fresh,
        answer.fresh_described,
        answer.efforts,
        by_lineup,
        answer.line,
        answer.values if isinstance(objective, Beat) else (),
        answer.values if isinstance(objective, Cover | ExpectedMax) else (),
        answer.reached,
        np.sort(answer.lineups, axis=1).tolist(),
    )
    found: dict[str, object] = {"exact": False, "lineups_evaluated": answer.chains, "passes": 0}
    said = [
        f"The best that {answer.chains:,} chains found; every rule is kept. That nothing better exists is not proven."
    ]
    if isinstance(objective, Mean) and answer.bound is not None:
        gap = max(0.0, 1 - answer.values[0] / answer.bound) if answer.bound > 0 else 0.0
        highest = (answer.bound / races - int(by_lineup[0])) / UNITS_PER_POINT
        is_proven = answer.proven == len(answer.lineups)
        found |= {"exact": is_proven, "mean_bound": readable(highest), "gap": rounded(gap), "proven": answer.proven}
        if is_proven:
            said = ["No lineup has a higher mean: HiGHS proves it."]
        else:
            said.append(f"Of the first one HiGHS proves that its mean is at most {gap:.3%} below the highest.")
    return _result(problem, resolved, chosen, found, said, finished)


def _looked_at(choice: Choice) -> int:
    """Return how many lineups the columns make that are not closed, rules aside."""
    locked, closed = set(choice.locked), set(choice.excluded)
    total = 1
    for part in choice.parts:
        held = len(locked & set(part.columns))
        total *= comb(len(set(part.columns) - locked - closed), part.count - held)
    return total


def _result(
    problem: SlateProblem,
    resolved: Document,
    chosen: Chosen,
    proven: Document,
    said: list[str],
    finished: tuple[Partial, ...],
) -> dict[str, object]:
    task = problem.task
    wanted, found = task.diversity.count, len(chosen.members)
    short = {} if found >= wanted else {"infeasible": why_no_more(problem, resolved, chosen.picked)}
    return {
        "status": "complete" if found >= wanted else "fewer",
        **short,
        "sport": resolved["sport"],
        "site": resolved["site"],
        "race_id": "",
        "notices": [
            *cast("list[str]", resolved["notices"]),
            *unreached(
                task.objective,
                chosen.wins[0] if chosen.wins else chosen.reached,
                is_exact=problem.choice is not None,
            ),
        ],
        "lineups": _lineups(problem, chosen),
        "portfolio": _portfolio(problem, chosen),
        "players": _players(problem, chosen),
        "certificate": {
            **proven,
            "objective": name_of(task.objective),
            "scenarios": task.scenarios,
            "holdout": task.holdout,
            **_told_line(chosen.line),
            "greedy": isinstance(task.objective, Cover | ExpectedMax),
            "se": f"Standard errors are those of {task.scenarios:,} independent draws; they know nothing of what the "
            "projections leave out.",
            "assumptions": [*said, *_assumptions(problem)],
        },
        "convergence": settled(task.objective, chosen.trail, int(chosen.moved[0])),
        "iterations": task.scenarios,
        "seed": resolved["seed"],
        "config_hash": digest(resolved),
        **told_run(chosen.efforts, finished),
    }


def _told_line(line: Line | None) -> dict[str, object]:
    match line:
        case None:
            return {}
        case Score():
            return {"threshold": line.units / UNITS_PER_POINT}
        case _:
            return {"field": {"size": line.opponents, "percentile": line.quantile / (100 * PERCENT)}}


def _lineups(problem: SlateProblem, chosen: Chosen) -> list[dict[str, object]]:
    objective = problem.task.objective
    values, errors = told_quantiles(objective, chosen.own)
    races, won = problem.task.scenarios, chosen.won(objective)
    fresh, fresh_described = chosen.fresh, chosen.fresh_described
    again: _Quantiles = ({}, {}) if fresh_described is None else told_quantiles(objective, _described(fresh_described))
    owned = any(player.ownership is not None for player in problem.entrants)
    found: list[dict[str, object]] = []
    for row, members in enumerate(cast("list[list[int]]", chosen.members.tolist())):
        players = [problem.entrants[at] for at in members]
        shares = [player.ownership or 0.0 for player in players]
        own = chosen.spreads[row]
        chance = None if won is None else share_and_error(int(won[row]), races)
        found.append(
            {
                "ids": [player.id for player in players],
                "names": [player.name for player in players],
                "salary": int(chosen.salaries[row]),
                "mean": own.mean,
                "sd": own.sd,
                **{name: float(value[row]) for name, value in values.items()},
                "p_win": None if chance is None else chance[0],
                "se": {
                    "mean": own.se,
                    **{name: rounded(float(error[row])) for name, error in errors.items()},
                    **({} if chance is None else {"p_win": chance[1]}),
                },
                "holdout": {} if fresh is None else _holdout(fresh, again, row, counted=chosen.line is not None),
                "ownership_sum": round(sum(shares), 6) if owned else None,
                "ownership_product": rounded(prod(shares)) if owned else None,
                "gain": averaged(objective, chosen.gains[row], races) if chosen.gains else None,
            }
        )
    return found


_Quantiles: TypeAlias = tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]
"""By name, one for each lineup; and the errors of those that matter most."""


def _holdout(fresh: Tally, quantiles: _Quantiles, row: int, *, counted: bool) -> dict[str, object]:
    own = _fresh_spread(fresh, row)
    values, errors = quantiles
    told: dict[str, object] = {
        "mean": own.mean,
        "sd": own.sd,
        **{name: float(value[row]) for name, value in values.items()},
    }
    se: dict[str, object] = {"mean": own.se, **{name: rounded(float(error[row])) for name, error in errors.items()}}
    if counted:
        told["p_win"], se["p_win"] = share_and_error(int(fresh.wins[row]), fresh.races)
    return {**told, "se": se}


def _portfolio(problem: SlateProblem, chosen: Chosen) -> dict[str, object]:
    rows = len(problem.entrants)
    uses = np.bincount(chosen.members.ravel(), minlength=rows)
    used = np.flatnonzero(uses).tolist()
    holds = np.zeros((len(chosen.members), rows), np.int64)
    np.put_along_axis(holds, chosen.members, 1, axis=1)
    together, shared = holds.T @ holds, holds @ holds.T
    np.fill_diagonal(shared, 0)
    ids = [player.id for player in problem.entrants]
    return {
        **_objective(problem, chosen),
        "exposure": {ids[at]: int(uses[at]) / len(chosen.members) for at in used},
        "pair_matrix": {
            "ids": [ids[at] for at in used],
            "lineups": [[int(together[one, other]) for other in used] for one in used],
        },
        "max_overlap": int(shared.max()) if len(shared) > 1 else 0,
    }


def _objective(problem: SlateProblem, chosen: Chosen) -> dict[str, object]:
    """Return what was asked for, in the races that chose and in fresh ones."""
    if chosen.fresh is None or chosen.fresh_described is None:
        return {}
    judged = Judged(
        first=chosen.spreads[0],
        own=chosen.own,
        again=_described(chosen.fresh_described),
        fresh=chosen.fresh,
        reached=chosen.reached,
        wins=chosen.wins[0] if chosen.wins else 0,
        reached_se=reached_error(problem.task.objective, chosen.trail),
    )
    return objective_figures(problem.task.objective, judged, problem.task.scenarios)


def _players(problem: SlateProblem, chosen: Chosen) -> list[dict[str, object]]:
    return [
        {
            "id": player.id,
            "name": player.name,
            "team": player.team,
            "positions": list(player.positions),
            "salary": player.salary,
            "mean": 0.0 if player.withdrawn else own.mean,
            "sd": 0.0 if player.withdrawn else own.sd,
            "projected": player.mean,
            "ownership": player.ownership,
            "withdrawn": player.withdrawn,
        }
        for player, own in zip(problem.entrants, chosen.players, strict=True)
    ]


def _assumptions(problem: SlateProblem) -> list[str]:
    players = problem.entrants
    said = ["Scores are drawn around each player's mean, normal but never below 0; nothing of the game is simulated."]
    projected = sum(player.mean is not None for player in players)
    if projected:
        said.append(f"The means of {projected} players are the given projections.")
    if projected < len(players):
        said.append("Where no projection is given, the mean is the site's average points per game.")
    if any(player.sd is None for player in players):
        said.append(f"Where no standard deviation is given, it is {SD_PERCENT}% of the mean, two points at least.")
    if any(player.team or player.game for player in players):
        said.append(f"Team-mates, and players of one game, go up and down together: loadings of {TEAM} and {GAME}.")
    if any(problem.moved):
        said.append(
            "The choice was made with every player's points moved by chance; all figures but gains are without."
        )
    if isinstance(problem.task.objective, Beat | Cover) and not isinstance(problem.task.objective.line, Score):
        said.append("The field is simulated: how real opponents choose is not known.")
    if problem.roster.unconfirmed:
        said.append(f"Not confirmed of the site's rules: {problem.roster.unconfirmed}.")
    return said


def _described(histogram: Histogram) -> Described:
    return Described(histogram, np.zeros(len(histogram.counts), np.int64))


def _fresh_spread(fresh: Tally, row: int) -> Spread:
    return spread(int(fresh.sums[row]), int(fresh.squares[row]), fresh.races)
