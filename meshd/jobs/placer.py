"""Own jobs that wait for a device: which of them go where, now, and which have to wait longer."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from meshd.clock import Clock
from meshd.errors import Degraded
from meshd.jobs.lifecycle import JobEvent, Placed
from meshd.jobs.model import Job, Traits
from meshd.jobs.sendings import Sendings
from meshd.jobs.views import Names
from meshd.kinds.needs import Needs
from meshd.net.streams import Streams, Transaction
from meshd.scheduling.placement import Run, Wait
from meshd.scheduling.planning import Coming, plan, takes_s
from meshd.scheduling.snapshot import KindSnapshot, MeshSnapshot
from meshd.scheduling.work import POLICIES, Work
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

    def heard_at(self, peer: DeviceId) -> float:
        """Return when a peer has last told of its load, on the clock that counts sleep."""
        ...

    def counted_on(self, job: JobId, where: KindSnapshot | None) -> None:
        """Note for which accelerator a job was placed."""
        ...

    def tracked(self, job: Job) -> None:
        """Take note of a job's new state: of one that is done, something can be learnt."""
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
        traits: Callable[[Job], Traits],
        needs: Callable[[str], Needs],
        input_bytes: Callable[[JobId], int],
        happen: Callable[[Transaction, JobId, JobEvent], None],
        waits: Callable[[Job, str], None],
        wake: Callable[[], None],
    ) -> None:
        """`waits` hears why a job is not placed.

        `needs` tells what a kind needs, `input_bytes` how much would travel with a job.
        """
        self._device = device
        self._roster = roster
        self._names = names
        self._streams = streams
        self._clock = clock
        self._tasks = tasks
        self._traits = traits
        self._needs = needs
        self._input_bytes = input_bytes
        self._happen = happen
        self._waits = waits
        self._wake = wake
        self._placing: dict[JobId, DeviceId] = {}
        self._sendings = Sendings(device=device, clock=clock)
        self._ready_at: dict[JobId, float] = {}

    def place(self, jobs: Iterable[Job]) -> None:
        """Place those of these jobs that have no open attempt, best first."""
        now = self._clock.boot()
        ready = [
            job
            for job in jobs
            if not job.open_attempts and job.id not in self._placing and self._ready_at.get(job.id, 0.0) <= now
        ]
        if not ready:
            return
        ready.sort(key=lambda job: -job.priority)
        works = [self.work(job) for job in ready]
        coming = self._sendings.coming(self._roster.heard_at)
        decisions = plan(works, self._roster.snapshot({}), coming)
        for job, work, decision in zip(ready, works, decisions, strict=True):
            match decision:
                case Run(device, why, where):
                    self._placing[job.id] = device
                    self._roster.counted_on(job.id, where)
                    if where is not None:
                        self._sendings.sent(job.id, Coming(device, where.accelerator, takes_s(work, where)))
                    self._tasks.start(f"place {job.id}", self._place(job, device, why))
                case Wait(why):
                    self._waits(job, why)

    def tracked(self, job: Job, previous: Job | None) -> None:
        """Take note of a job's new state: it may have to wait before its next attempt, or is over."""
        self._placing.pop(job.id, None)
        self._sendings.tracked(job)
        self._roster.tracked(job)
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
        for coming in self._sendings.coming(self._roster.heard_at):
            counts[coming.device] = counts.get(coming.device, 0) + 1
        return counts

    async def _place(self, job: Job, device: DeviceId, why: str) -> None:
        try:
            await self._streams.write(lambda transaction: self._offer(transaction, job, device, why))
        except Degraded as error:
            log.warning("not placed: %s", error.message, extra={"job": job.id, "peer": device})
            self._ready_at[job.id] = self._clock.boot() + BACKOFF_S
            self._sendings.dropped(job.id)
        finally:
            self._placing.pop(job.id, None)
            self._wake()

    def _offer(self, transaction: Transaction, job: Job, device: DeviceId, why: str) -> None:
        if device != self._device and stream_rows.waiting_bytes(transaction.connection, device) > MAX_OUTBOX_BYTES:
            raise Degraded(f"too much waits for {self._names(device)} already", hint="it does not take what it is sent")
        self._happen(transaction, job.id, Placed(device, why))

    def work(self, job: Job) -> Work:
        """Return what placement needs to know of a job."""
        now = self._clock.wall()
        trouble = [
            attempt
            for attempt in job.attempts
            if attempt.span is None
            and attempt.state in {"lost", "declined", "superseded"}
            and attempt.ended_at is not None
        ]
        avoid = {
            attempt.device
            for attempt in trouble
            # A clock that was set back meanwhile must not make a minute a day.
            if attempt.device != self._device and 0 <= now - (attempt.ended_at or now) < AVOID_S
        }
        may_fall_back = bool(trouble) and self._traits(job).deterministic
        if job.placement not in POLICIES and not may_fall_back:
            # There is no other device for it.
            avoid.clear()
        needs = self._needs(job.kind)
        return Work(
            job.kind,
            job.placement,
            job.cost,
            may_fall_back,
            avoid,
            memory_bytes=needs.memory_bytes,
            gpu_memory_bytes=needs.gpu_memory_bytes,
            input_bytes=self._input_bytes(job.id),
        )
