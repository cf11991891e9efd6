"""Shares: a whole number of laps handed out by weight, so that not one is lost."""

import numpy as np
from numpy.typing import NDArray

REACH_STEPS = 16
"""How far back laps are handed out is told in sixteenths of a place."""

MAX_REACH = 64 * REACH_STEPS
"""Further back than any field. With a power of 3 and the largest jitter, products with laps stay within 63 bits."""


def front_weights(places: NDArray[np.int32], reach: NDArray[np.int32], power: int) -> NDArray[np.int64]:
    """Return each driver's weight: the power of how many places within its race's `reach` it is, 0 beyond it."""
    within = np.maximum(reach[:, None] - REACH_STEPS * (places - 1), 0)
    weights = within.astype(np.int64)
    for _ in range(power - 1):
        weights *= within
    return weights


def handed_out(laps: NDArray[np.int32], weights: NDArray[np.int64], phases: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Split each race's laps by weight; the parts add up exactly.

    A part is rounded up or down by where it lies on a scale with a random beginning: no column is favoured. Where
    nobody has a weight, nothing is handed out.
    """
    ends = np.cumsum(weights, axis=1)
    totals = np.maximum(ends[:, -1:], 1)
    begin = (totals >> 16) * phases[:, None].astype(np.int64)
    marks = (ends * laps[:, None] + begin) // totals
    return np.diff(marks, axis=1, prepend=0).astype(np.int32)


def completed_by(
    winners: NDArray[np.int32], laps: NDArray[np.int32], parts: NDArray[np.int32], most: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Hold each part within `most`, and give each race's winner what is then left of its laps."""
    kept = np.minimum(parts, most)
    kept[np.arange(len(kept)), winners] += laps - kept.sum(axis=1, dtype=np.int32)
    return kept
