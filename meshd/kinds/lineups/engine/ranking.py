"""An order of lineups without ties: by values, then by the mean, then by their players."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.enumeration import Lineups

_PLAYER_BITS = 10
"""Six players below 1,024 make a key of 60 bits."""

Values: TypeAlias = Sequence[NDArray[np.int64] | NDArray[np.int32]]
"""What lineups are ordered by: one entry for each of them in each array, the array that decides first in front."""


def spelled(members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a key for each lineup, given as ascending players.

    Of two lineups, the one with the earlier first player has the lower key, then the one with the earlier second one.
    """
    key = np.zeros(len(members), np.int64)
    for place in range(members.shape[1]):
        key = (key << _PLAYER_BITS) | members[:, place]
    return key


def ranked(lineups: Lineups, numbers: NDArray[np.int64], values: Values) -> NDArray[np.int64]:
    """Return the numbered lineups, highest values first; `values` hold one entry for each of the numbers."""
    keys = [spelled(lineups.members(numbers)), *(-value for value in reversed(values))]
    return numbers[np.lexsort(keys)]


def first(lineups: Lineups, numbers: NDArray[np.int64], values: Values, take: int) -> NDArray[np.int64]:
    """Return the first `take` of what `ranked` returns; far cheaper when they are few."""
    if not take:
        return numbers[:0]
    if take >= len(numbers):
        return ranked(lineups, numbers, values)
    sure: list[NDArray[np.int64]] = []
    left, missing = np.arange(len(numbers)), take
    for value in values:
        here = value[left]
        line = here.max() if missing == 1 else np.partition(here, len(here) - missing)[len(here) - missing]
        sure.append(left[here > line])
        missing -= len(sure[-1])
        left = left[here == line]
        if missing == len(left):
            break
    tied = left[np.argsort(spelled(lineups.members(numbers[left])))[:missing]] if missing < len(left) else left
    kept = np.concatenate([*sure, tied])
    return ranked(lineups, numbers[kept], [value[kept] for value in values])


def likeliest(values: NDArray[np.int64] | NDArray[np.int32], totals: NDArray[np.int64], take: int) -> NDArray[np.int64]:
    """Return where the `take` highest values are, the higher total first among equals, and all that equal the last.

    Ascending, and none with a value below 0. Unlike `first` it needs little memory beside the two arrays.
    """
    if take >= len(values):
        return np.flatnonzero(values >= 0)
    line = max(0, int(np.partition(values, len(values) - take)[len(values) - take]))
    above, tied = values > line, values == line
    missing = take - int(np.count_nonzero(above))
    if int(np.count_nonzero(tied)) > missing:
        lowest = np.iinfo(np.int64).min
        ordered = np.where(tied, totals, lowest)
        ordered.partition(len(ordered) - missing)
        tied &= totals >= ordered[len(ordered) - missing]
    return np.flatnonzero(above | tied)
