"""How low and how high any lineup can score, and that 16 bits hold it."""

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT

_LIMITS = np.iinfo(np.int16)
_MARGIN = 2
"""Lines stand one above or one below what can be scored."""


def reach_of(scores: NDArray[np.int16], size: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return, for each scenario of [scenarios, players] scores, what the worst and the best lineup of `size` score.

    Raises:
        BadInput: they, or the distance between them, need more than 16 bits.
    """
    ordered = np.sort(scores, axis=1)
    low = ordered[:, :size].sum(axis=1, dtype=np.int32)
    high = ordered[:, -size:].sum(axis=1, dtype=np.int32)
    if len(scores) and (
        low.min() < _LIMITS.min + _MARGIN
        or high.max() > _LIMITS.max - _MARGIN
        or int((high - low).max()) > _LIMITS.max - _MARGIN
    ):
        raise BadInput(
            f"Lineups score from {low.min() / UNITS_PER_POINT:,.0f} to {high.max() / UNITS_PER_POINT:,.0f} points.",
            field="players",
            hint="Check the projections: a lineup may score from -1,600 to 1,600 points, and so far apart at most.",
        )
    return low, high
