"""Figures of chosen lineups: what their scores come to, in points, with standard errors.

Everything is exact up to the last step, which divides or takes a square root: those round alike on every device.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.quantiles import races_required
from meshd.kinds.lineups.engine.settling import rank_error
from meshd.kinds.lineups.partials import Histogram
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT

TOLD_QUANTILES = (10, 50, 90, 99)
"""What is told of every lineup's scores, in percent."""

_DIGITS = 6

PERCENT = 1_000
"""The engine names quantiles in thousandths of a percent."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation, in points."""

    mean: float
    sd: float
    races: int

    @property
    def se(self) -> float:
        """The standard error of the mean."""
        return rounded(self.sd / sqrt(self.races))


def spread(total: int, squares: int, races: int, moved: int = 0) -> Spread:
    """Return mean and standard deviation of scores in units, each of which was moved by so many units."""
    deviation = sqrt(max(0, races * squares - total * total)) / (UNITS_PER_POINT * races)
    return Spread(readable((total - moved * races) / (UNITS_PER_POINT * races)), readable(deviation), races)


def readable(value: float) -> float:
    """Return a figure with the digits that anybody can use: a result travels in one message."""
    return round(value, _DIGITS)


def rounded(error: float) -> float:
    """Return a standard error with as many digits as it is worth."""
    return float(f"{error:.4g}")


def share_and_error(races: int, of: int) -> tuple[float, float]:
    """Return a share of races, and its standard error."""
    share = races / of
    return share, rounded(sqrt(share * (1 - share) / of))


class Described:
    """Quantiles of described lineups, in points, by row."""

    def __init__(self, histogram: Histogram, moved: NDArray[np.int64]) -> None:
        """Take what each lineup was moved by, in units."""
        self._from_above = np.cumsum(histogram.counts[:, ::-1], axis=1, dtype=np.int32)
        self._top = histogram.low + histogram.counts.shape[1] - 1
        self._races = histogram.races
        self._moved = moved

    def reached(self, races: int) -> NDArray[np.float64]:
        """Return the highest score that each lineup reaches in so many races."""
        races = max(1, min(self._races, races))
        units = self._top - (self._from_above >= races).argmax(axis=1) - self._moved
        return units / UNITS_PER_POINT

    def quantile(self, quantile: int) -> NDArray[np.float64]:
        """Return a quantile, in thousandths of a percent, of each lineup."""
        return self.reached(races_required(self._races, quantile))

    def quantile_error(self, quantile: int) -> NDArray[np.float64]:
        """Return its standard error: half the distance between the scores one standard error of the rank away."""
        required = races_required(self._races, quantile)
        away = rank_error(required, self._races)
        return (self.reached(required - away) - self.reached(required + away)) / 2

    def share_at(self, units: int) -> NDArray[np.int32]:
        """Return in how many races each lineup, as it was moved, scores so many units or more."""
        place = min(max(self._top - units, -1), self._from_above.shape[1] - 1)
        return self._from_above[:, place] if place >= 0 else np.zeros(len(self._from_above), np.int32)
