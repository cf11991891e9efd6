"""The lineups with the highest quantile: candidates draw a line, one pass finds all that reach it often enough."""

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.cost import CANDIDATES
from meshd.kinds.lineups.engine.answers import Proof
from meshd.kinds.lineups.engine.diversity import chosen_by_value
from meshd.kinds.lineups.engine.limits import MAX_CANDIDATES, MAX_HISTOGRAM_CELLS
from meshd.kinds.lineups.engine.planning import Story, Telling
from meshd.kinds.lineups.engine.quantiles import most_promising, promises, quantile_of, races_required
from meshd.kinds.lineups.engine.shares import Shares
from meshd.kinds.lineups.engine.steps import CountAll, FillHistogram, Score
from meshd.kinds.lineups.engine.stories import Basis, ask, begin, counts_of, end, stranger, told
from meshd.kinds.lineups.engine.task import Quantile, Task
from meshd.kinds.lineups.partials import Counts, Effort, Histogram

DIVERSE_CANDIDATES = 4_096
"""Where lineups must differ, the last ones chosen stand far behind: 600th for 150 that share at most four of six."""

_MARGIN = 1_000
"""Units by which a window reaches beyond what is expected: 50 points. Where it was too narrow, a wider one follows."""

_STEP = 20
"""Units by which the line falls when too few lineups reached it: one point, then twice as many."""


def by_quantile(task: Task, objective: Quantile) -> Story:
    """Tell of the lineups with the highest quantile.

    Raises:
        BadInput: so many lineups share the last quantile that the races cannot tell them apart.
    """
    shares = Shares.of(task)
    quantile = objective.quantile
    name = f"p{quantile / 1000:g}"
    basis = yield from begin(task, shares)
    candidates, low, high = _candidates(basis, quantile)
    values = yield from _exact(basis, candidates, low, high, quantile, shares.candidates, "ranking candidates", "")
    rows = _chosen_rows(basis, candidates, values)
    best = told(float(values.max()), name)
    line = int(values[rows[-1]] if len(rows) == min(task.diversity.count, len(task.feasible)) else values.min())
    required = races_required(task.scenarios, quantile)
    efforts: list[Effort] = []
    step = _STEP
    while True:
        counted = yield from ask(CountAll(Score(line)), "counting every lineup", shares.one_pass, best, Counts, task)
        efforts.append(counted.effort)
        complete = task.feasible[counts_of(counted, Score(line), task) >= required]
        high = int(values.max()) + _MARGIN
        values = yield from _exact(basis, complete, line, high, quantile, shares.describe, "ranking the best", best)
        rows = _chosen_rows(basis, complete, values)
        if len(rows) == task.diversity.count or len(complete) == len(task.feasible):
            break
        line, step = max(task.bounds[0], line - step), 2 * step
    proof = Proof(passes=len(efforts), line=Score(line), required=required, complete_set=len(complete))
    return (yield from end(basis, complete[rows], proof, shares, best=best, efforts=tuple(efforts)))


def _candidates(basis: Basis, quantile: int) -> tuple[NDArray[np.int64], int, int]:
    """Return the lineups that a normal distribution would put first, and between what their quantiles should lie."""
    task = basis.task
    mean, deviation, promise = (values[task.feasible] for values in promises(task.lineups, basis.moments, quantile))
    usual = CANDIDATES if task.diversity.is_plain else DIVERSE_CANDIDATES
    take = min(MAX_CANDIDATES, task.candidates or max(usual, 3 * task.diversity.count))
    chosen = most_promising(promise, max(take, task.diversity.count))
    low = int(promise[chosen].min()) - _MARGIN
    return task.feasible[chosen], low, int((mean + 5 * deviation)[chosen].max()) + 1


def _chosen_rows(basis: Basis, lineups: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where those stand that are chosen among some lineups, by their quantiles."""
    totals = basis.totals[basis.rows(lineups)]
    picks = chosen_by_value(basis.task.lineups, lineups, [values, totals], basis.task.diversity)
    return np.searchsorted(lineups, picks)


def _exact(
    basis: Basis,
    lineups: NDArray[np.int64],
    low: int,
    high: int,
    quantile: int,
    share: float,
    label: str,
    best: str,
) -> Telling[NDArray[np.int64]]:
    """Ask for the exact quantiles of some lineups; ask again with a wider window where one lies beyond it."""
    task = basis.task
    lowest, highest = task.bounds
    # Below the line of a pass nothing needs to be told apart.
    is_line = label == "ranking the best"
    while True:
        low, high = max(low, lowest), min(max(high, low), highest)
        bins = high - low + 1
        _refuse_too_many(task, lineups, bins, quantile)
        numbers = tuple(lineups.tolist())
        step = FillHistogram(numbers, low, bins)
        found = yield from ask(step, label, share, best, Histogram, task)
        if not np.array_equal(found.lineups, lineups) or found.low != low:
            raise stranger()
        values = quantile_of(found, quantile)
        too_low = not is_line and low > lowest and bool((values == low).any())
        too_high = high < highest and bool((values == high).any())
        if not too_low and not too_high:
            return values
        low, high = low - _MARGIN * too_low, high + _MARGIN * too_high


def _refuse_too_many(task: Task, lineups: NDArray[np.int64], bins: int, quantile: int) -> None:
    if len(lineups) > MAX_CANDIDATES or len(lineups) * bins > MAX_HISTOGRAM_CELLS:
        raise BadInput(
            f"{len(lineups):,} lineups have as good a p{quantile / 1000:g} as number {task.diversity.count:,}: "
            f"{task.scenarios:,} scenarios cannot tell them apart.",
            field="scenarios",
            hint="Use more scenarios, or ask for fewer lineups.",
        )
