"""What a long queue costs: `python -m tests.bench.queue`, 10,000 jobs that wait on one real daemon.

The daemon is paused, so that all of them wait. It tells how fast they are taken, one by one and by the hundred, what
they hold of memory, how long a list of jobs takes meanwhile, and how long the daemon needs from its start until it
answers, with an empty queue and with this one.

Prints `{"metric", "value", "unit"}` lines. Takes about a minute.
"""

import argparse
import asyncio
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.bench.api_line import ApiLine, open_lines
from tests.bench.echo import LINES, submit_batches, submit_each, tell
from tests.faults.daemon import RealDaemon, a_daemon

JOBS = 10_000
LOOKS = 100
RESTARTS = 3

LISTS = {
    "GET /jobs": "/api/v1/jobs",
    "GET /jobs by state and name": "/api/v1/jobs?state=queued&sort=name",
    "GET /jobs with a word": "/api/v1/jobs?q=77",
    "GET /jobs/stats": "/api/v1/jobs/stats",
}


def restart(daemon: RealDaemon) -> float:
    """Return how long a daemon needs until it answers again."""
    daemon.stop()
    began = time.perf_counter()
    daemon.start()
    daemon.wait_until_ready()
    return time.perf_counter() - began


def memory(daemon: RealDaemon) -> float:
    return psutil.Process(daemon.pid).memory_info().rss / 2**20


async def look(line: ApiLine, path: str) -> list[float]:
    """Return how long each of some requests takes."""
    took: list[float] = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        await line.get(path)
        took.append(time.perf_counter() - began)
    return sorted(took)


async def fill(daemon: RealDaemon, jobs: int) -> None:
    """Let so many jobs wait, and tell how fast they were taken."""
    async with open_lines(daemon.paths, LINES) as lines:
        for submit in (submit_each, submit_batches):
            began = time.perf_counter()
            await submit(lines, "auto", jobs // 2)
            tell(f"queue {submit.__name__}: submissions", jobs // 2 / (time.perf_counter() - began), "1/s")


async def look_at_all(daemon: RealDaemon) -> None:
    """Tell how long lists take."""
    async with open_lines(daemon.paths, 1) as (line,):
        for name, path in LISTS.items():
            took = await look(line, path)
            for share in (0.5, 0.99):
                tell(f"queue: {name} p{100 * share:g}", 1000 * took[math.ceil(share * LOOKS) - 1], "ms")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.queue", description="What a long queue costs.")
    parser.add_argument("--jobs", type=int, default=JOBS)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="meshd-bench-") as folder, a_daemon(Path(folder)) as daemon:
        daemon.start()
        daemon.wait_until_ready()
        tell("queue: restart without jobs", min(restart(daemon) for _ in range(RESTARTS)), "s")
        daemon.client.pause()
        empty = memory(daemon)
        asyncio.run(fill(daemon, given.jobs))
        tell("queue: memory without jobs", empty, "MiB")
        tell("queue: memory with jobs", memory(daemon), "MiB")
        asyncio.run(look_at_all(daemon))
        tell("queue: restart with jobs", min(restart(daemon) for _ in range(RESTARTS)), "s")
        tell("queue: memory with jobs, after a restart", memory(daemon), "MiB")
    tell("load average", os.getloadavg()[0], "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
