"""Subsets of players in one fixed order, and sums over all of them at once.

Subsets of one size are ordered by their largest player, then by the next largest, and so on. Those of the first few
players therefore come first, and the subsets with the same largest player are a block: the smaller subsets below it,
with that player added to each. Sums over all subsets are contiguous slices added up.
"""

from functools import lru_cache
from math import comb
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.int8, np.int16, np.int32, np.int64)


def subset_sums(values: NDArray[Number], size: int, *, out: NDArray[Number] | None = None) -> NDArray[Number]:
    """Return the sum of every subset of the last axis, in subset order, in the same integer type.

    With `out`, the sums go to the front of its last axis, and `out` is returned.
    """
    players, leading = values.shape[-1], values.shape[:-1]
    sums = np.empty((*leading, comb(players, size)), values.dtype) if out is None else out
    if size == 0:
        sums[..., :1] = 0
    elif size == 1:
        sums[..., :players] = values
    elif players >= size:
        add_largest(values, subset_sums(values[..., :-1], size - 1), size, out=sums)
    return sums


def add_largest(
    values: NDArray[Number], smaller: NDArray[Number], size: int, *, out: NDArray[Number]
) -> NDArray[Number]:
    """Fill `out` with the sums of the subsets of `size`, given those of one player less; return it."""
    for largest in range(size - 1, values.shape[-1]):
        start, below = comb(largest, size), comb(largest, size - 1)
        np.add(smaller[..., :below], values[..., largest, None], out=out[..., start : start + below])
    return out


@lru_cache(maxsize=64)
def subsets(players: int, size: int) -> NDArray[np.int64]:
    """Return the members of every subset, ascending, in subset order; not to be written to."""
    found = np.empty((comb(players, size), size), np.int64)
    if size:
        smaller = subsets(max(players - 1, 0), size - 1)
        for largest in range(size - 1, players):
            start, below = comb(largest, size), comb(largest, size - 1)
            found[start : start + below, :-1] = smaller[:below]
            found[start : start + below, -1] = largest
    found.flags.writeable = False
    return found


def ranks(members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each subset, given as ascending members, stands in subset order."""
    at = np.zeros(len(members), np.int64)
    for place in range(members.shape[1]):
        below = np.ones(len(members), np.int64)
        for factor in range(place + 1):
            # The product of k consecutive numbers is divisible by k!, at every step.
            below = below * (members[:, place] - factor) // (factor + 1)
        at += below
    return at
