"""What a second device brings to one job: `python -m tests.bench.spread`.

Two hosts with daemons of their own, each kept to one core. The same optimization runs on the laptop alone, on both,
and on a laptop that the pc joins half way. The results must be the same, bit for bit. The job is as long as one that a
user sends away: of a short one, what is done once, and handing over, is a larger part.

Prints a JSON line a figure; the exit status is 1 when a promise is not kept. Needs root and two cores, and takes some
minutes.
"""

import argparse
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from meshd.clock import SystemClock
from meshd_protocol.localapi import JobView
from tests.bench.figures import Figure, tell
from tests.bench.lan import note, open_bench
from tests.bench.optimization import JOB_S, Optimization, answer_of, make_optimization, sample_slate
from tests.support.hosts import Daemon, Lan, pair, told, until

GAIN = 1.8
"""How many times as fast two devices are as one of them."""

AT_WORK_S = 2.0
"""After a device has joined."""

PATIENCE = 10.0
"""How many times its undisturbed time a job is waited for: here it has one core of two."""

_clock = SystemClock()


def main() -> int:
    """Measure and print; return the exit status."""
    arguments = _arguments()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("This needs two cores: one for each device.")
    job = make_optimization(_clock, scenarios=arguments.scenarios)
    note(f"the job takes {job.took_s:.1f} s on all cores in one process")
    alone: list[float] = []
    together: list[float] = []
    joined: list[float] = []
    for number in range(arguments.repetitions):
        with _two_devices() as (laptop, pc):
            alone.append(_timed(laptop, job, "local"))
            pair(pc, laptop)
            _warm(laptop, "pc")
            together.append(_timed(laptop, job, "auto"))
            joined.append(_joins(laptop, pc, job))
        note(f"{number + 1}: alone {alone[-1]:.1f} s, together {together[-1]:.1f} s, joined at work {joined[-1]:.2f} s")
    gains = [one / two for one, two in zip(alone, together, strict=True)]
    figures = [
        Figure("alone", "s", alone),
        Figure("two devices", "s", together),
        Figure("a device that joins is at work", "s", joined, AT_WORK_S),
    ]
    status = tell(figures)
    gain = sorted(gains)[len(gains) // 2]
    kept = gain >= GAIN
    line = {"metric": "gain of two devices over one", "unit": "times", "n": len(gains), "p50": round(gain, 2)}
    print(json.dumps(line | {"goal": f"p50 >= {GAIN}", "result": "pass" if kept else "FAIL"}), flush=True)
    return status if kept else 1


@contextmanager
def _two_devices() -> Generator[tuple[Daemon, Daemon]]:
    with open_bench() as lan:
        laptop, pc = _start(lan, "laptop", 0), _start(lan, "pc", 1)
        _warm(laptop, "local")
        yield laptop, pc


def _start(lan: Lan, name: str, core: int) -> Daemon:
    daemon = lan.add(name)
    _launch(daemon, core)
    return daemon


def _launch(daemon: Daemon, core: int) -> None:
    """Start a daemon on one core: what it starts later keeps to it as well."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[core]})
    try:
        daemon.launch()
    finally:
        os.sched_setaffinity(0, cores)
    daemon.ready()


def _warm(laptop: Daemon, placement: str) -> None:
    """Let the device compile the program, and learn how fast it is."""
    spec = {"slate_csv": sample_slate(), "lineup_count": 20, "scenarios": 4096, "objective": "p90", "seed": 1}
    view = laptop.ended(laptop.submit("lineups", placement, spec), within_s=120)
    assert view.state == "completed", told(view)


def _timed(laptop: Daemon, job: Optimization, placement: str) -> float:
    view = laptop.ended(laptop.submit("lineups", placement, job.spec), within_s=PATIENCE * job.took_s)
    _check(view, job)
    assert view.duration_s is not None
    return view.duration_s


def _check(view: JobView, job: Optimization) -> None:
    assert view.state == "completed", told(view)
    assert answer_of(bytes(view.result)) == job.answer, f"another answer:\n{told(view)}"


def _joins(laptop: Daemon, pc: Daemon, job: Optimization) -> float:
    """Let the pc come while the job is half done; return how long after that it computes some of it."""
    pc.stop()
    number = laptop.submit("lineups", "auto", job.spec)
    until(lambda: laptop.client.job(number).progress >= 0.4, within_s=PATIENCE * job.took_s, what="half of it is done")
    _launch(pc, 1)
    until(lambda: laptop.is_online(pc), what="the pc is online")
    joined_at = _clock.boot()
    until(lambda: _computes(laptop.client.job(number)), what="the pc computes a part")
    at_work_s = _clock.boot() - joined_at
    _check(laptop.ended(number, within_s=PATIENCE * job.took_s), job)
    return at_work_s


def _computes(view: JobView) -> bool:
    return any(attempt.device == "pc" and attempt.started_at is not None for attempt in view.attempts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.spread", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--scenarios", type=int, help=f"of the job; without, as many as take {JOB_S:.0f} s here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
