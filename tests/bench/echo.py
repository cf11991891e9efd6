"""What meshd itself costs a job: `python -m tests.bench.echo`, with jobs that do nothing.

Two real daemons on loopback, paired, with homes of their own, and one client that speaks their local API over
connections that it keeps open. Every state is on disk (`synchronous=FULL`) on both sides. A round trip is from the
request that submits a job until its result is here; a rate is of jobs submitted, run, and stored as completed, on this
device and offloaded to the other one. Beside them, in the same run, the limit of `tests.bench.limit`.

Prints `{"metric", "value", "unit"}` lines; the exit status is 1 when a promise is not kept. Takes about half a minute,
on a machine with nothing else to do: with all cores busy, a commit alone takes 4 ms, until the scheduler's next tick.

`--plain local` (or `pc`) prints nothing but what other engines can be held against, by names that say nothing of meshd:
`noop_tasks_per_s`, the better of the two ways to submit, and `noop_map_tasks_per_s`, by the hundred, as Dask's `map`;
`rtt_p50_ms` and `rtt_p99_ms`. What runs beside it in the same minute, Dask, Ray, SAQ, huey or the limit, has lines of
the same names; the quotients of two such runs are what may be quoted.
"""

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bench import limit
from tests.bench.api_line import ApiLine, open_lines
from tests.faults.daemon import RealDaemon, a_daemon

JOBS = 3000
ROUND_TRIPS = 500
WARM_UP = 50

LINES = 16
"""Connections on which jobs are submitted one by one."""

BATCH = 100
"""Jobs in one request, where they are submitted together."""

PATIENCE_S = 120.0

LEAST = {"local": (1500.0, 2.0), "pc": (1000.0, 4.0)}
"""Jobs per second, and milliseconds of a median round trip, that must be reached."""

GOALS = {"local": (2500.0, 1.5), "pc": (2000.0, 3.0)}
"""The same, to be ahead of every queue and engine that was measured beside it."""


PLAIN = ("noop_tasks_per_s", "noop_map_tasks_per_s", "rtt_p50_ms", "rtt_p99_ms")
"""The names of `--plain`."""


def tell(metric: str, value: float, unit: str) -> None:
    """Print one figure."""
    print(json.dumps({"metric": metric, "value": round(value, 4), "unit": unit}), flush=True)


def at(took: Sequence[float], share: float) -> float:
    """Return the value that this share of all does not exceed."""
    return sorted(took)[max(0, math.ceil(share * len(took)) - 1)]


@contextmanager
def open_pair(folder: Path) -> Generator[tuple[RealDaemon, RealDaemon]]:
    """Have two daemons that are paired: the laptop, and the pc."""
    with ExitStack() as stack:
        daemons: list[RealDaemon] = []
        for name in ("laptop", "pc"):
            (folder / name).mkdir()
            slots = str(len(os.sched_getaffinity(0)))
            daemon = stack.enter_context(a_daemon(folder / name, MESHD_NAME=name, MESHD_SLOTS=slots))
            daemon.start()
            daemon.wait_until_ready()
            daemons.append(daemon)
        laptop, pc = daemons
        laptop.client.accept(pc.client.open_code().code, address=f"127.0.0.1:{pc.client.status().peer_port}")
        began = time.perf_counter()
        while not all(peer.slots for peer in laptop.client.peers()):
            assert time.perf_counter() - began < PATIENCE_S
            time.sleep(0.05)
        yield laptop, pc


def echo_of(placement: str, number: int) -> bytes:
    """Return a job that returns its number."""
    return json.dumps({"kind": "echo", "spec": {"text": str(number)}, "placement": placement}).encode()


async def wait_for(line: ApiLine, job: str) -> dict[str, Any]:
    """Return a job once it has ended."""
    while True:
        view = json.loads(await line.get(f"/api/v1/jobs/{job}/wait?timeout_s=25"))
        if view["ended_at"] is not None:
            return view


async def round_trip(line: ApiLine, placement: str, number: int) -> float:
    """Return how long one job takes, from its submission until its result is here."""
    began = time.perf_counter()
    job = json.loads(await line.post("/api/v1/jobs", echo_of(placement, number)))["id"]
    view = await wait_for(line, job)
    took = time.perf_counter() - began
    assert view["state"] == "completed", view
    assert view["result"]["text"] == str(number)
    return took


async def completed(line: ApiLine) -> int:
    """Return how many jobs are done."""
    return json.loads(await line.get("/api/v1/jobs/stats"))["states"]["completed"]


async def submit_each(lines: Sequence[ApiLine], placement: str, number: int) -> str:
    """Submit jobs one by one, on every connection at once; return the last one."""
    left = iter(range(number))
    last = ""

    async def submit(line: ApiLine) -> None:
        nonlocal last
        for each in left:
            last = json.loads(await line.post("/api/v1/jobs", echo_of(placement, each)))["id"]

    async with asyncio.TaskGroup() as tasks:
        for line in lines:
            tasks.create_task(submit(line))
    return last


async def submit_batches(lines: Sequence[ApiLine], placement: str, number: int) -> str:
    """Submit jobs by the hundred, on one connection; return the last one."""
    last = ""
    for start in range(0, number, BATCH):
        jobs = b",".join(echo_of(placement, each) for each in range(start, min(start + BATCH, number)))
        answer = await lines[0].post("/api/v1/jobs/batch", b'{"jobs":[' + jobs + b"]}")
        last = json.loads(answer)["jobs"][-1]["id"]
    return last


Submit = Callable[[Sequence[ApiLine], str, int], Awaitable[str]]


async def rate(daemons: Sequence[RealDaemon], placement: str, submit: Submit, jobs: int) -> float:
    """Return how many jobs a second are submitted to the first daemon and completed."""
    what = f"echo {placement}, {'one by one' if submit is submit_each else 'by the hundred'}"
    async with open_lines(daemons[0].paths, LINES) as lines:
        before = await completed(lines[0])
        used = [_cpu_s(each) for each in daemons]
        began = time.perf_counter()
        last = await submit(lines, placement, jobs)
        tell(f"{what}: submissions", jobs / (time.perf_counter() - began), "1/s")
        # To count those that are done takes as long as dozens of them: it is not begun before the last one is.
        await wait_for(lines[0], last)
        while await completed(lines[0]) < before + jobs:
            assert time.perf_counter() - began < PATIENCE_S, "the jobs do not end"
            await asyncio.sleep(0.02)
        took = time.perf_counter() - began
    tell(f"{what}: jobs", jobs / took, "1/s")
    for daemon, start in zip(daemons, used, strict=True):
        name = daemon.environ["MESHD_NAME"]
        tell(f"{what}: processor of {name}'s daemon", 1000 * (_cpu_s(daemon) - start) / jobs, "ms/job")
    return jobs / took


def _cpu_s(daemon: RealDaemon) -> float:
    times = psutil.Process(daemon.pid).cpu_times()
    return times.user + times.system


async def round_trips(daemon: RealDaemon, placement: str, number: int) -> list[float]:
    """Return how long each of some jobs takes, one after the other."""
    async with open_lines(daemon.paths, 1) as (line,):
        took = [await round_trip(line, placement, each) for each in range(WARM_UP + number)][WARM_UP:]
    tell(f"echo {placement}: round trip p50", 1000 * at(took, 0.5), "ms")
    tell(f"echo {placement}: round trip p99", 1000 * at(took, 0.99), "ms")
    return took


@dataclass(frozen=True, slots=True)
class Measured:
    """What jobs of one placement took."""

    trips: Sequence[float]
    each: float
    """Jobs a second that were submitted one by one."""

    batches: float
    """By the hundred."""

    @property
    def best(self) -> float:
        return max(self.each, self.batches)

    @property
    def median_ms(self) -> float:
        return 1000 * at(self.trips, 0.5)

    def tell_plainly(self) -> None:
        """Print it by the names that other engines have for it."""
        for metric, value in zip(PLAIN, (self.best, self.batches), strict=False):
            tell(metric, value, "1/s")
        for metric, share in zip(PLAIN[2:], (0.5, 0.99), strict=True):
            tell(metric, 1000 * at(self.trips, share), "ms")


def measure(daemons: Sequence[RealDaemon], placement: str, *, jobs: int, trips: int) -> Measured:
    """Measure both, and print it."""
    took = asyncio.run(round_trips(daemons[0], placement, trips))
    each, batches = (asyncio.run(rate(daemons, placement, submit, jobs)) for submit in (submit_each, submit_batches))
    return Measured(took, each, batches)


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.echo", description="What meshd itself costs a job.")
    parser.add_argument("--jobs", type=int, default=JOBS, help="of each rate (%(default)s)")
    parser.add_argument("--round-trips", type=int, default=ROUND_TRIPS, help="of each median (%(default)s)")
    parser.add_argument("--only", choices=list(LEAST), help="run jobs only here, or only there")
    parser.add_argument("--plain", choices=list(LEAST), help="the same, and print only what others have a line for")
    given = parser.parse_args()
    only = given.plain or given.only
    status = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshd-bench-")))
        daemons = stack.enter_context(open_pair(folder))
        aside = stack.enter_context(ExitStack())
        if given.plain:
            aside.enter_context(redirect_stdout(sys.stderr))
        with limit.open_limit(folder) as port:
            took = asyncio.run(limit.round_trips(port))
        tell("limit: TLS echo with one FULL commit p50", 1000 * at(took, 0.5), "ms")
        tell("limit: TLS echo with one FULL commit p99", 1000 * at(took, 0.99), "ms")
        measured = {
            placement: measure(daemons, placement, jobs=given.jobs, trips=given.round_trips)
            for placement in ((only,) if only else LEAST)
        }
        tell("load average", os.getloadavg()[0], "")
        aside.close()
        for placement, found in measured.items():
            least, goal = LEAST[placement], GOALS[placement]
            is_kept = found.best >= least[0] and found.median_ms <= least[1]
            is_met = found.best >= goal[0] and found.median_ms <= goal[1]
            verdict = "goal" if is_met else "least" if is_kept else "MISSED"
            print(f"{placement}: {verdict} (least {least}, goal {goal})", file=sys.stderr)
            status |= not is_kept
            if given.plain:
                found.tell_plainly()
    return status


if __name__ == "__main__":
    sys.exit(main())
