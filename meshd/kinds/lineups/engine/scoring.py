"""Scores of a few lineups, race by race."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_SCORES = 1 << 19
"""Scores added up at a time: 1 MiB, which stays near the processor."""

_FEW = 4
"""Where fewer than one score in so many is above the lowest bin, these are picked out before they are counted."""

_LOWEST, _HIGHEST = np.iinfo(np.int16).min, np.iinfo(np.int16).max


def scored(members: NDArray[np.int64], by_player: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return what lineups score, [lineups, races], from the players' scores, [players, races]."""
    sums = np.empty((len(members), by_player.shape[1]), np.int16)
    for rows in _blocks(len(members), by_player.shape[1]):
        block, part = sums[rows], members[rows]
        np.take(by_player, part[:, 0], axis=0, out=block, mode="clip")
        for place in range(1, part.shape[1]):
            block += by_player[part[:, place]]
    return sums


def reaching(scores: NDArray[np.int16], lines: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which of the scores, [lineups, races], reach their race's line, wherever that is."""
    # In 16 bits: eight times faster than beside 32. No score is the lowest or the highest number.
    return scores > np.clip(lines.astype(np.int64) - 1, _LOWEST, _HIGHEST).astype(np.int16)


def packed_wins(
    members: NDArray[np.int64], by_player: NDArray[np.int16], lines: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """Return in which races each lineup reaches the line, [lineups, bytes], eight races a byte as `packbits` has it."""
    wins = np.empty((len(members), -(-by_player.shape[1] // 8)), np.uint8)
    # Block by block, so that no score leaves the cache.
    for rows in _blocks(len(members), by_player.shape[1]):
        wins[rows] = np.packbits(reaching(scored(members[rows], by_player), lines), axis=1)
    return wins


def covered_by(members: NDArray[np.int64], by_player: NDArray[np.int16], lines: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return in which races at least one of the lineups reaches the line."""
    return np.logical_or.reduce(reaching(scored(members, by_player), lines), axis=0)


def histograms(
    members: NDArray[np.int64], by_player: NDArray[np.int16], low: int, bins: int
) -> Iterator[tuple[slice, NDArray[np.int32]]]:
    """Yield, for some lineups after the other, how often each scores what, [lineups, bins].

    The first bin also counts what is below, the last one what is above.
    """
    races = by_player.shape[1]
    block = max(1, min(_SCORES // bins, 8 * _SCORES // races))
    for first in range(0, len(members), block):
        rows = slice(first, min(first + block, len(members)))
        part = scored(members[rows], by_player)
        above = part > low
        higher = np.count_nonzero(above, axis=1)
        if int(higher.sum()) * _FEW < part.size:
            # Where a line is far up, most scores are below it, and are told by what is left.
            found = _binned(part, np.flatnonzero(above), low, bins)
            found[:, 0] += races - higher
        else:
            found = _binned(part, None, low, bins)
        yield rows, found.astype(np.int32)


def _binned(part: NDArray[np.int16], places: NDArray[np.int64] | None, low: int, bins: int) -> NDArray[np.int64]:
    """Count scores, [lineups, races], by lineup and bin: all of them, or those at some places of the flat array."""
    at: NDArray[np.int64]
    if places is None:
        at = np.clip(part, low, low + bins - 1).astype(np.int64)
        at += np.arange(len(part))[:, None] * bins - low
    else:
        at = np.minimum(part.ravel()[places], low + bins - 1).astype(np.int64)
        at += places // part.shape[1] * bins
        at -= low
    return np.bincount(at.ravel(), minlength=len(part) * bins).reshape(len(part), bins)


def _blocks(lineups: int, races: int) -> Iterator[slice]:
    size = max(1, _SCORES // max(races, 1))
    for first in range(0, lineups, size):
        yield slice(first, first + size)
