"""Quantiles of lineups' scores: exact ones from histograms, and proof that no other lineup has a better one.

A quantile is named in thousandths of a percent: 99,900 is the score that a lineup reaches or beats in one scenario of
a thousand. To find the lineups with the highest, some candidates get exact quantiles first. The K-th best of these is
a line, and one pass counts the scenarios in which *every* lineup reaches it: those that do so often enough are all the
lineups with as good a quantile, and the best K are among them. How the candidates were chosen decides only how many
those are, never who wins.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.partials import Histogram, Moments

WHOLE = 100_000
"""The whole, in thousandths of a percent."""

_TOGETHER = 1_024
"""Lineups whose bins are added up together: all of them would take as much memory again as their histogram."""


def races_required(races: int, quantile: int) -> int:
    """Return in how many races a score must be reached to be the quantile: rounded up, and at least one."""
    return max(1, -(-races * (WHOLE - quantile) // WHOLE))


def quantile_of(histogram: Histogram, quantile: int) -> NDArray[np.int64]:
    """Return each lineup's highest score that is reached in the required number of races.

    One in the first bin may in truth be lower, and one in the last bin higher.
    """
    required = races_required(histogram.races, quantile)
    lineups, bins = histogram.counts.shape
    found = np.empty(lineups, np.int64)
    for start in range(0, lineups, _TOGETHER):
        rows = slice(start, start + _TOGETHER)
        from_above = np.cumsum(histogram.counts[rows, ::-1], axis=1, dtype=np.int32)
        found[rows] = (from_above >= required).argmax(axis=1)
    return histogram.low + bins - 1 - found


def promises(lineups: Lineups, allowed: NDArray[np.bool_], moments: Moments, quantile: int) -> NDArray[np.float64]:
    """Return the quantile that a normal distribution would have, of every lineup that is allowed."""
    found = np.empty(int(np.count_nonzero(allowed)))
    deviations, at = normal_quantile(quantile), 0
    # Range by range: of all lineups at once, what comes in between would take five times as much memory as the answer.
    ranges = zip(lineups.sums_by_range(moments.sums), lineups.pair_sums_by_range(moments.products), strict=True)
    for (numbers, totals), (_, pairs) in ranges:
        kept = allowed[numbers]
        mean, deviation = _mean_and_deviation(totals.ravel()[kept], pairs.ravel()[kept], moments.races)
        found[at : at + len(mean)] = mean + deviations * deviation
        at += len(mean)
    return found


def far_above(members: NDArray[np.int64], moments: Moments) -> int:
    """Return a score that hardly any of these lineups ever reaches: five standard deviations above its mean."""
    totals = moments.sums[members].sum(axis=1)
    pairs = moments.products[members[:, :, None], members[:, None, :]].sum(axis=(1, 2))
    mean, deviation = _mean_and_deviation(totals, pairs, moments.races)
    return int((mean + 5 * deviation).max()) + 1


def _mean_and_deviation(
    totals: NDArray[np.int64], pairs: NDArray[np.int64], races: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = totals / races
    return mean, np.sqrt(np.maximum(pairs / races - mean * mean, 0.0))


def normal_quantile(quantile: int) -> float:
    """Return how many standard deviations above the mean a normal variable has the quantile; four decimals.

    Libraries differ in the last bits of a logarithm. Rounded, the candidates are the same on every device.
    """
    return round(NormalDist().inv_cdf(quantile / WHOLE), 4)


def most_promising(promise: NDArray[np.float64], take: int) -> NDArray[np.int64]:
    """Return where the `take` largest values are, ascending; the first of equals."""
    if take >= len(promise):
        return np.arange(len(promise))
    line = np.partition(promise, len(promise) - take)[len(promise) - take]
    above, level = np.flatnonzero(promise > line), np.flatnonzero(promise == line)
    return np.sort(np.concatenate([above, level[: take - len(above)]]))
