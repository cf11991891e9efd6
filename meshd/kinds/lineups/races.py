"""The races of a job: simulated once, kept as long as there is room, and moved by the job's randomness."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.limits import CHUNK_SCENARIOS, MOST_MOVED
from meshd.kinds.lineups.scenarios.quantiles import NORMAL, NORMAL_SD
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT

CACHED_SCENARIO_BYTES = 128 << 20
"""Races kept between phases, so that they are simulated once: 1.8 million with 36 drivers."""

FRESH = 1 << 32
"""The number of the first chunk of fresh races: no job has as many others."""


class Drawable(Protocol):
    """A model that races, or games, are drawn from."""

    @property
    def key(self) -> Hashable:
        """Equal for models that draw equal scores."""
        ...


M = TypeVar("M", bound=Drawable)


class RaceCache(Generic[M]):
    """Chunks of simulated races of the current job, up to a bound; the first ones stay."""

    def __init__(self, scores: Callable[[M, int], NDArray[np.int16]]) -> None:
        """Take what draws a chunk of a model's races."""
        self._scores = scores
        self._key: object = None
        self._chunks: dict[int, NDArray[np.int16]] = {}
        self._size = 0
        self.most = CACHED_SCENARIO_BYTES
        """Bytes that may be kept; a job with little memory keeps fewer."""

    def chunk(self, model: M, number: int) -> NDArray[np.int16]:
        """Return a chunk of races, simulated now or earlier."""
        if model.key != self._key:
            self._key, self._chunks, self._size = model.key, {}, 0
        found = self._chunks.get(number)
        if found is None:
            found = self._scores(model, number)
            if self._size + found.nbytes <= self.most:
                self._chunks[number] = found
                self._size += found.nbytes
        return found


@dataclass(frozen=True, eq=False)
class SimulatedRaces(Generic[M]):
    """The races that a job chooses by, and fresh ones to judge the choice by; those are never moved."""

    model: M
    scenarios: int
    holdout: int
    moved: NDArray[np.int16]
    """What randomness adds to each player's score, in units."""

    cache: RaceCache[M]

    @property
    def key(self) -> Hashable:
        """Equal for equal races."""
        return self.model.key, self.scenarios, self.holdout, self.moved.tobytes()

    def chunk(self, number: int) -> NDArray[np.int16]:
        """Return chunk `number` of the races."""
        found = self.cache.chunk(self.model, number)[: self.scenarios - number * CHUNK_SCENARIOS]
        return found + self.moved if self.moved.any() else found

    def fresh(self, number: int) -> NDArray[np.int16]:
        """Return chunk `number` of the fresh races."""
        return self.cache.chunk(self.model, FRESH + number)[: self.holdout - number * CHUNK_SCENARIOS]


def moves(ids: tuple[str, ...], randomness: float, seed: int) -> NDArray[np.int16]:
    """Return by how many units each player is moved: normal, with a standard deviation of `randomness` points.

    A player's move follows from seed and id alone, in whole numbers, so that it is the same on every device.
    """
    size = round(randomness * UNITS_PER_POINT)
    found = np.zeros(len(ids), np.int16)
    for at, identity in enumerate(ids):
        drawn = blake2b(identity.encode(), digest_size=2, key=seed.to_bytes(8, "little")).digest()
        normal = int(NORMAL[int.from_bytes(drawn, "little")])
        found[at] = max(-MOST_MOVED * size, min(MOST_MOVED * size, size * normal // NORMAL_SD))
    return found
