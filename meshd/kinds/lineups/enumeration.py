"""Every six-driver lineup of a slate, numbered: two triples side by side.

A lineup of drivers a < b < c < d < e < f is a left triple (a, b, c) and a right triple (d, e, f). Triples are
ordered by their largest driver; right triples are counted from the far end of the slate, so that both sides share
one order. A left triple with largest driver c then goes with exactly the first `comb(drivers - 1 - c, 3)` right
triples: the lineups form a staircase, stored row after row. Sums over triples are contiguous slices added up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

ROSTER_SIZE = 6
"""Drivers in a lineup: two triples."""

Number = TypeVar("Number", np.int16, np.int32, np.int64)


@dataclass(frozen=True, slots=True)
class Step:
    """The lineups whose left triple has the same largest driver: a block of the staircase."""

    first_row: int
    rows: int
    width: int
    """How many right triples go with each row."""

    offset: int
    """The number of the block's first lineup."""

    drivers_right: int
    """How many drivers, from the far end, the right triples are drawn from."""


def lineup_total(drivers: int) -> int:
    """Return how many lineups a slate of that many drivers has."""
    return comb(drivers, ROSTER_SIZE)


def staircase(drivers: int) -> Iterator[Step]:
    """Yield the blocks in order; together they hold every lineup once."""
    offset = 0
    for largest in range(2, drivers - 3):
        rows, width = comb(largest, 2), comb(drivers - 1 - largest, 3)
        yield Step(comb(largest, 3), rows, width, offset, drivers - 1 - largest)
        offset += rows * width


def triple_sums(values: NDArray[Number], *, out: NDArray[Number] | None = None) -> NDArray[Number]:
    """Return the sum of every triple of the last axis, in triple order, in the same integer type.

    With `out`, the sums go to the front of its last axis, and `out` is returned.
    """
    drivers = values.shape[-1]
    leading = values.shape[:-1]
    pairs = np.empty((*leading, comb(drivers, 2)), values.dtype)
    for second in range(1, drivers):
        start = comb(second, 2)
        np.add(values[..., :second], values[..., second, None], out=pairs[..., start : start + second])
    sums = np.empty((*leading, comb(drivers, 3)), values.dtype) if out is None else out
    for third in range(2, drivers):
        start, size = comb(third, 3), comb(third, 2)
        np.add(pairs[..., :size], values[..., third, None], out=sums[..., start : start + size])
    return sums


def lineup_sums(values: NDArray[Number]) -> NDArray[Number]:
    """Return, for every lineup, the sum of its drivers' values."""
    drivers = values.shape[0]
    left, right = triple_sums(values), triple_sums(values[::-1])
    sums = np.empty(lineup_total(drivers), values.dtype)
    for step in staircase(drivers):
        block = sums[step.offset : step.offset + step.rows * step.width].reshape(step.rows, step.width)
        rows = left[step.first_row : step.first_row + step.rows]
        np.add(rows[:, None], right[None, : step.width], out=block)
    return sums


def lineup_pair_sums(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for every lineup, the sum of a symmetric matrix over all its ordered pairs of drivers."""
    drivers = matrix.shape[0]
    by_left = triple_sums(matrix).T  # driver x left triple, as the matrix is symmetric
    left = _own_sums(matrix)
    right = _own_sums(matrix[::-1, ::-1])
    sums = np.empty(lineup_total(drivers), np.int64)
    for step in staircase(drivers):
        block = sums[step.offset : step.offset + step.rows * step.width].reshape(step.rows, step.width)
        rows = slice(step.first_row, step.first_row + step.rows)
        across = triple_sums(by_left[rows, ::-1][:, : step.drivers_right])
        np.multiply(across, 2, out=block)
        block += left[rows, None]
        block += right[None, : step.width]
    return sums


def members_of(lineups: NDArray[np.int64], drivers: int) -> NDArray[np.int64]:
    """Return the six drivers of each numbered lineup, ascending."""
    steps = list(staircase(drivers))
    offsets = np.array([step.offset for step in steps], np.int64)
    numbered = triples(drivers)
    which = np.searchsorted(offsets, lineups, side="right") - 1
    widths = np.array([step.width for step in steps], np.int64)[which]
    first_rows = np.array([step.first_row for step in steps], np.int64)[which]
    within = lineups - offsets[which]
    left = numbered[first_rows + within // widths]
    right = drivers - 1 - numbered[within % widths]
    return np.concatenate([left, right[:, ::-1]], axis=1)


def numbers_of(members: NDArray[np.int64], drivers: int) -> NDArray[np.int64]:
    """Return the number of each lineup, given as six ascending drivers."""
    steps = list(staircase(drivers))
    offset_by_largest = np.array([0, 0, *(step.offset for step in steps)], np.int64)
    width_by_largest = np.array([0, 0, *(step.width for step in steps)], np.int64)
    first, second, third = members[:, 0], members[:, 1], members[:, 2]
    row_within = second * (second - 1) // 2 + first
    far = drivers - 1 - members[:, :2:-1]
    column = far[:, 2] * (far[:, 2] - 1) * (far[:, 2] - 2) // 6 + far[:, 1] * (far[:, 1] - 1) // 2 + far[:, 0]
    return offset_by_largest[third] + row_within * width_by_largest[third] + column


def triples(drivers: int) -> NDArray[np.int64]:
    """Return the members of every triple, in triple order."""
    return np.array([(a, b, c) for c in range(2, drivers) for b in range(1, c) for a in range(b)], np.int64).reshape(
        -1, 3
    )


def _own_sums(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    members = triples(matrix.shape[0])
    total = np.zeros(len(members), np.int64)
    for one in range(3):
        for other in range(3):
            total += matrix[members[:, one], members[:, other]]
    return total
