"""How long each planted bug hides: histories lived through, one after the other, until a monitor objects."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from tests.simulation.planted import BUGS
from tests.simulation.runner import run_chunk

MAX_HISTORIES = 2_000
"""A planted bug that hides for longer than this would hide for ever: nobody runs more before each change."""

UNFIT = ("TypeError(", "AttributeError(", "NameError(")


@dataclass(frozen=True, slots=True)
class Hunt:
    """What came of the search for one bug."""

    bug: str
    level: str
    histories: int
    found: str
    """Which invariant it broke; empty: none."""

    seconds: float

    def __str__(self) -> str:
        count = f"{self.histories}" if self.found else f">{self.histories}"
        return f"{count:>6}  {self.level}  {self.seconds:6.1f} s  {self.found or 'NOT FOUND':10}  {self.bug}"


def hunt_one(bug: str, most: int) -> Hunt:
    """Look for one bug, in this process."""
    started = time.perf_counter()
    level = BUGS[bug].level
    summary = run_chunk(level, 0, most, bug, stop=True)
    # A mistake that no longer fits the code around it is found at once, and shows nothing.
    fits = not any(error in story for error in UNFIT for story in summary.failures)
    return Hunt(bug, level, summary.histories, summary.broken if fits else "", time.perf_counter() - started)


def hunt_all(bugs: Sequence[str], *, most: int = MAX_HISTORIES, processes: int | None = None) -> Iterator[Hunt]:
    """Look for each of these bugs, several at once; yield them as they are found."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes or os.cpu_count() or 1, mp_context=context) as pool:
        hunts = [pool.submit(hunt_one, bug, most) for bug in bugs]
        for hunt in as_completed(hunts):
            yield hunt.result()
