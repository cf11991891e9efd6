"""How fast a job goes on when its executor is lost, and how much work that costs: `python -m tests.bench.failover`.

An optimization runs on the pc for the laptop, on hosts of their own. At a random moment, 10 s in or later, the pc's
daemon is killed, or its worker, or its cable is pulled and stays out. The laptop then takes over. All times are
the laptop's, from just before the fault. The result must be, bit for bit, what the same program computes undisturbed.

Prints a JSON line a figure; the exit status is 1 when a promise is not kept. Needs root, and takes more than a
minute for each repetition of each fault.
"""

import argparse
import os
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from meshd.clock import SystemClock
from meshd.store import partials
from meshd_protocol.localapi import JobView
from meshd_protocol.messages.jobs import PartialRef
from tests.bench.figures import Figure, tell
from tests.bench.lan import note, open_bench
from tests.bench.optimization import Optimization, answer_of, make_optimization
from tests.support.hosts import Daemon, pair, told

REPETITIONS = 5

FIRST_FAULT_S = 10.0
"""Into the job: by then two checkpoints have been due."""

LAST_FAULT_SHARE = 0.7
"""Of the job: what is left must be worth going on with. The fault does not wait longer, if the job is faster."""

WORK_LOST_S = 5.0
"""What losing an executor may cost."""

LOOKS_S = 0.5
"""Looks at a running job come more often than this: progress is told five times a second."""

ROUNDING = 1e-9
"""Shares are added up in different orders by those who compare them."""

PATIENCE = 6.0
"""How many times its undisturbed time a job is waited for: it is computed twice in part, on a busy machine."""

_clock = SystemClock()


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to lose an executor."""

    name: str
    strike: Callable[[Daemon], None]
    goal_s: float
    """Until the first progress elsewhere."""


FAULTS: Mapping[str, Fault] = {
    # The connection is reset at once; a session's grace of 5 s follows.
    "daemon": Fault("daemon killed", lambda pc: pc.kill(), 7.0),
    # The pc's daemon sees it and says so.
    "worker": Fault("worker killed", lambda pc: pc.kill_workers(), 3.0),
    # Nobody says anything: the silence is noticed after at most 7.5 s, and the grace follows.
    "cable": Fault("cable pulled", lambda pc: pc.host.unplug(), 15.0),
}


@dataclass(frozen=True, slots=True)
class Look:
    """What the origin shows of a job's newest attempt."""

    at: float
    attempt: int
    state: str
    share: float

    @property
    def is_running(self) -> bool:
        """Whether the attempt runs."""
        return self.state == "running"


def look_at(view: JobView, at: float) -> Look:
    """Return what a view shows; before there is an attempt, of one that is numbered 0."""
    if not view.attempts:
        return Look(at, 0, view.state, 0.0)
    newest = view.attempts[-1]
    return Look(at, newest.number, newest.state, newest.progress)


def share_covered(weights: Mapping[int, float], spans: Iterable[PartialRef]) -> float:
    """Return how much of its whole job a checkpoint covers, as progress counts it."""
    return sum(weights[span.phase] * (span.stop - span.start) / span.units for span in spans)


def reached_at(looks: Sequence[Look], share: float) -> float:
    """Return when an attempt had done so much of its job: at the last look that showed less, or else the first.

    What a look shows is a fraction of a second old, so the one before is nearer to the truth, and what is lost is
    rather overstated.
    """
    at = looks[0].at
    for look in looks:
        if look.share >= share - ROUNDING:
            break
        at = look.at
    return at


@dataclass(frozen=True, slots=True)
class Failover:
    """What one loss came to."""

    runs_s: float
    """Until the origin shows that another attempt runs."""

    progress_s: float
    """Until the first progress of that attempt: it has loaded its program and the checkpoint."""

    anew_s: float
    """Until it has done more than the checkpoint says: what is computed from now on is new."""

    work_lost_s: float
    """Of the time of the lost executor, from what the next attempt began with to the fault."""


def weigh(looks: Sequence[Look], *, struck_at: float, covered: float) -> Failover:
    """Return what a loss came to, from what the origin showed of the job and how much its checkpoint covered.

    Raises:
        AssertionError: nothing ran before the fault, or nothing went on after it.
    """
    lost = [look for look in looks if look.is_running and look.at <= struck_at]
    assert lost, "nothing ran before the fault"
    later = [look for look in looks if look.is_running and look.attempt > lost[-1].attempt]
    assert later, "no other attempt ran"
    working = [look for look in later if look.share > 0.0]
    anew = [look for look in working if look.share > covered + ROUNDING]
    assert anew, "the other attempt got nowhere"
    return Failover(
        runs_s=later[0].at - struck_at,
        progress_s=working[0].at - struck_at,
        anew_s=anew[0].at - struck_at,
        work_lost_s=struck_at - reached_at(lost, covered),
    )


def fail_over(fault: Fault, job: Optimization, after_s: float) -> tuple[Failover, bool]:
    """Let a job run on a LAN of its own, strike, and follow it to its end; return whether its answer is right, too.

    Raises:
        AssertionError: it is over before the fault, or does not end well afterwards.
    """
    with open_bench() as lan:
        laptop, pc = lan.start("laptop", "pc")
        pair(pc, laptop)
        number = laptop.submit("lineups", "pc", job.spec)
        looks: list[Look] = []
        struck_at = covered = None
        view = laptop.client.job(number)
        for view in laptop.client.follow(number, timeout_s=PATIENCE * job.took_s):
            look = look_at(view, _clock.boot())
            looks.append(look)
            if not look.is_running:
                continue
            if struck_at is None:
                began = next(look.at for look in looks if look.is_running)
                wait_s = FIRST_FAULT_S if look.share >= LAST_FAULT_SHARE else after_s
                struck_at = _strike_at(began + wait_s, lambda: fault.strike(pc))
            elif covered is None and look.attempt > 1:
                # What is stored of the first attempt does not change any more, until the job has ended.
                covered = share_covered(job.weights, _checkpoint(laptop, number, attempt=1))
        assert struck_at is not None, f"over before the fault:\n{told(view)}"
        assert covered is not None, f"no other attempt ran:\n{told(view)}"
        assert view.state == "completed", told(view)
        return weigh(looks, struck_at=struck_at, covered=covered), answer_of(bytes(view.result)) == job.answer


def _strike_at(at: float, strike: Callable[[], None]) -> float | None:
    """Strike at that moment, if it comes before the next look; return just before when."""
    left_s = at - _clock.boot()
    if left_s >= LOOKS_S:
        return None
    time.sleep(max(0.0, left_s))
    struck_at = _clock.boot()
    strike()
    return struck_at


def _checkpoint(daemon: Daemon, job: str, *, attempt: int) -> list[PartialRef]:
    """Return what the daemon has of an attempt's work, as it has it on its disk."""
    with closing(sqlite3.connect(f"file:{daemon.paths.database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [ref for owner, ref in partials.of_job(connection, job) if owner == attempt]


def _figures(fault: Fault, trials: Sequence[tuple[Failover, bool]]) -> Iterator[Figure]:
    results = [result for result, _ in trials]
    yield Figure(
        f"{fault.name}: until the first progress elsewhere", "s", [r.progress_s for r in results], fault.goal_s
    )
    yield Figure(f"{fault.name}: work lost", "s", [r.work_lost_s for r in results], WORK_LOST_S)
    yield Figure(f"{fault.name}: until another attempt is shown to run", "s", [r.runs_s for r in results])
    yield Figure(f"{fault.name}: until it is past the checkpoint", "s", [r.anew_s for r in results])
    yield Figure(f"{fault.name}: wrong answers", "of each", [float(not is_right) for _, is_right in trials], 0.0)


def main() -> int:
    """Lose executors; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.failover", description="How a job survives.")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}; all without any")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="of each fault (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which faults happen (%(default)s)")
    parser.add_argument("--scenarios", type=int, help="of the job; as many as take it long enough, without")
    given = parser.parse_args()
    faults = [FAULTS[name] for name in given.faults or FAULTS]
    luck = random.Random(given.seed)  # noqa: S311 - no secret is made here

    job = make_optimization(_clock, scenarios=given.scenarios)
    note(f"undisturbed, the job takes {job.took_s:.1f} s")
    trials: dict[str, list[tuple[Failover, bool]]] = {fault.name: [] for fault in faults}
    for repetition in range(given.repetitions):
        for fault in faults:
            after_s = luck.uniform(FIRST_FAULT_S, max(FIRST_FAULT_S, LAST_FAULT_SHARE * job.took_s))
            result, is_right = fail_over(fault, job, after_s)
            trials[fault.name].append((result, is_right))
            how = f"load {os.getloadavg()[0]:.1f}, {'right' if is_right else 'WRONG'}"
            note(f"{repetition + 1}: {fault.name} after {after_s:.1f} s: {result}, {how}")
    return tell(figure for fault in faults for figure in _figures(fault, trials[fault.name]))


if __name__ == "__main__":
    sys.exit(main())
