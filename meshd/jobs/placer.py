"""Own jobs that wait for a device: which of them go where, now, and which have to wait longer."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from meshd.clock import Clock
from meshd.errors import Degraded
from meshd.jobs.lifecycle import JobEvent, Placed
from meshd.jobs.model import Job, Traits
from meshd.jobs.views import Names
from meshd.net.streams import Streams, Transaction
from meshd.scheduling.placement import Run, Wait, Work, decide
from meshd.scheduling.snapshot import MeshSnapshot
from meshd.store import streams as stream_rows
from meshd.tasks import TaskSet
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.limits import MAX_OUTBOX_BYTES

log = logging.getLogger(__name__)

AVOID_S = 60.0
"""How long a device that has lost or declined a job's attempt is not asked again for that job."""

BACKOFF_S = 1.0
BACKOFF_MAX_S = 60.0
"""Between the attempts of a job that fails by its own doing: doubling from the first to the second."""


class Roster(Protocol):
    """What is known of the devices, as this module needs it."""

    def snapshot(self, on_the_way: Mapping[DeviceId, int]) -> MeshSnapshot:
        """Return the devices as they are now, with these attempts on their way to them."""
        ...


class Placer:
    """Offers jobs to devices as soon as there is one for them."""

    def __init__(
        self,
        *,
        device: DeviceId,
        roster: Roster,
        names: Names,
        streams: Streams,
        clock: Clock,
        tasks: TaskSet,
        traits: Callable[[str], Traits],
        unanswered: Callable[[], Iterable[DeviceId]],
        happen: Callable[[Transaction, JobId, JobEvent], None],
        waits: Callable[[Job, str], None],
        wake: Callable[[], None],
    ) -> None:
        """`unanswered` names the device of each offer without an answer; `waits` hears why a job is not placed."""
        self._device = device
        self._roster = roster
        self._names = names
        self._streams = streams
        self._clock = clock
        self._tasks = tasks
        self._traits = traits
        self._unanswered = unanswered
        self._happen = happen
        self._waits = waits
        self._wake = wake
        self._placing: dict[JobId, DeviceId] = {}
        self._ready_at: dict[JobId, float] = {}

    def place(self, jobs: Iterable[Job]) -> None:
        """Place those of these jobs that have no open attempt, best first."""
        now = self._clock.boot()
        ready = [
            job
            for job in jobs
            if not job.open_attempts and job.id not in self._placing and self._ready_at.get(job.id, 0.0) <= now
        ]
        full: set[tuple[str, str]] = set()
        for job in sorted(ready, key=lambda job: -job.priority):
            work = self._work(job)
            # What has lost devices is not like any other.
            is_plain = not work.avoid and not work.may_fall_back
            if is_plain and (job.kind, job.placement) in full:
                # An equal job just had to wait for a slot: so must this one.
                continue
            match decide(work, self._roster.snapshot(self.on_the_way())):
                case Run(device, why):
                    self._placing[job.id] = device
                    self._tasks.start(f"place {job.id}", self._place(job, device, why))
                case Wait(why):
                    if is_plain:
                        full.add((job.kind, job.placement))
                    self._waits(job, why)

    def tracked(self, job: Job, previous: Job | None) -> None:
        """Take note of a job's new state: it may have to wait before its next attempt, or is over."""
        self._placing.pop(job.id, None)
        if job.has_ended:
            self._ready_at.pop(job.id, None)
        elif not job.open_attempts and previous is not None and job.failures > previous.failures:
            pause = min(BACKOFF_S * 2 ** (job.failures - 1), BACKOFF_MAX_S)
            self._ready_at[job.id] = self._clock.boot() + pause

    def next_at(self) -> float | None:
        """Return when the next back-off ends; boot-time seconds."""
        now = self._clock.boot()
        return min((at for at in self._ready_at.values() if at > now), default=None)

    def on_the_way(self) -> dict[DeviceId, int]:
        """Return how many attempts are on their way to each device, which does not count them yet."""
        counts: dict[DeviceId, int] = {}
        for device in (*self._placing.values(), *self._unanswered()):
            counts[device] = counts.get(device, 0) + 1
        return counts

    async def _place(self, job: Job, device: DeviceId, why: str) -> None:
        try:
            await self._streams.write(lambda transaction: self._offer(transaction, job, device, why))
        except Degraded as error:
            log.warning("not placed: %s", error.message, extra={"job": job.id, "peer": device})
            self._ready_at[job.id] = self._clock.boot() + BACKOFF_S
        finally:
            self._placing.pop(job.id, None)
            self._wake()

    def _offer(self, transaction: Transaction, job: Job, device: DeviceId, why: str) -> None:
        if device != self._device and stream_rows.waiting_bytes(transaction.connection, device) > MAX_OUTBOX_BYTES:
            raise Degraded(f"too much waits for {self._names(device)} already", hint="it does not take what it is sent")
        self._happen(transaction, job.id, Placed(device, why))

    def _work(self, job: Job) -> Work:
        now = self._clock.wall()
        trouble = [
            attempt
            for attempt in job.attempts
            if attempt.state in {"lost", "declined", "superseded"} and attempt.ended_at is not None
        ]
        avoid = {
            attempt.device
            for attempt in trouble
            # A clock that was set back meanwhile must not make a minute a day.
            if attempt.device != self._device and 0 <= now - (attempt.ended_at or now) < AVOID_S
        }
        may_fall_back = bool(trouble) and self._traits(job.kind).deterministic
        return Work(job.kind, job.placement, job.cost, may_fall_back, avoid)
