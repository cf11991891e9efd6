"""The certificate: what is proven about a result, and what it rests on."""

from collections.abc import Mapping
from types import MappingProxyType

from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.opponents import Field
from meshd.kinds.lineups.engine.steps import Score
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Objective, Quantile
from meshd.kinds.lineups.figures import PERCENT
from meshd.kinds.lineups.problem import Problem
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT

_SITES: Mapping[str, str] = MappingProxyType({"draftkings": "DraftKings", "fanduel": "FanDuel"})


def name_of(objective: Objective) -> str:
    """Return what lineups were chosen by, in a few words."""
    match objective:
        case Mean():
            return "mean"
        case Quantile(quantile):
            return f"p{quantile / PERCENT:g}"
        case Beat(line):
            return f"chance of {_line_in_words(line)}"
        case Cover(line):
            return f"chance that one of them has {_line_in_words(line)}"
        case ExpectedMax():
            return "expected best score"


def unreached(objective: Objective, reached: int, *, is_exact: bool = True) -> list[str]:
    """Return what is said where a line was to be reached, and the best that were chosen do so in no race."""
    match objective:
        case Beat(line) | Cover(line) if not reached:
            who = "No lineup" if is_exact else "None of the lineups found"
            return [f"{who} reaches {_line_in_words(line)} in any of the scenarios: the mean decides."]
        case _:
            return []


def _line_in_words(line: object) -> str:
    match line:
        case Score(units):
            return f"{units / UNITS_PER_POINT:g} points"
        case _:
            quantile = int(getattr(line, "quantile", 0))
            return f"the top {(100 * PERCENT - quantile) / PERCENT:g}% of the field"


def certificate(problem: Problem, answer: Answer) -> dict[str, object]:
    """Return what was compared, by what, and why no other lineup is better."""
    task, proof = problem.task, answer.proof
    told: dict[str, object] = {
        "exact": True,
        "objective": name_of(task.objective),
        "lineups_evaluated": task.lineups.total,
        "lineups_feasible": len(task.feasible),
        "scenarios": task.scenarios,
        "holdout": task.holdout,
        "passes": proof.passes,
        "greedy": isinstance(task.objective, Cover | ExpectedMax),
    }
    if isinstance(proof.line, Score):
        told["threshold"] = proof.line.units / UNITS_PER_POINT
    if isinstance(proof.line, Field):
        told["field"] = {"size": proof.line.opponents, "percentile": proof.line.quantile / (100 * PERCENT)}
    if proof.required:
        told["races_required"] = proof.required
        told["complete_set"] = proof.complete_set
    if proof.gains:
        told["every_choice_proven"] = all(gain >= bound for gain, bound in zip(proof.gains, proof.bounds, strict=True))
    return {**told, "se": _error_in_words(task.scenarios), "assumptions": _assumptions(problem)}


def _error_in_words(scenarios: int) -> str:
    return (
        f"Standard errors are those of {scenarios:,} independent races; they know nothing of what the model leaves out."
    )


def _assumptions(problem: Problem) -> list[str]:
    model, task = problem.model, problem.task
    track = model.track
    said = ["Best among all lineups over these simulated races; how well they resemble the real one is another matter."]
    if isinstance(task.objective, Cover | ExpectedMax):
        said.append("Each lineup is the one that adds most to those before it; another set may be better as a whole.")
    elif not task.diversity.is_plain:
        said.append("Lineups are chosen one after the other: each is the best that overlap and exposure leave open.")
    if model.grid is None:
        said.append("The starting grid is not known: it is drawn for each race, better drivers nearer the front.")
    else:
        said.append("The starting grid is the given one.")
    said.append(f"The race has {track.laps} laps; about {track.green:.0%} are under green and count as fastest laps.")
    said.append(
        f"It is drawn as at a track of the type {track.preset}, and scored as {_SITES[model.scoring.site]} does."
    )
    projected = sum(player.mean is not None for player in problem.players)
    if projected:
        said.append(f"The means of {projected} drivers follow the given projections, shifted to what a race hands out.")
    if projected < len(problem.players) and not all(player.skill is not None for player in problem.players):
        said.append(
            "Where no projection is given, skill follows from salary and average points per game, nothing else."
        )
    if any(problem.moved):
        said.append(
            "The choice was made with every driver's points moved by chance; all figures but gains are without."
        )
    if _field_of(task.objective):
        said.append("The field is simulated: how real opponents choose is not known.")
    return said


def _field_of(objective: Objective) -> bool:
    return isinstance(objective, Beat | Cover) and not isinstance(objective.line, Score)
