"""What meshd itself costs a job: `python -m tests.bench.echo`, with jobs that do nothing.

Two real daemons on loopback, paired, with homes of their own; one client that speaks their local API over connections
that it keeps open. Every state is on disk (`synchronous=FULL`) on both sides. A round trip is from the request that
submits a job until its result is here; a rate is of jobs submitted, run, and stored as completed.

Prints `{"metric", "value", "unit"}` lines. Takes about a minute, on a machine with nothing else to do.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from meshd.clock import SystemClock
from tests.bench.api_line import ApiLine, open_lines
from tests.faults.daemon import RealDaemon, a_daemon

JOBS = 2000
ROUND_TRIPS = 300
LINES = 16
BATCH = 100
PATIENCE_S = 120.0

_clock = SystemClock()


def tell(metric: str, value: float, unit: str) -> None:
    """Print one figure."""
    print(json.dumps({"metric": metric, "value": round(value, 4), "unit": unit}), flush=True)


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
        began = _clock.boot()
        while not all(peer.slots for peer in laptop.client.peers()):
            assert _clock.boot() - began < PATIENCE_S
            time.sleep(0.05)
        yield laptop, pc


def echo_of(placement: str, number: int) -> bytes:
    return json.dumps({"kind": "echo", "spec": {"text": str(number)}, "placement": placement}).encode()


async def round_trip(line: ApiLine, placement: str, number: int) -> float:
    """Return how long one job takes, from its submission until its result is here."""
    began = time.perf_counter()
    job = json.loads(await line.post("/api/v1/jobs", echo_of(placement, number)))["id"]
    while True:
        view = json.loads(await line.get(f"/api/v1/jobs/{job}/wait?timeout_s=25"))
        if view["ended_at"] is not None:
            break
    took = time.perf_counter() - began
    assert view["state"] == "completed", view
    assert view["result"]["text"] == str(number)
    return took


async def completed(line: ApiLine) -> int:
    return json.loads(await line.get("/api/v1/jobs/stats"))["states"]["completed"]


async def submit_each(lines: Sequence[ApiLine], placement: str, number: int) -> None:
    """Submit jobs one by one, on every connection at once."""
    left = iter(range(number))

    async def submit(line: ApiLine) -> None:
        for each in left:
            await line.post("/api/v1/jobs", echo_of(placement, each))

    async with asyncio.TaskGroup() as tasks:
        for line in lines:
            tasks.create_task(submit(line))


async def submit_batches(lines: Sequence[ApiLine], placement: str, number: int) -> None:
    """Submit jobs by the hundred, on one connection."""
    for start in range(0, number, BATCH):
        jobs = b",".join(echo_of(placement, each) for each in range(start, min(start + BATCH, number)))
        await lines[0].post("/api/v1/jobs/batch", b'{"jobs":[' + jobs + b"]}")


Submit = Callable[[Sequence[ApiLine], str, int], Awaitable[None]]


async def timed(daemon: RealDaemon, others: Sequence[RealDaemon], placement: str, submit: Submit, jobs: int) -> None:
    async with open_lines(daemon.paths, LINES) as lines:
        before = await completed(lines[0])
        used = [cpu(each.pid) for each in (daemon, *others)]
        began = time.perf_counter()
        await submit(lines, placement, jobs)
        submitted_s = time.perf_counter() - began
        while await completed(lines[0]) < before + jobs:
            assert time.perf_counter() - began < PATIENCE_S, "the jobs do not end"
            await asyncio.sleep(0.02)
        took = time.perf_counter() - began
        spent = [cpu(each.pid) - start for each, start in zip((daemon, *others), used, strict=True)]
    tell(f"echo {placement} {submit.__name__}: jobs", jobs / took, "1/s")
    tell(f"echo {placement} {submit.__name__}: submissions", jobs / submitted_s, "1/s")
    for each, (user, _) in zip(("laptop", "pc"), [(value, 0) for value in spent], strict=False):
        tell(f"echo {placement} {submit.__name__}: processor of {each}'s daemon", 1000 * user / jobs, "ms/job")


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


async def round_trips(daemon: RealDaemon, placement: str, number: int) -> None:
    async with open_lines(daemon.paths, 1) as (line,):
        for each in range(20):
            await round_trip(line, placement, each)
        took = sorted([await round_trip(line, placement, each) for each in range(number)])
    for share in (0.5, 0.99):
        tell(f"echo {placement}: round trip p{100 * share:g}", 1000 * took[math.ceil(share * number) - 1], "ms")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.echo", description="What meshd itself costs a job.")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--round-trips", type=int, default=ROUND_TRIPS)
    parser.add_argument("--only", choices=["local", "pc"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meshd-bench-") as folder, open_pair(Path(folder)) as (laptop, pc):
        for placement in ("local", "pc") if given.only is None else (given.only,):
            print([laptop.pid, pc.pid], file=sys.stderr)
            asyncio.run(round_trips(laptop, placement, given.round_trips))
            for submit in (submit_each, submit_batches):
                asyncio.run(timed(laptop, [pc], placement, submit, given.jobs))
    tell("load average", os.getloadavg()[0], "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
