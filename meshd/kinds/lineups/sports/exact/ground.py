"""The ground of every exact story: the moments, the scan for candidates, the pass over all ranges, exact quantiles."""

from collections.abc import Callable, Generator
from copy import deepcopy
from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.diversity import Chosen, go_on_choosing
from meshd.kinds.lineups.engine.limits import MAX_CANDIDATES, MAX_HISTOGRAM_CELLS
from meshd.kinds.lineups.engine.planning import Planned
from meshd.kinds.lineups.engine.quantiles import normal_quantile, quantile_of
from meshd.kinds.lineups.engine.shares import Shares
from meshd.kinds.lineups.engine.steps import FillHistogram, Line, Score, SumMoments
from meshd.kinds.lineups.engine.stories import Basis, ask, stranger
from meshd.kinds.lineups.engine.task import LineSpec
from meshd.kinds.lineups.partials import Best, Histogram, Moments, Partial
from meshd.kinds.lineups.sports.exact.halves import halves_of
from meshd.kinds.lineups.sports.exact.steps import CountRanges, GainRanges, ScanRanges, StreamStep
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.field import field_of

CANDIDATES = 1_500
"""Lineups looked at before the pass, ten times a usual portfolio; the better they are, the more the pass rules out."""

DEPTH = 4
"""Where lineups must differ: this many times as many are looked at, and again where that was too few."""

MOST_ABOVE = 4_096
"""Candidates that a line leaves above it at most: of all lineups there may be ten times as many."""

_MARGIN = 400
"""Units, 20 points, that a histogram reaches beyond what is expected of it."""

SHARES = Shares(
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


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What is known after the moments."""

    task: StreamedTask
    basis: Basis
    sums: NDArray[np.int64]
    ranges: int
    total: int
    """Lineups in all ranges, rules aside."""

    def line(self, spec: LineSpec) -> Line:
        """Return the line that is meant, with the field's weights worked out."""
        if isinstance(spec, Score):
            return spec
        sums, salaries = [int(total) for total in self.sums], self.task.rules.salaries
        return field_of(spec, sums, self.task.scenarios, salaries, self.task.open_to_places)

    def numbers(self, found: Best) -> NDArray[np.int64]:
        """Return the numbers of the lineups found."""
        return self.task.lineups.numbers(found.members)

    def first_choice(self) -> Chosen:
        """Return the choice as it stands at the beginning."""
        return Chosen(self.task.diversity, self.task.lineups.players, self.task.lineups.size)

    def choose(self, found: Best, values: NDArray[np.int64], chosen: Chosen) -> NDArray[np.int64]:
        """Return where, among those found, the lineups stand that come next, highest values first."""
        numbers = self.numbers(found)
        order = np.argsort(numbers)
        picks = go_on_choosing(self.task.lineups, numbers[order], [values[order], found.totals[order]], chosen)
        return order[np.searchsorted(numbers[order], picks)]


def are_all(found: Best) -> bool:
    """Return whether a scan has found every lineup that keeps the rules."""
    return len(found.values) < found.take


def begin(task: StreamedTask) -> ExactTelling[Ground]:
    """Ask for the moments."""
    moments = yield from ask(SumMoments(), "simulating", SHARES.moments, "", Moments, task)
    if len(moments.sums) != task.lineups.players:
        raise stranger()
    halves = halves_of(task.parts, task.lineups.locked, task.lineups.excluded, moments.sums)
    total = int(np.searchsorted(-halves.columns.edges, -halves.rows.edges).sum())
    return Ground(task, Basis(task, moments, np.zeros(0, np.int64)), moments.sums, halves.blocks, total)


def scan(
    ground: Ground, values: NDArray[np.int64], take: int, share: float, picks: tuple[int, ...] = ()
) -> ExactTelling[Best]:
    """Ask for the lineups with the highest sum of values, of those that the picks leave open."""
    step = ScanRanges(tuple(values.tolist()), tuple(ground.sums.tolist()), take, picks)
    planned = PlannedStream(step, ground.ranges, "looking for candidates", share)
    return _whole((yield lambda: planned), ground, 0, take)


def search(
    ground: Ground, step: CountRanges | GainRanges, best: str, share: float = SHARES.one_pass
) -> ExactTelling[Best]:
    """Ask for all lineups that reach the line so often, or gain so much."""
    label = f"counting every lineup ({len(step.chosen)} chosen)" if step.chosen else "counting every lineup"
    planned = PlannedStream(step, ground.ranges, label, share, best)
    return _whole((yield lambda: planned), ground, ground.task.scenarios, step.take)


def _whole(partial: Partial, ground: Ground, races: int, take: int) -> Best:
    if (
        not isinstance(partial, Best)
        or (partial.races, partial.take, partial.covered) != (races, take, ground.total)
        or partial.members.shape[1] != ground.task.lineups.size
        or int(partial.members.max(initial=0)) >= ground.task.lineups.players
    ):
        raise stranger()
    return partial


def promising(ground: Ground, quantile: int) -> NDArray[np.int64]:
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


def candidates(
    ground: Ground, quantile: int, picks: tuple[int, ...] = (), share: float = SHARES.candidates
) -> ExactTelling[Best]:
    """Ask for the lineups that promise the highest quantiles, of those that the picks leave open."""
    wanted = max(CANDIDATES, DEPTH * ground.task.diversity.count)
    take = min(MAX_CANDIDATES, wanted if ground.task.diversity.is_plain else DEPTH * wanted)
    return (yield from scan(ground, promising(ground, quantile), take, share, picks))


def line_below(ground: Ground, found: Best, values: NDArray[np.int64], chosen: Chosen) -> int:
    """Return the value that lineups chosen from all there are will have, as far as those found can tell."""
    likely = ground.choose(found, values, deepcopy(chosen))
    deepest = np.sort(values)[-min(len(values), MOST_ABOVE)]
    return max(int(values[likely].min(initial=int(values.max()))), int(deepest))


def quantiles(
    ground: Ground, found: Best, quantile: int, line: int | None, label: str, share: float = SHARES.describe
) -> ExactTelling[NDArray[np.int64]]:
    """Ask for the scores of some lineups, in the order found; return their quantiles.

    None is below the `line`. Where none is given, or some lie beyond what was expected, it asks again.
    """
    task, numbers = ground.task, ground.numbers(found)
    low, high = window(ground, found, quantile)
    low = low if line is None else line
    while True:
        high = min(high, low + MAX_HISTOGRAM_CELLS // max(1, len(numbers)) - 1)
        step = FillHistogram(tuple(numbers.tolist()), low, high - low + 1)
        counted = yield from ask(step, label, share, "", Histogram, task)
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


def window(ground: Ground, found: Best, quantile: int) -> tuple[int, int]:
    """Return between what units the quantiles of some lineups should lie."""
    races = ground.task.scenarios
    means = found.totals / races
    chosen = ground.basis.moments.products[found.members[:, :, None], found.members[:, None, :]]
    variances = chosen.sum(axis=(1, 2)) / races - means * means
    expected = means + normal_quantile(quantile) * np.sqrt(np.maximum(variances, 0.0))
    return int(expected.min()) - _MARGIN, int(expected.max()) + _MARGIN
