"""This device as an executor: attempts of its own jobs and of its peers', waiting for a slot, then running.

Who the attempts belong to, whether they may start and who hears of them is the business of their owners: the
origin for own jobs, the holdings for those of peers.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from meshd.clock import Clock
from meshd.errors import Degraded
from meshd.execution.outcome import Outcome, ProgressReport, Succeeded
from meshd.jobs.ratebook import RateBook
from meshd.kinds.base import Document, Kind, PackedPartial
from meshd.scheduling.order import next_up
from meshd.tasks import TaskSet
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId

log = logging.getLogger(__name__)

PROGRESS_S = 0.2
"""Progress is told at most this often: five times a second is smooth to the eye."""


class Pool(Protocol):
    """Where attempts run, as this module needs it."""

    async def run(
        self,
        *,
        job: str,
        attempt: int,
        kind: Kind,
        resolved: Document,
        timeout_s: float = 0,
        partials: Sequence[PackedPartial] = (),
        on_progress: Callable[[ProgressReport], None],
        on_partial: Callable[[PackedPartial], None],
        on_start: Callable[[], None],
    ) -> Outcome:
        """Run one attempt to its end."""
        ...

    def cancel(self, job: str, attempt: int) -> bool:
        """Stop an attempt; `run` then returns `Cancelled`."""
        ...


class KindFinder(Protocol):
    """Looks kinds up by name."""

    def __call__(self, name: str) -> Kind:
        """Return the kind of this name, or raise `BadInput`."""
        ...


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """What tells an attempt on this device from every other: two origins may have drawn the same job id."""

    origin: DeviceId
    job: JobId
    number: AttemptNumber


@dataclass(frozen=True, slots=True)
class Assignment:
    """An attempt to run."""

    key: AttemptKey
    kind: Kind
    resolved: Document
    cost: float | None
    priority: int
    timeout_s: float


class Owner(Protocol):
    """Who has handed an attempt to the executor, and hears of it."""

    async def starting(self, key: AttemptKey) -> Sequence[PackedPartial] | None:
        """The attempt has a slot; return the checkpoint to go on from, or None when it is no longer wanted."""
        ...

    def started(self, key: AttemptKey) -> None:
        """The attempt runs."""
        ...

    def progressed(self, key: AttemptKey, report: ProgressReport) -> None:
        """The attempt is further."""
        ...

    def kept(self, key: AttemptKey, partial: PackedPartial) -> None:
        """The attempt has a checkpoint: it replaces the one of the same phase and start."""
        ...

    async def ended(self, key: AttemptKey, outcome: Outcome) -> None:
        """The attempt is over; its slot is taken until this returns."""
        ...


@dataclass(slots=True)
class _Entry:
    """One attempt in this device's hands."""

    assignment: Assignment
    owner: Owner
    age: int
    may_start: bool
    running: bool = False
    share: float = 0.0
    told_at: float = 0.0

    @property
    def key(self) -> AttemptKey:
        return self.assignment.key

    @property
    def kind(self) -> Kind:
        return self.assignment.kind


class Executor:
    """Gives slots to attempts and runs them."""

    def __init__(self, *, pool: Pool, rates: RateBook, clock: Clock, slots: int) -> None:
        self._pool = pool
        self._rates = rates
        self._clock = clock
        self._slots = slots
        self._entries: dict[AttemptKey, _Entry] = {}
        self._arrivals = 0
        self._closed = False
        self._tasks = TaskSet()
        self._on_load: Callable[[], None] = lambda: None

    def watch(self, on_load: Callable[[], None]) -> None:
        """Call `on_load` when the load changes."""
        self._on_load = on_load

    async def close(self) -> None:
        """Stop everything that runs, and start nothing more."""
        self._closed = True
        await self._tasks.close()

    def take(self, assignment: Assignment, owner: Owner, *, may_start: bool) -> None:
        """Take an attempt; it starts when it may and a slot is free."""
        self._arrivals += 1
        self._entries[assignment.key] = _Entry(assignment, owner, self._arrivals, may_start)
        self._on_load()
        self._dispatch()

    def permit(self, key: AttemptKey) -> None:
        """Let a waiting attempt start."""
        entry = self._entries.get(key)
        if entry is not None and not entry.may_start:
            entry.may_start = True
            self._dispatch()

    def withdraw(self, key: AttemptKey) -> None:
        """Do not let a waiting attempt start until it is permitted again."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.may_start = False

    def stop(self, key: AttemptKey) -> None:
        """Stop an attempt; its owner hears of the end only if it runs."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if entry.running:
            # The entry goes when its worker is gone: until then the slot is taken.
            self._pool.cancel(_pool_name(entry), key.number)
        else:
            del self._entries[key]
            self._on_load()

    # How busy this device is

    def free(self, kind: Kind) -> int:
        """Return how many attempts of `kind` could start here now."""
        return max(0, self._lane_size(kind) - len(self._lane(kind)))

    def wait_s(self, kind: Kind) -> float:
        """Return how long an attempt of `kind` that comes now would wait, by the estimates."""
        lane = self._lane(kind)
        if len(lane) < self._lane_size(kind):
            return 0.0
        return sum(self._remaining_s(entry) for entry in lane) / self._lane_size(kind)

    @property
    def busy(self) -> int:
        """Attempts that run now."""
        return sum(entry.running for entry in self._entries.values())

    @property
    def queued(self) -> int:
        """Attempts that wait for a slot."""
        return len(self._entries) - self.busy

    def _lane(self, kind: Kind) -> list[_Entry]:
        return [entry for entry in self._entries.values() if entry.kind.accelerated == kind.accelerated]

    def _lane_size(self, kind: Kind) -> int:
        # JAX takes every core, so two such attempts at once would only slow each other down.
        return 1 if kind.accelerated else self._slots

    def _remaining_s(self, entry: _Entry) -> float:
        rate = self._rates.get(entry.kind.name)
        if rate is None or entry.assignment.cost is None:
            return 0.0
        return entry.assignment.cost / rate.rate * (1.0 - entry.share)

    # Running

    def _dispatch(self) -> None:
        for accelerated in (True, False):
            while self._start_next([e for e in self._entries.values() if e.kind.accelerated == accelerated]):
                pass

    def _start_next(self, lane: list[_Entry]) -> bool:
        running: dict[DeviceId, int] = defaultdict(int)
        for entry in lane:
            running[entry.key.origin] += entry.running
        if self._closed or not lane or sum(running.values()) >= self._lane_size(lane[0].kind):
            return False
        chosen = next_up(
            (entry for entry in lane if entry.may_start and not entry.running),
            priority=lambda entry: entry.assignment.priority,
            origin=lambda entry: entry.key.origin,
            age=lambda entry: entry.age,
            running=running,
        )
        if chosen is None:
            return False
        chosen.running = True
        self._tasks.start(f"attempt {chosen.key.job}/{chosen.key.number}", self._run(chosen))
        return True

    async def _run(self, entry: _Entry) -> None:
        try:
            partials = await entry.owner.starting(entry.key)
            if partials is not None:
                outcome = await self._pool.run(
                    job=_pool_name(entry),
                    attempt=entry.key.number,
                    kind=entry.kind,
                    resolved=entry.assignment.resolved,
                    timeout_s=entry.assignment.timeout_s,
                    partials=partials,
                    on_progress=lambda report: self._progressed(entry, report),
                    on_partial=lambda partial: entry.owner.kept(entry.key, partial),
                    on_start=lambda: self._started(entry),
                )
                await self._ended(entry, outcome)
        finally:
            self._entries.pop(entry.key, None)
            self._on_load()
            self._dispatch()

    def _started(self, entry: _Entry) -> None:
        log.info("attempt started", extra=_ids(entry))
        entry.owner.started(entry.key)
        self._on_load()

    def _progressed(self, entry: _Entry, report: ProgressReport) -> None:
        entry.share = report.share
        now = self._clock.boot()
        if now - entry.told_at >= PROGRESS_S:
            entry.told_at = now
            entry.owner.progressed(entry.key, report)

    async def _ended(self, entry: _Entry, outcome: Outcome) -> None:
        log.info("attempt ended", extra=_ids(entry) | {"how": type(outcome).__name__})
        await entry.owner.ended(entry.key, outcome)
        if isinstance(outcome, Succeeded):
            try:
                await self._rates.ran(entry.kind.name, entry.assignment.cost, outcome.duration_s)
            except Degraded as error:
                # The next run teaches it as well.
                log.warning("a measured rate was not kept: %s", error.message, extra=_ids(entry))


def _ids(entry: _Entry) -> dict[str, object]:
    return {"job": entry.key.job, "attempt": entry.key.number, "origin": entry.key.origin}


def _pool_name(entry: _Entry) -> str:
    return f"{entry.key.job}@{entry.key.origin}"
