"""`python -m tests.faults.kills --kills 500`: a daemon is killed again and again, and keeps every promise.

Users submit, cancel, delete, repeat and read jobs over the local API, and note each answer in a ledger on disk. The
daemon is killed by SIGKILL at moments drawn from the seed: of six kills four come under load, one while it starts, and
one while it starts for the first time, in an empty home. After each start the youngest jobs are compared with the
ledger, and in the end all of them.
"""

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from meshd.errors import NotFound
from meshd_protocol.localapi import END_STATES, JobView
from tests.faults.autopsy import copy_database, examine, leftovers, wal_bytes
from tests.faults.crowd import Crowd
from tests.faults.daemon import GONE_S, RealDaemon, a_daemon, outlived_by, started_by
from tests.faults.ledger import ASKED, Ledger, Promise, read_ledger

Sort = Literal["under load", "starting", "in a new home"]

SORTS: tuple[Sort, ...] = ("in a new home", "starting", "under load", "under load", "under load", "under load")
"""What six kills are, in an order that the seed draws."""

UNDER_LOAD_S = 0.6
"""A kill comes at most so long after the users were let in: time for some dozens of answers."""

START_S = 0.9
"""A kill during a start comes at most so long after it: about when it is ready."""

EXAMINE_EVERY = 25
"""Kills between two examinations of the whole database."""

LOOK_AT = 60
"""Jobs that are looked at after a start: those that were spoken of last, and some others."""

REST_S = 60.0
"""How long the jobs may take to end, once nobody kills the daemon any more."""

MAX_WORDS = 3000
"""Characters of the daemon's log in a report."""

HEALED_S = 30.0
"""How long a user whose submission was never answered may take to have it answered."""


@dataclass(slots=True)
class Report:
    """What the kills have shown."""

    kills: int = 0
    while_starting: int = 0
    first_starts: int = 0
    with_workers: int = 0
    """Kills that found worker processes alive."""

    with_log: int = 0
    """Kills after which a part of the database lay in its log only."""

    starts_s: list[float] = field(default_factory=list[float])
    gone_s: list[float] = field(default_factory=list[float])
    examined: int = 0
    answered: dict[str, int] = field(default_factory=dict[str, int])
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list[str])
    log: str = ""
    """What the daemon said when something went wrong."""

    def lines(self) -> list[str]:
        """Return the figures, for a person."""
        starts = sorted(self.starts_s)
        answers = {what: count for what, count in sorted(self.answered.items()) if what != ASKED}
        acknowledged = ", ".join(f"{count} {what}" for what, count in answers.items())
        return [
            f"kills: {self.kills} ({self.while_starting} while starting, {self.first_starts} of these in a new home;"
            f" {self.with_workers} with workers alive, {self.with_log} with a log to recover)",
            f"acknowledged: {sum(answers.values())} ({acknowledged}); without an answer: {self.unanswered}",
            f"restart: p50 {statistics.median(starts):.2f} s, p95 {starts[int(len(starts) * 0.95)]:.2f} s,"
            f" longest {starts[-1]:.2f} s; all processes gone after {max(self.gone_s, default=0):.2f} s at most",
            f"whole database examined {self.examined} times; broken promises: {len(self.wrong)}",
            *self.wrong[:20],
            *self.log.splitlines(),
        ]


class Killer:
    """One daemon that dies again and again, with its users and their ledger."""

    def __init__(self, folder: Path, daemon: RealDaemon, ledger: Ledger, *, seed: int) -> None:
        self.report = Report()
        self._folder = folder
        self._daemon = daemon
        self._ledger = ledger
        self._rng = random.Random(seed)  # noqa: S311 - a seed must bring it back
        self._looks = random.Random(seed)  # noqa: S311 - of its own: it depends on what the users did
        self._watchers = ThreadPoolExecutor(4)
        self._watching: list[Future[tuple[float, set[int]]]] = []

    def run(self, kills: int, crowd: Crowd, tell: Callable[[str], None]) -> None:
        """Kill it so often, and then let it rest."""
        with self._watchers, crowd:
            examine_at = EXAMINE_EVERY
            sorts: list[Sort] = []
            while self.report.kills < kills and not self.report.wrong:
                sorts = sorts or self._rng.sample(SORTS, len(SORTS))
                match sorts.pop():
                    case "under load":
                        self._kill_under_load(crowd)
                    case "starting":
                        self._kill_while_starting(self._daemon)
                    case "in a new home":
                        self._kill_in_a_new_home()
                if self.report.kills >= examine_at:
                    examine_at += EXAMINE_EVERY
                    self._examine(at_rest=False)
                    tell(f"{self.report.kills} kills, {len(self._ledger.promises.jobs)} jobs")
                self.report.wrong += [*crowd.wrong(), *self._ledger.promises.broken]
            if not self.report.wrong:
                self._rest(crowd)
        for watched in self._watching:
            seconds, left = watched.result()
            self.report.gone_s.append(seconds)
            if left:
                self.report.wrong.append(f"processes {left} were alive {GONE_S:g} s after their daemon")
        self.report.unanswered = sum(user.findings.unanswered for user in crowd.users)
        self.report.answered = dict(self._ledger.promises.counts)

    def _start(self, daemon: RealDaemon) -> None:
        began = time.perf_counter()
        daemon.start()
        daemon.wait_until_ready()
        self.report.starts_s.append(time.perf_counter() - began)

    def _kill(self, daemon: RealDaemon) -> None:
        workers = len(started_by(daemon.pid)) > 1
        daemon.kill()
        self.report.kills += 1
        self.report.with_workers += workers
        self.report.with_log += wal_bytes(daemon.paths) > 0
        self._watching.append(self._watchers.submit(outlived_by, daemon.pid))

    def _kill_under_load(self, crowd: Crowd) -> None:
        self._start(self._daemon)
        self._look()
        crowd.open.set()
        time.sleep(self._rng.uniform(0, UNDER_LOAD_S))
        self._kill(self._daemon)
        crowd.open.clear()

    def _kill_while_starting(self, daemon: RealDaemon) -> None:
        daemon.start()
        time.sleep(self._rng.uniform(0, START_S))
        self._kill(daemon)
        self.report.while_starting += 1

    def _kill_in_a_new_home(self) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder, a_daemon(Path(folder)) as daemon:
            self._kill_while_starting(daemon)
            self.report.first_starts += 1
            self._start(daemon)
            status = daemon.stop()
            self.report.wrong += self._after_the_end(daemon, status)

    def _look(self) -> None:
        """Compare the youngest jobs, and some others, with the ledger."""
        known = self._ledger.promises.jobs
        recent = self._ledger.recent_jobs()[-LOOK_AT:]
        others = self._looks.sample(list(known), min(len(known), LOOK_AT // 3))
        for job in {*recent, *others}:
            try:
                view: JobView | None = self._daemon.client.job(job)
            except NotFound:
                view = None
            if (complaint := complain(job, known[job], view)) is not None:
                self.report.wrong.append(complaint)

    def _examine(self, *, at_rest: bool) -> None:
        promises = read_ledger(self._folder / "ledger") if at_rest else self._ledger.promises
        copy = copy_database(self._daemon.paths, self._folder / "copy")
        self.report.wrong += examine(copy, promises, at_rest=at_rest)
        self.report.examined += 1

    def _rest(self, crowd: Crowd) -> None:
        """Let everything end, with nobody to disturb it, and compare all there is with the ledger."""
        self._start(self._daemon)
        self._look()
        crowd.open.set()
        until = time.perf_counter() + HEALED_S
        while any(user.is_unsure for user in crowd.users) and time.perf_counter() < until:
            time.sleep(0.05)
        crowd.leave()
        client = self._daemon.client
        until = time.perf_counter() + REST_S
        states = ("queued", "running", "retrying")
        while (still_open := client.jobs(states=states, limit=500).jobs) and time.perf_counter() < until:
            for view in still_open:
                client.cancel(view.id)
        status = self._daemon.stop()
        self._examine(at_rest=True)
        self.report.wrong += self._after_the_end(self._daemon, status)

    def _after_the_end(self, daemon: RealDaemon, status: int) -> list[str]:
        wrong = [f"{name} is left in the home" for name in leftovers(daemon.paths.data)]
        if status != 0:
            wrong.append(f"it was asked to end, and ended with status {status}")
        words = daemon.log.read_text("utf-8", "replace")
        wrong += [f"its log says: {line}" for line in words.splitlines() if "Traceback" in line or " error " in line]
        return wrong


def complain(job: str, promise: Promise, view: JobView | None) -> str | None:
    """Return what is wrong about a job as its daemon shows it after a start."""
    if view is None:
        return None if promise.deletion_asked else f"{job} was acknowledged, and is lost after a start"
    if promise.deleted:
        return f"{job} was deleted, and is back after a start"
    if promise.end and view.state != promise.end:
        return f"{job} was {promise.end}, and is {view.state} after a start"
    ends = [line for line in view.story or [] if line.attempt is None and line.state in END_STATES]
    return f"{job} has {len(ends)} ends" if len(ends) > 1 else None


def kill_often(folder: Path, *, kills: int, seed: int, users: int, tell: Callable[[str], None]) -> Report:
    """Run the whole of it in `folder`."""
    with a_daemon(folder) as daemon, closing(Ledger(folder / "ledger")) as ledger:
        killer = Killer(folder, daemon, ledger, seed=seed)
        killer.run(kills, Crowd(daemon.paths, ledger, users=users, seed=seed), tell)
        if killer.report.wrong:
            killer.report.log = trouble_in(daemon.log)
        return killer.report


def trouble_in(log: Path) -> str:
    """Return a log from its first traceback on; its end when it has none."""
    words = log.read_text("utf-8", "replace")
    begin = words.find("Traceback")
    return words[-MAX_WORDS:] if begin < 0 else words[max(0, begin - 300) : begin + MAX_WORDS]


def main() -> int:
    """Run what the command line asks for; return 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="how many (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and of what the users do (default: 1)")
    parser.add_argument("--users", type=int, default=4, help="how many at once (default: 4)")
    arguments = parser.parse_args()
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="meshd-kills-") as folder:
        report = kill_often(
            Path(folder),
            kills=arguments.kills,
            seed=arguments.seed,
            users=arguments.users,
            tell=lambda line: print(line, flush=True),
        )
    print("\n".join(report.lines()))
    print(f"seed {arguments.seed}, {time.perf_counter() - began:.0f} s")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
