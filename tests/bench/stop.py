"""How soon a cancelled optimization is gone on the device that runs it: `python -m tests.bench.stop`.

Jobs of all objectives run in the pool's own workers and are cancelled at a random moment: before anything is compiled,
while it is, in a pass, while the next step is planned, while a checkpoint is packed. The time is the pool's, from the
cancel until it says that nothing runs any more: the worker is idle, or dead. In the first half, workers find nothing
compiled on disk. How long the job that comes next has to wait for its first progress is told as well.

Prints a JSON line a figure; the exit status is 1 when a promise is not kept. Takes about two minutes.
"""

import argparse
import asyncio
import os
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from meshd import kinds
from meshd.clock import SystemClock
from meshd.execution.outcome import Cancelled, ProgressReport, Succeeded
from meshd.execution.pool import Pool, open_pool
from meshd.execution.spawner import open_spawner
from meshd.kinds.base import Document
from tests.bench.figures import Figure, tell
from tests.bench.optimization import sample_slate

CANCELS = 60
GOAL_S = 0.1
GOAL_SHARE = 0.95
"""On a machine with other things to do, one moment in twenty may belong to them."""

LONGEST_S = 4.0
"""Of a job until it is cancelled."""

OBJECTIVES = ("p90", "portfolio_cover", "portfolio_emax", "p_top_field")

_clock = SystemClock()


def spec_of(objective: str) -> Document:
    """Return a job that takes longer than most cancels wait for, and comes to every phase meanwhile."""
    rules = {"max_overlap": 4, "global_exposure_max": 0.5} if objective == "p90" else {}
    return {
        "slate_csv": sample_slate(),
        "objective": objective,
        "lineup_count": 150,
        "scenarios": 60_000,
        "constraints": rules,
    }


class Bench:
    """A pool, and what was measured in it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kind = kinds.find("lineups")
        self._jobs = 0
        self.took: dict[str, list[float]] = defaultdict(list)
        self.killed = 0
        self._was_warm = True
        self.next_s: list[float] = []
        """Until the first progress of a job whose worker was killed before."""

    async def cancel_one(self, objective: str, after_s: float) -> None:
        """Run a job, cancel it, and note how long that took under the label of what it did."""
        self._jobs += 1
        job, notes = f"job-{self._jobs}", [""]
        began, started, first = _clock.boot(), asyncio.Event(), asyncio.Event()

        def note(report: ProgressReport) -> None:
            notes.append(report.note)
            first.set()

        resolved = self._kind.validate(spec_of(objective))
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(
                self._pool.run(
                    job=job, attempt=1, kind=self._kind, resolved=resolved, on_progress=note, on_start=started.set
                )
            )
            await started.wait()
            if not self._was_warm:
                await first.wait()
                self.next_s.append(_clock.boot() - began)
            await asyncio.wait({run}, timeout=after_s)
            before = self._workers()
            asked_at = _clock.boot()
            self._pool.cancel(job, 1)
            outcome = await run
            took = _clock.boot() - asked_at
        self._was_warm = self._workers() == before
        if isinstance(outcome, Succeeded):
            return
        assert outcome == Cancelled(), outcome
        label = notes[-1].partition(" (")[0] or "starting, importing, compiling"
        self.took[label].append(took)
        self.killed += not self._was_warm

    def _workers(self) -> set[int]:
        return {worker.pid for worker in self._pool.load().workers}


async def measure(cancels: int, seed: int) -> int:
    """Run the bench; return the exit status."""
    chance = random.Random(seed)  # noqa: S311 - no secret is made here
    folder = Path(tempfile.mkdtemp(prefix="meshd-bench-"))
    load_before = os.getloadavg()[0]
    try:
        async with (
            open_spawner(folder=folder) as spawner,
            open_pool(spawner=spawner, clock=_clock, folder=folder, slots=1) as pool,
        ):
            bench = Bench(pool)
            for number in range(cancels):
                if number % 2 == 0 and number < cancels // 2:
                    for file in (folder / "jax-cache").glob("jit_*"):
                        file.unlink()
                await bench.cancel_one(OBJECTIVES[number % len(OBJECTIVES)], LONGEST_S * chance.random() ** 2)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    every = [each for took in bench.took.values() for each in took]
    figures = [
        Figure("load average", "", [load_before, os.getloadavg()[0]]),
        *(Figure(f"cancelled while {label}", "s", took) for label, took in sorted(bench.took.items())),
        Figure("from cancel to nothing runs", "s", every, GOAL_S, GOAL_SHARE),
        Figure("workers that had to be killed", "%", [100 * bench.killed / len(every)]),
        Figure("from the next job's start to its first progress, after a kill", "s", bench.next_s),
    ]
    return tell(figures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; return 1 when a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cancels", type=int, default=CANCELS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    return asyncio.run(measure(options.cancels, options.seed))


if __name__ == "__main__":
    raise SystemExit(main())
