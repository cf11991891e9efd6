"""How long a cancelled job goes on on the peer that runs it: `python -m tests.bench.cancel`.

Jobs run on the pc for the laptop, on hosts of their own, and are cancelled at a random moment: `echo`, which looks
whether to stop; `lineups`, somewhere in its computation; and `stubborn`, which does not listen, and has started
processes that do not, either. The time is the laptop's, from just before it is asked to cancel, until the pc has no
process of the attempt any more. A worker that listens stays, warm for the next attempt: it counts as gone
once the pc calls its slot free and it no longer uses the processor.

Prints a JSON line a figure; the exit status is 1 when a promise is not kept. Needs root, and takes some minutes.
"""

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from meshd.clock import SystemClock
from meshd.store import peers
from meshd.trust.policy import DEFAULT_PERMISSIONS
from meshd_protocol.ids import DeviceId
from meshd_protocol.localapi import JobView
from tests.bench import stubborn
from tests.bench.figures import Figure, tell
from tests.bench.lan import note, open_bench
from tests.bench.optimization import sample_slate
from tests.support.hosts import DEADLINE_S, Daemon, Lan, pair, start, told, until

CANCELS = 120
"""Enough for a 99th percentile that is not the worst value."""

GOAL_S = 2.0
GOAL_SHARE = 0.99

QUIET_S = 0.1
"""A worker that computes takes all of this time of a processor, and more with several threads."""

QUIET_SHARE = 0.3

OURS = ("-m meshd", "execution/reaper.py")
"""What the commands of the daemon, its reaper and its workers have in them, and those of a job's processes have not."""

_clock = SystemClock()


@dataclass(frozen=True, slots=True)
class Victim:
    """A sort of job that is cancelled."""

    kind: str
    spec: Mapping[str, object]
    within_s: float
    """After its first progress it is cancelled at a random moment within so long."""

    part: float
    """Of all cancels."""

    leaves_worker: bool
    """Whether its worker may stay, idle."""


def victims() -> list[Victim]:
    """Return them; together they take a few seconds a cancel."""
    # Twenty seconds of work on two cores, most of them before the pass that JAX computes.
    spec = {"slate_csv": sample_slate(), "scenarios": 250_000, "objective": "p90"}
    return [
        Victim("echo", {"sleep_s": 600}, 0.5, 0.4, leaves_worker=True),
        Victim("lineups", spec, 5.0, 0.25, leaves_worker=True),
        Victim(stubborn.NAME, {}, 0.5, 0.35, leaves_worker=False),
    ]


def open_peers(lan: Lan, folder: Path) -> tuple[Daemon, Daemon]:
    """Return the laptop and the pc, paired, which know all victims; the pc lets the laptop run them."""
    stubborn.plug_in(folder)
    laptop, pc = lan.start("laptop", "pc", PYTHONPATH=str(folder))
    pair(pc, laptop)
    pc.stop()
    with closing(sqlite3.connect(pc.paths.database)) as connection, connection:
        laptop_id = DeviceId(laptop.client.status().device)
        peers.set_permissions(connection, laptop_id, [*DEFAULT_PERMISSIONS, stubborn.NAME])
    start(pc)
    until(lambda: laptop.is_online(pc), what="the pc is back")
    return laptop, pc


def run_and_cancel(laptop: Daemon, pc: Daemon, victim: Victim, after_s: float) -> float:
    """Return how long it took from the cancel until nothing of the attempt was left on the pc.

    Raises:
        AssertionError: it ends by itself, or something is left for long.
    """
    job = laptop.submit(victim.kind, pc.name, victim.spec)
    view = _once(laptop, job, lambda view: view.state == "running" and view.progress > 0)
    worker = None if victim.leaves_worker else int(view.best)
    assert worker is None or len(_strangers(pc)) == stubborn.FAMILY, "the family is there"
    time.sleep(after_s)
    asked_at = _clock.boot()
    view = laptop.client.cancel(job)
    assert view.state == "cancelled", told(view)
    gone_at = 0.0

    def is_gone() -> bool:
        nonlocal gone_at
        if _strangers(pc) or (worker is not None and psutil.pid_exists(worker)) or pc.client.status().busy:
            return False
        gone_at = _clock.boot()
        return _is_quiet(pc)

    until(is_gone, what=f"nothing is left of {victim.kind}")
    return gone_at - asked_at


def _once(daemon: Daemon, job: str, holds: Callable[[JobView], bool]) -> JobView:
    for view in daemon.client.follow(job, timeout_s=DEADLINE_S):
        if holds(view):
            return view
        assert view.ended_at is None, told(view)
    raise AssertionError(f"{job} has ended")


def _strangers(daemon: Daemon) -> list[int]:
    """Return the processes that jobs have started on a daemon's host."""
    return [one.pid for one in daemon.host.processes() if not any(mark in one.command for mark in OURS)]


def _is_quiet(daemon: Daemon) -> bool:
    """Return whether no worker computes, from what the kernel counts for a while."""
    workers = daemon.workers()
    before = _used_s(workers)
    time.sleep(QUIET_S)
    return _used_s(workers) - before < QUIET_S * QUIET_SHARE


def _used_s(pids: list[int]) -> float:
    used = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system
    return used


def main() -> int:
    """Cancel jobs; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cancel", description="How soon nothing is left.")
    parser.add_argument("--cancels", type=int, default=CANCELS, help="of all kinds together (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the cancels (%(default)s)")
    given = parser.parse_args()
    luck = random.Random(given.seed)  # noqa: S311 - no secret is made here

    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, open_bench() as lan:
        laptop, pc = open_peers(lan, Path(folder))
        for victim in victims():
            note(f"cancelling {victim.kind}")
            took[victim.kind] = [
                run_and_cancel(laptop, pc, victim, luck.uniform(0.0, victim.within_s))
                for _ in range(round(victim.part * given.cancels))
            ]
    together = [value for values in took.values() for value in values]
    return tell(
        Figure(f"{kind} cancelled: until nothing is left", "s", values, GOAL_S, GOAL_SHARE)
        for kind, values in {**took, "any": together}.items()
    )


if __name__ == "__main__":
    sys.exit(main())
