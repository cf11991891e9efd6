"""How a streamed task goes on: candidates draw a line, and one pass over the ranges finds all lineups above it."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.answers import Answer, Proof
from meshd.kinds.lineups.engine.diversity import chosen_by_value
from meshd.kinds.lineups.engine.limits import MAX_CANDIDATES, MAX_HISTOGRAM_CELLS
from meshd.kinds.lineups.engine.planning import Planned, Planner
from meshd.kinds.lineups.engine.quantiles import normal_quantile, quantile_of, races_required
from meshd.kinds.lineups.engine.shares import Shares
from meshd.kinds.lineups.engine.steps import FillHistogram, Line, Score, SumMoments
from meshd.kinds.lineups.engine.stories import Basis, ask, belongs, end, stranger, told
from meshd.kinds.lineups.engine.task import Beat, FieldLine, Mean, Quantile
from meshd.kinds.lineups.partials import Best, Effort, Histogram, Moments, Partial, Tally
from meshd.kinds.lineups.sports.exact.halves import halves_of
from meshd.kinds.lineups.sports.exact.steps import CountRanges, CountWins, ScanRanges, StreamStep
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.parts import lineups_of

CANDIDATES = 1_500
"""Lineups looked at before the pass, ten times a usual portfolio; the better they are, the more the pass rules out."""

_DEPTH = 4
"""Where lineups must differ: this many times as many are looked at, and again where that was too few."""

_MARGIN = 400
"""Units, 20 points, that a histogram reaches beyond what is expected of it."""

_STEP = 20
"""Units by which the line falls when too few lineups that differ reached it: one point, then twice as many."""

_SHARES = Shares(
    moments=0.03,
    candidates=0.12,
    one_pass=0.7,
    rounds=0.0,
    describe=0.1,
    fresh=0.03,
    describe_fresh=0.02,
    pass_of_round=1.0,
)
"""Measured on golf lineups at 10,000 races; few know better before the bound has been tried."""


@dataclass(frozen=True, slots=True)
class PlannedStream:
    """The step that comes next, where it is one of this package."""

    step: StreamStep
    count: int
    """How many units it has."""

    label: str
    share: float
    best: str = ""

    def units(self, task: StreamedTask) -> int:
        """Return how many units the step has."""
        del task
        return self.count


PlannedExact: TypeAlias = Planned | PlannedStream

T = TypeVar("T")

ExactTelling: TypeAlias = Generator[Callable[[], PlannedExact], Partial, T]


def exact_planner() -> Planner[StreamedTask, PlannedExact, Answer]:
    """Return a planner of streamed tasks."""
    return Planner(exact_story)


def exact_story(task: StreamedTask) -> ExactTelling[Answer]:
    """Tell of a task from its beginning.

    Raises:
        BadInput: its objective is one of portfolios, for which every lineup would have to be kept.
    """
    match task.objective:
        case Mean():
            return _by_mean(task)
        case Quantile() as objective:
            return _by_quantile(task, objective)
        case Beat() as objective:
            return _by_wins(task, objective)
        case _:
            raise BadInput(
                f"With {lineups_of(task.parts):,} lineups there is no portfolio that is chosen together.",
                field="objective",
                hint="Ask for lineups by mean, by a percentile, or by the chance of beating a score or a field.",
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """What is known after the moments."""

    task: StreamedTask
    basis: Basis
    sums: NDArray[np.int64]
    ranges: int
    total: int
    """Lineups in all ranges, rules aside."""

    def chosen(self, found: Best, values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the lineups chosen by value among those found, and where they stand there."""
        numbers = self.task.lineups.numbers(found.members)
        order = np.argsort(numbers)
        lineups = chosen_by_value(
            self.task.lineups, numbers[order], [values[order], found.totals[order]], self.task.diversity
        )
        return lineups, order[np.searchsorted(numbers[order], lineups)]

    def is_full(self, lineups: NDArray[np.int64]) -> bool:
        """Return whether these are as many as were asked for."""
        return len(lineups) == self.task.diversity.count


def _are_all(found: Best) -> bool:
    """Return whether a scan has found every lineup that keeps the rules."""
    return len(found.values) < found.take


def _begin(task: StreamedTask) -> ExactTelling[_Ground]:
    moments = yield from ask(SumMoments(), "simulating", _SHARES.moments, "", Moments, task)
    if len(moments.sums) != task.lineups.players:
        raise stranger()
    halves = halves_of(task.parts, task.lineups.locked, task.lineups.excluded, moments.sums)
    total = int(np.searchsorted(-halves.columns.edges, -halves.rows.edges).sum())
    return _Ground(task, Basis(task, moments, np.zeros(0, np.int64)), moments.sums, halves.blocks, total)


def _scan(ground: _Ground, values: NDArray[np.int64], take: int, share: float) -> ExactTelling[Best]:
    """Ask for the lineups with the highest sum of values."""
    step = ScanRanges(tuple(values.tolist()), tuple(ground.sums.tolist()), take)
    planned = PlannedStream(step, ground.ranges, "looking for candidates", share)
    found = _whole((yield lambda: planned), ground, 0, take)
    if not len(found.values):
        raise BadInput("No lineup keeps all rules.", hint="Drop a rule, or loosen one.")
    return found


def _count(ground: _Ground, line: Line, required: int, take: int, best: str) -> ExactTelling[Best]:
    """Ask for all lineups that reach the line so often."""
    step = CountRanges(line, required, tuple(ground.sums.tolist()), take)
    planned = PlannedStream(step, ground.ranges, "counting every lineup", _SHARES.one_pass, best)
    return _whole((yield lambda: planned), ground, ground.task.scenarios, take)


def _whole(partial: Partial, ground: _Ground, races: int, take: int) -> Best:
    if (
        not isinstance(partial, Best)
        or (partial.races, partial.take, partial.covered) != (races, take, ground.total)
        or partial.members.shape[1] != ground.task.lineups.size
        or int(partial.members.max(initial=0)) >= ground.task.lineups.players
    ):
        raise stranger()
    return partial


def _by_mean(task: StreamedTask) -> ExactTelling[Answer]:
    ground = yield from _begin(task)
    take = task.diversity.count
    while True:
        if not task.diversity.is_plain:
            take = min(MAX_CANDIDATES, max(_DEPTH * take, CANDIDATES))
        found = yield from _scan(ground, ground.sums, take, _SHARES.one_pass)
        lineups, at = ground.chosen(found, found.values)
        if ground.is_full(lineups) or _are_all(found) or take == MAX_CANDIDATES:
            break
    best = told(float(found.values[at[0]]) / task.scenarios, "mean") if len(at) else ""
    proof = Proof(complete_set=len(found.values))
    return (yield from end(ground.basis, lineups, proof, _SHARES, best=best, efforts=(found.effort,)))


def _promising(ground: _Ground, quantile: int) -> NDArray[np.int64]:
    """Return values whose sum is about a lineup's quantile: means, and each player's part of the deviation."""
    races, moments = ground.task.scenarios, ground.basis.moments
    means = [int(total) / races for total in moments.sums]
    variances = [
        max(0.0, int(square) / races - mean * mean)
        for square, mean in zip(np.diagonal(moments.products), means, strict=True)
    ]
    usual = sum(variances) / max(1, len(variances)) * ground.task.lineups.size
    weight = normal_quantile(quantile) / (2 * sqrt(usual)) if usual else 0.0
    told_apart = [round(16 * (mean + weight * variance)) for mean, variance in zip(means, variances, strict=True)]
    return np.array(told_apart, np.int64)


def _candidates(ground: _Ground, quantile: int) -> ExactTelling[Best]:
    wanted = max(CANDIDATES, _DEPTH * ground.task.diversity.count)
    take = min(MAX_CANDIDATES, wanted if ground.task.diversity.is_plain else _DEPTH * wanted)
    return (yield from _scan(ground, _promising(ground, quantile), take, _SHARES.candidates))


def _by_quantile(task: StreamedTask, objective: Quantile) -> ExactTelling[Answer]:
    quantile, name = objective.quantile, f"p{objective.quantile / 1000:g}"
    ground = yield from _begin(task)
    found = yield from _candidates(ground, quantile)
    values = yield from _quantiles(ground, found, quantile, None, "ranking candidates")
    lineups, at = ground.chosen(found, values)
    best = told(float(values.max()), name)
    line = int(values[at[-1]] if ground.is_full(lineups) else values.min())
    required = races_required(task.scenarios, quantile)
    efforts: list[Effort] = []
    step = _STEP
    are_all = _are_all(found)
    while not are_all:
        found = yield from _count(ground, Score(line), required, MAX_CANDIDATES + 1, best)
        efforts.append(found.effort)
        if len(found.values) > MAX_CANDIDATES:
            raise _cannot_tell_apart(task, len(found.values), quantile)
        if len(found.values):
            values = yield from _quantiles(ground, found, quantile, line, "ranking the best")
        lineups, at = ground.chosen(found, values) if len(found.values) else (lineups[:0], at[:0])
        if ground.is_full(lineups) or line <= task.bounds[0]:
            break
        line, step = max(task.bounds[0], line - step), 2 * step
    proof = Proof(passes=len(efforts), line=Score(line), required=required, complete_set=len(found.values))
    return (yield from end(ground.basis, lineups, proof, _SHARES, best=best, efforts=tuple(efforts)))


def _cannot_tell_apart(task: StreamedTask, lineups: int, quantile: int) -> BadInput:
    hint = "Use more scenarios, or ask for fewer lineups."
    if not task.diversity.is_plain:
        # They lie between the best one and the last that overlap and exposure leave open.
        hint = "Loosen overlap or exposure, ask for fewer lineups, or choose by mean."
    return BadInput(
        f"{lineups:,} lineups or more have as good a p{quantile / 1000:g} as the last one asked for.",
        field="scenarios" if task.diversity.is_plain else "constraints",
        hint=hint,
    )


def _quantiles(
    ground: _Ground, found: Best, quantile: int, line: int | None, label: str
) -> ExactTelling[NDArray[np.int64]]:
    """Ask for the scores of some lineups, in the order found; return their quantiles.

    None is below the `line`. Where none is given, or some lie beyond what was expected, it asks again.
    """
    task = ground.task
    numbers = task.lineups.numbers(found.members)
    low, high = _window(ground, found, quantile)
    low = low if line is None else line
    while True:
        if len(numbers) * (high - low + 1) > MAX_HISTOGRAM_CELLS:
            raise _cannot_tell_apart(task, len(numbers), quantile)
        step = FillHistogram(tuple(numbers.tolist()), low, high - low + 1)
        counted = yield from ask(step, label, _SHARES.describe, "", Histogram, task)
        if not np.array_equal(counted.lineups, numbers):
            raise stranger()
        values = quantile_of(counted, quantile)
        too_low, too_high = line is None and int(values.min()) <= low, int(values.max()) >= high
        if not (too_low or too_high):
            return values
        if too_low:
            low -= 4 * _MARGIN
        if too_high:
            high += 4 * _MARGIN


def _window(ground: _Ground, found: Best, quantile: int) -> tuple[int, int]:
    """Return between what units the quantiles of some lineups should lie."""
    races = ground.task.scenarios
    means = found.totals / races
    chosen = ground.basis.moments.products[found.members[:, :, None], found.members[:, None, :]]
    variances = chosen.sum(axis=(1, 2)) / races - means * means
    expected = means + normal_quantile(quantile) * np.sqrt(np.maximum(variances, 0.0))
    return int(expected.min()) - _MARGIN, int(expected.max()) + _MARGIN


def _by_wins(task: StreamedTask, objective: Beat) -> ExactTelling[Answer]:
    ground = yield from _begin(task)
    line = _line_of(ground, objective)
    found = yield from _candidates(ground, 95_000)
    numbers = task.lineups.numbers(found.members)
    step = CountWins(tuple(numbers.tolist()), line)
    asked = yield lambda: PlannedStream(step, task.chunks, "ranking candidates", _SHARES.describe)
    wins = belongs(asked, Tally, task.scenarios).wins
    lineups, at = ground.chosen(found, wins)
    required = max(1, int(wins[at[-1]] if ground.is_full(lineups) else wins.min()))
    counts = wins
    efforts: list[Effort] = []
    take = max(CANDIDATES, _DEPTH * task.diversity.count)
    best = f"{wins.max() / task.scenarios:.2%} of races"
    are_all = _are_all(found)
    while not are_all:
        take = take if task.diversity.is_plain else MAX_CANDIDATES
        found = yield from _count(ground, line, required, take, best)
        efforts.append(found.effort)
        counts = found.values
        lineups, at = ground.chosen(found, counts)
        if ground.is_full(lineups) or not required:
            break
        required = required * 3 // 4
    proof = Proof(
        passes=len(efforts),
        line=line,
        required=required,
        complete_set=len(found.values),
        counts=tuple(counts[at].tolist()),
    )
    return (yield from end(ground.basis, lineups, proof, _SHARES, best=best, efforts=tuple(efforts)))


def _line_of(ground: _Ground, objective: Beat) -> Line:
    if isinstance(objective.line, FieldLine) and len(ground.task.parts) > 1:
        raise BadInput(
            "Opponents are drawn only where all places of a lineup are alike.",
            field="objective",
            hint="Ask for the chance of beating a score.",
        )
    return ground.basis.line(objective.line)
