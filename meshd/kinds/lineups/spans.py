"""The computation itself: simulate, add up, count; one span of one phase at a time."""

import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from meshd.errors import Degraded
from meshd.kinds.base import Context, Phase
from meshd.kinds.lineups.partials import Counts, Effort, Histogram, Moments
from meshd.kinds.lineups.problem import Problem
from meshd.kinds.lineups.results import told
from meshd.kinds.lineups.scenarios.model import RaceModel
from meshd.kinds.lineups.scenarios.race import scores

CACHED_SCENARIO_BYTES = 128 << 20
"""Races kept between phases, so that they are simulated once: 1.8 million with 36 drivers."""

_HISTOGRAM_CHUNKS = 8
"""Chunks counted into histograms together: adding up a block of bins then costs less than filling it."""

_HISTOGRAM_BINS = 1 << 19
"""Bins filled at a time: 4 MiB, which stay near the processor, and a few milliseconds."""


class RaceCache:
    """Chunks of simulated races of the current job, up to a bound; the first ones stay."""

    def __init__(self) -> None:
        self._key: object = None
        self._chunks: dict[int, NDArray[np.int16]] = {}
        self._size = 0

    def chunk(self, model: RaceModel, number: int) -> NDArray[np.int16]:
        """Return a chunk of races, simulated now or earlier."""
        if model.key != self._key:
            self._key, self._chunks, self._size = model.key, {}, 0
        found = self._chunks.get(number)
        if found is None:
            found = scores(model, number)
            if self._size + found.nbytes <= CACHED_SCENARIO_BYTES:
                self._chunks[number] = found
                self._size += found.nbytes
        return found


@dataclass
class Span:
    """A span under way."""

    problem: Problem
    phase: Phase
    start: int
    stop: int
    context: Context
    cache: RaceCache
    _started: float = field(default_factory=time.perf_counter)

    def chunks(self) -> Iterator[NDArray[np.int16]]:
        """Yield the races of one chunk after the other, until the span ends or is cancelled."""
        for chunk in range(self.start, self.stop):
            if self.context.cancelled():
                return
            yield self.cache.chunk(self.problem.model, chunk)[: self.problem.races_in(chunk)]

    def report(self, chunks: int, best: str = "") -> None:
        """Tell that so many of the span's chunks are done."""
        self.context.report(chunks / (self.stop - self.start), best=best or str(self.phase.params.get("best", "")))

    @property
    def races(self) -> int:
        """How many races the span's chunks hold."""
        return sum(self.problem.races_in(chunk) for chunk in range(self.start, self.stop))

    def effort(self, device: str, elements: int = 0) -> Effort:
        """Return what the span has taken until now."""
        return Effort(int((time.perf_counter() - self._started) * 1e6), elements, frozenset({device}))


def engine_module(name: str) -> ModuleType:
    """Load a part of the engine that needs JAX, only when a job does."""
    try:
        return importlib.import_module(f"meshd.kinds.lineups.engine.{name}")
    except ModuleNotFoundError as missing:
        raise Degraded(
            "This device cannot count lineups: JAX is not installed.", hint="Install meshd[jax] here."
        ) from missing


def sum_moments(span: Span) -> Moments | None:
    """Add up scores and products of scores; None when cancelled."""
    drivers, done, races = span.problem.drivers, 0, 0
    sums, products = np.zeros(drivers, np.int64), np.zeros((drivers, drivers), np.int64)
    for chunk in span.chunks():
        by_driver = np.ascontiguousarray(chunk.T, np.int64)
        sums += by_driver.sum(axis=1)
        # Not `@`: BLAS has no whole numbers, and its threads wait for each other while other jobs hold the cores.
        products += np.einsum("ir,jr->ij", by_driver, by_driver)
        done, races = done + 1, races + len(chunk)
        span.report(done, told(_best_mean_yet(span.problem, sums) / races, "mean"))
    if done < span.stop - span.start:
        return None
    return Moments(races, sums, products, span.effort("cpu"))


def _best_mean_yet(problem: Problem, sums: NDArray[np.int64]) -> int:
    """Return the highest sum of a feasible lineup: a knapsack over salaries, far cheaper than a look at each."""
    scale = int(np.gcd.reduce(problem.salaries)) or 1
    room = problem.salary_cap // scale
    none = np.int64(-(1 << 60))
    best = np.full((7, room + 1), none)
    best[0, 0] = 0
    for salary, value in zip((problem.salaries // scale).tolist(), sums.tolist(), strict=True):
        if salary <= room:
            for size in range(6, 0, -1):
                reached = best[size, salary:]
                np.maximum(reached, best[size - 1, : room + 1 - salary] + value, out=reached)
    return int(best[6, -(-problem.salary_min // scale) :].max())


def fill_histogram(span: Span) -> Histogram | None:
    """Count the scores of the lineups that the phase names; None when cancelled."""
    lineups = np.array(cast("list[int]", span.phase.params["lineups"]), np.int64)
    low, bins = cast("int", span.phase.params["low"]), cast("int", span.phase.params["bins"])
    members = span.problem.enumeration.members(lineups)
    counts = np.zeros((len(lineups), bins), np.int32)
    block = max(1, _HISTOGRAM_BINS // bins)
    done, waiting = 0, list[NDArray[np.int16]]()
    for chunk in span.chunks():
        waiting.append(chunk)
        done += 1
        if len(waiting) == _HISTOGRAM_CHUNKS or done == span.stop - span.start:
            by_driver = np.ascontiguousarray(np.concatenate(waiting).T)
            waiting.clear()
            for first in range(0, len(lineups), block):
                if span.context.cancelled():
                    return None
                rows = members[first : first + block]
                scored = by_driver[rows[:, 0]]
                for place in range(1, 6):
                    scored += by_driver[rows[:, place]]
                at = np.clip(scored, low, low + bins - 1).astype(np.int64)
                at += np.arange(len(rows))[:, None] * bins - low
                found = np.bincount(at.ravel(), minlength=len(rows) * bins)
                counts[first : first + block] += found.reshape(len(rows), bins).astype(np.int32)
            span.report(done)
    if done < span.stop - span.start:
        return None
    return Histogram(span.races, lineups, low, counts, span.effort("cpu"))


def count_lineups(span: Span) -> Counts | None:
    """Count, for every feasible lineup, the races at or above the phase's threshold; None when cancelled.

    Raises:
        Degraded: JAX is not installed here.
    """
    engine = engine_module("passes")
    problem, threshold = span.problem, cast("int", span.phase.params["threshold"])
    counting = engine.CountPass(problem.enumeration)
    done = 0
    for chunk in span.chunks():
        if not counting.add(chunk, threshold, span.context.cancelled):
            return None
        done += 1
        span.report(done)
    if done < span.stop - span.start:
        return None
    feasible = cast("NDArray[np.int32]", counting.counts())[problem.feasible]
    effort = span.effort(str(engine_module("device").device_name()), problem.lineups * span.races)
    return Counts(span.races, threshold, feasible, effort)
