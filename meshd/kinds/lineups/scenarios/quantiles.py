"""Quantiles by table: a 16-bit number becomes a whole number with a normal or an exponential distribution.

The tables are made of floats but do not depend on how a machine rounds them: no entry lies so near to the middle of
two whole numbers that an error of 1e-8 would change it (a test holds that), and floats err by 1e-11 here.
"""

from collections.abc import Sequence
from math import isqrt, log
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

NORMAL_SD = 4_096
"""One standard deviation: fine enough for sums of many, and four of them stay within 16 bits."""

EXPONENTIAL_MEAN = 1_024
"""The mean of an exponential variate."""

_PARTS = 1 << 16
_HALF = _PARTS // 2


def exact_normal(part: int) -> float:
    """Return the normal quantile of the middle of one of 65,536 equal parts, before it is rounded."""
    return NormalDist(0, NORMAL_SD).inv_cdf((2 * part + 1) / (2 * _PARTS))


def exact_exponential(part: int) -> float:
    """Return the exponential quantile of the middle of one of 65,536 equal parts, before it is rounded."""
    return -EXPONENTIAL_MEAN * log((2 * (_PARTS - part) - 1) / (2 * _PARTS))


def _normal() -> NDArray[np.int16]:
    lower = [round(exact_normal(part)) for part in range(_HALF)]
    return np.array([*lower, *(-value for value in reversed(lower))], np.int16)


NORMAL = _normal()
"""Normal variates by 16-bit number, in units of 1 / NORMAL_SD."""

EXPONENTIAL = np.array([round(exact_exponential(part)) for part in range(_PARTS)], np.int16)
"""Exponential variates by 16-bit number, in units of 1 / EXPONENTIAL_MEAN."""


def normal_scores(ranks: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return what the ranks 0, 1, …, n-1 stand for in a normal sample: rank 0 the highest."""
    return -NORMAL[(2 * ranks + 1) * _HALF // len(ranks)].astype(np.int32)


def standardised(values: Sequence[int], *, deviations: int = 3) -> list[int]:
    """Return the values shifted to mean 0, scaled to a standard deviation of NORMAL_SD and held within `deviations`."""
    count, total = len(values), sum(values)
    distances = [count * value - total for value in values]
    deviation = isqrt(sum(distance * distance for distance in distances) // count) if count else 0
    if deviation == 0:
        return [0] * count
    held = deviations * NORMAL_SD
    return [max(-held, min(held, distance * NORMAL_SD // deviation)) for distance in distances]
