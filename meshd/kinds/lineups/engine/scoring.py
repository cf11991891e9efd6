"""Scores of a few lineups, race by race."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_SCORES = 1 << 19
"""Scores added up at a time: 1 MiB, which stays near the processor."""


def scored(members: NDArray[np.int64], by_player: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return what lineups score, [lineups, races], from the players' scores, [players, races]."""
    sums = np.empty((len(members), by_player.shape[1]), np.int16)
    for rows in _blocks(len(members), by_player.shape[1]):
        block, part = sums[rows], members[rows]
        np.take(by_player, part[:, 0], axis=0, out=block, mode="clip")
        for place in range(1, part.shape[1]):
            block += by_player[part[:, place]]
    return sums


def covered_by(members: NDArray[np.int64], by_player: NDArray[np.int16], lines: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return in which races at least one of the lineups reaches the line."""
    return np.logical_or.reduce(scored(members, by_player) >= lines, axis=0)


def histograms(
    members: NDArray[np.int64], by_player: NDArray[np.int16], low: int, bins: int
) -> Iterator[tuple[slice, NDArray[np.int32]]]:
    """Yield, for some lineups after the other, how often each scores what, [lineups, bins].

    The first bin also counts what is below, the last one what is above.
    """
    block = max(1, min(_SCORES // bins, 8 * _SCORES // by_player.shape[1]))
    for first in range(0, len(members), block):
        rows = slice(first, min(first + block, len(members)))
        part = scored(members[rows], by_player)
        at = np.clip(part, low, low + bins - 1).astype(np.int64)
        at += np.arange(len(part))[:, None] * bins - low
        found = np.bincount(at.ravel(), minlength=len(part) * bins)
        yield rows, found.reshape(len(part), bins).astype(np.int32)


def _blocks(lineups: int, races: int) -> Iterator[slice]:
    size = max(1, _SCORES // max(races, 1))
    for first in range(0, lineups, size):
        yield slice(first, first + size)
