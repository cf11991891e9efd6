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


def promises(
    lineups: Lineups, moments: Moments, quantile: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return every lineup's mean, standard deviation, and the quantile that a normal distribution would have."""
    mean = lineups.sums(moments.sums) / moments.races
    variance = lineups.pair_sums(moments.products) / moments.races - mean * mean
    deviation = np.sqrt(np.maximum(variance, 0.0))
    return mean, deviation, mean + normal_quantile(quantile) * deviation


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
