"""The lineups with the highest quantile: candidates draw a line, one pass finds all that reach it often enough.

Lineups that have to differ are chosen one after the other, so the last ones stand far behind, and hundreds of
thousands are above them that earlier choices have closed. So the line falls in rounds: a pass finds the lineups above
it that are still open, and among these is chosen until none is left.
"""

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.cost import CANDIDATES
from meshd.kinds.lineups.engine.answers import Proof
from meshd.kinds.lineups.engine.diversity import Chosen, go_on_choosing
from meshd.kinds.lineups.engine.limits import MAX_CANDIDATES, MAX_HISTOGRAM_CELLS
from meshd.kinds.lineups.engine.planning import Story, Telling
from meshd.kinds.lineups.engine.quantiles import far_above, most_promising, promises, quantile_of, races_required
from meshd.kinds.lineups.engine.ranking import first
from meshd.kinds.lineups.engine.shares import Shares
from meshd.kinds.lineups.engine.steps import CountAll, FillHistogram, Score
from meshd.kinds.lineups.engine.stories import Basis, ask, begin, counts_of, end, stranger, told
from meshd.kinds.lineups.engine.task import Quantile, Task
from meshd.kinds.lineups.partials import Counts, Effort, Histogram

OPEN_CANDIDATES = 16_384
"""Open lineups that a line is to leave above it: looking at them takes about as long as a pass."""

FEW = 4
"""So few lineups in a round are too few, however few are wanted: the line then falls twice as far."""

_MARGIN = 1_000
"""Units by which a window reaches beyond what is expected: 50 points. Where it was too narrow, a wider one follows."""

_HEADROOM = 200
"""Units by which the best of all lineups is expected to be above the best candidate, at most: 10 points."""


def by_quantile(task: Task, objective: Quantile) -> Story:
    """Tell of the lineups with the highest quantile.

    Raises:
        BadInput: so many lineups share the last quantile that the races cannot tell them apart.
    """
    if task.diversity.is_plain:
        return _all_at_once(task, objective.quantile)
    return _in_rounds(task, objective.quantile)


def _all_at_once(task: Task, quantile: int) -> Story:
    shares = Shares.of(task)
    basis = yield from begin(task, shares)
    candidates, low, high = _candidates(basis, quantile)
    values = yield from _exact(
        basis, candidates, low, high, quantile, shares.candidates, "ranking candidates", "", is_line=False
    )
    best = told(float(values.max()), _name(quantile))
    line = int(np.sort(values)[-min(task.diversity.count, len(values))])
    required = races_required(task.scenarios, quantile)
    counted = yield from ask(CountAll(Score(line)), "counting every lineup", shares.one_pass, best, Counts, task)
    complete = task.feasible[counts_of(counted, Score(line), task) >= required]
    high = int(values.max()) + _HEADROOM
    values = yield from _exact(
        basis, complete, line, high, quantile, shares.describe, "ranking the best", best, is_line=True
    )
    totals = basis.totals[basis.rows(complete)]
    lineups = first(task.lineups, complete, [values, totals], task.diversity.count)
    proof = Proof(passes=1, line=Score(line), required=required, complete_set=len(complete))
    return (yield from end(basis, lineups, proof, shares, best=best, efforts=(counted.effort,)))


def _in_rounds(task: Task, quantile: int) -> Story:
    shares = Shares.of(task)
    basis = yield from begin(task, shares)
    promise = promises(task.lineups, task.allowed, basis.moments, quantile)
    required, wanted = races_required(task.scenarios, quantile), task.candidates or OPEN_CANDIDATES
    chosen = Chosen(task.diversity, task.lineups.players, task.lineups.size)
    picks: list[int] = []
    efforts: list[Effort] = []
    # Every open lineup with a quantile of `line` or more has been looked at.
    line, last, looked_at, number, step, best = task.bounds[1] + 1, 0, 0, 0, 1, ""
    while chosen.left:
        is_open = chosen.open_in_all(task.lineups, task.allowed)[task.feasible]
        rows = np.flatnonzero(is_open)
        if not len(rows):
            break
        share, number, before = shares.of_repeat(number), number + 1, line
        low = int(promise[rows].min()) - _MARGIN
        high = min(before, int(promise[rows].max()) + _HEADROOM)
        is_all = len(rows) <= wanted and len(rows) * (high - low + 1 + _MARGIN) <= MAX_HISTOGRAM_CELLS
        if not is_all:
            line = min(before - step, _line_above(promise[rows], min(wanted, len(rows))))
            while True:
                label = f"counting every lineup ({len(picks)} chosen)"
                counted = yield from ask(CountAll(Score(line)), label, share.one_pass, best, Counts, task)
                efforts.append(counted.effort)
                reach = rows[counts_of(counted, Score(line), task)[rows] >= required]
                if len(reach) <= MAX_CANDIDATES or line >= before - 1:
                    break
                # Promised too little: so many cannot be looked at together.
                line = (line + before) // 2
            step = 2 * step if len(reach) < max(FEW, wanted // 16) else 1
            rows, low = reach, line
        if not len(rows):
            continue
        complete = task.feasible[rows]
        values = yield from _exact(
            basis, complete, low, high, quantile, share.select, "ranking the best", best, is_line=not is_all
        )
        looked_at += len(complete)
        found = go_on_choosing(task.lineups, complete, [values, basis.totals[rows]], chosen)
        best = best or told(float(values.max()), _name(quantile))
        picks += found.tolist()
        if len(found):
            last = int(values[np.searchsorted(complete, found[-1])])
    proof = Proof(passes=len(efforts), line=Score(last), required=required, complete_set=looked_at)
    return (yield from end(basis, np.array(picks, np.int64), proof, shares, best=best, efforts=tuple(efforts)))


def _line_above(promise: NDArray[np.float64], wanted: int) -> int:
    """Return the line above which so many promises are."""
    return int(np.partition(promise, len(promise) - wanted)[len(promise) - wanted])


def _name(quantile: int) -> str:
    return f"p{quantile / 1000:g}"


def _candidates(basis: Basis, quantile: int) -> tuple[NDArray[np.int64], int, int]:
    """Return the lineups that a normal distribution would put first, and between what their quantiles should lie."""
    task = basis.task
    promise = promises(task.lineups, task.allowed, basis.moments, quantile)
    take = min(MAX_CANDIDATES, task.candidates or max(CANDIDATES, 3 * task.diversity.count))
    chosen = most_promising(promise, max(take, task.diversity.count))
    low = int(promise[chosen].min()) - _MARGIN
    numbers = task.feasible[chosen]
    return numbers, low, far_above(task.lineups.members(numbers), basis.moments)


def _exact(
    basis: Basis,
    lineups: NDArray[np.int64],
    low: int,
    high: int,
    quantile: int,
    share: float,
    label: str,
    best: str,
    *,
    is_line: bool,
) -> Telling[NDArray[np.int64]]:
    """Ask for the exact quantiles of some lineups; ask again with a wider window where one lies beyond it.

    Where `low` is a line that all of them reach, none lies below it.
    """
    task = basis.task
    lowest, highest = task.bounds
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
