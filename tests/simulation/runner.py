"""Runs many histories, on every core, and adds up what was seen in them."""

import gc
import hashlib
import math
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from tests.simulation import core, nodes
from tests.simulation.history import History
from tests.simulation.planted import BUGS
from tests.simulation.sometimes import SOMETIMES

RUN: dict[str, Callable[[int], History]] = {"A": core.run_history, "B": nodes.run_history}

SHARE_AT_LEAST = 0.01
"""What is worth testing must come in one history of a hundred."""

CHUNK = {"A": 200, "B": 20}
"""Histories that a process runs before it reports."""


@dataclass(slots=True)
class Summary:
    """What many histories have shown."""

    level: str
    histories: int = 0
    seconds: float = 0.0
    sometimes: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])
    """The stories of the first few that failed."""

    failed: int = 0
    broken: str = ""
    """The invariant that was broken first."""

    digests: dict[int, str] = field(default_factory=dict[int, str])

    def add(self, history: History) -> None:
        """Count one history."""
        self.histories += 1
        self.sometimes.update(history.sometimes)
        self.digests[history.seed] = history.digest
        if history.violation is not None:
            self.failed += 1
            self.failures.append(str(history))
            self.broken = self.broken or history.violation.invariant

    def join(self, other: "Summary") -> None:
        """Count the histories of another process."""
        self.histories += other.histories
        self.sometimes.update(other.sometimes)
        self.failed += other.failed
        self.failures = [*self.failures, *other.failures][:5]
        self.broken = self.broken or other.broken
        self.digests.update(other.digests)

    def rare(self) -> list[str]:
        """Return what has come too seldom to be tested by these histories."""
        return [what for what in SOMETIMES[self.level] if self.sometimes[what] < SHARE_AT_LEAST * self.histories]

    def document(self) -> dict[str, object]:
        """Return all of it, for programs."""
        return {
            "level": self.level,
            "histories": self.histories,
            "seconds": round(self.seconds, 2),
            "failed": self.failed,
            "failures": self.failures,
            "rare": self.rare(),
            "sometimes": dict(self.sometimes),
            "digest": self.digest(),
        }

    def digest(self) -> str:
        """Return what two runs of the same histories have in common."""
        lines = "\n".join(f"{seed} {digest}" for seed, digest in sorted(self.digests.items()))
        return hashlib.sha256(lines.encode()).hexdigest()[:16]


def run_one(level: str, seed: int, *, bug: str | None = None) -> History:
    """Live through one history."""
    with nullcontext() if bug is None else BUGS[bug].planted():
        return RUN[level](seed)


def run_chunk(level: str, first: int, count: int, bug: str | None, stop: bool) -> Summary:
    """Live through a few, in this process; with `stop` only to the first that fails."""
    gc.disable()
    try:
        summary = Summary(level)
        for seed in range(first, first + count):
            summary.add(run_one(level, seed, bug=bug))
            if stop and summary.failed:
                break
            if seed % 20 == 19:
                gc.collect()
        return summary
    finally:
        gc.enable()


def run_many(
    level: str,
    *,
    first: int,
    count: int,
    bug: str | None = None,
    stop: bool = False,
    processes: int | None = None,
    limit_s: float = math.inf,
) -> Summary:
    """Live through many, on every core; begin no more of them once so much time has passed."""
    started = time.perf_counter()
    total = Summary(level)
    chunks = list(_chunks(level, first, count))
    workers = min(len(chunks), processes or os.cpu_count() or 1)
    if workers <= 1:
        for start, size in chunks:
            total.join(run_chunk(level, start, size, bug, stop))
            if (stop and total.failed) or time.perf_counter() - started > limit_s:
                break
    else:
        # Fresh processes: what the tests' own process has patched stays there.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            running = [pool.submit(run_chunk, level, start, size, bug, stop) for start, size in chunks]
            for chunk in running:
                total.join(chunk.result())
                if (stop and total.failed) or time.perf_counter() - started > limit_s:
                    pool.shutdown(cancel_futures=True)
                    break
    total.seconds = time.perf_counter() - started
    return total


def _chunks(level: str, first: int, count: int) -> Iterator[tuple[int, int]]:
    for start in range(first, first + count, CHUNK[level]):
        yield start, min(CHUNK[level], first + count - start)
