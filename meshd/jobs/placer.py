"""Own jobs that wait for a device: which of them go where, now, and which have to wait longer."""

import functools
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from meshd.clock import Clock
from meshd.errors import Degraded
from meshd.jobs.backlog import Backlog
from meshd.jobs.lifecycle import JobEvent, Placed
from meshd.jobs.model import Job, Traits
from meshd.jobs.pace import Pace
from meshd.jobs.sendings import Sendings
from meshd.jobs.views import Names
from meshd.kinds.needs import Needs
from meshd.net.streams import Streams, Transaction
from meshd.scheduling.placement import Run, Wait
from meshd.scheduling.planning import Coming, Plan, takes_s
from meshd.scheduling.snapshot import SLOTS, DeviceSnapshot, KindSnapshot, MeshSnapshot
from meshd.scheduling.work import POLICIES, Work
from meshd.store import streams as stream_rows
from meshd.store.database import StoreError
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

    def snapshot(self, on_the_way: Mapping[DeviceId, int], kind: str | None = None) -> MeshSnapshot:
        """Return the devices as they are now, with these attempts on their way to them; for all kinds, or for one."""
        ...

    def find(self, name: str) -> DeviceId | None:
        """Return the device of this name or id, None when there is none."""
        ...

    def names(self) -> list[str]:
        """Return what the devices are called, in order."""
        ...

    def forbids(self, peer: DeviceId, kind: str) -> bool:
        """Return whether a peer that is online runs jobs of this kind, and not those of this device."""
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


LOOK_SHARE = 2.0
"""Times as long as a look has taken, nobody looks again: it may take a third of all time."""


LOOK_S = 0.01
"""Between two looks while jobs wait: what ends meanwhile is followed by what was sent ahead, or has taken so long that
this does not count."""


class Chosen(NamedTuple):
    """A job and the device that it is offered to."""

    job: Job
    device: DeviceId
    why: str
    where: KindSnapshot | None


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
        job_of: Callable[[JobId], Job | None],
        traits: Callable[[Job], Traits],
        needs: Callable[[str], Needs],
        input_bytes: Callable[[JobId], int],
        happen: Callable[[Transaction, JobId, JobEvent], None],
        begin: Callable[[Job, DeviceId, str], bool],
        waits: Callable[[Job, str], None],
        wake: Callable[[], None],
    ) -> None:
        """`begin` begins an attempt that need not be on disk first, and `waits` hears why a job is not placed.

        `needs` tells what a kind needs, `input_bytes` how much would travel with a job.
        """
        self._device = device
        self._roster = roster
        self._names = names
        self._streams = streams
        self._clock = clock
        self._tasks = tasks
        self._job_of = job_of
        self._traits = traits
        self._needs = needs
        self._input_bytes = input_bytes
        self._happen = happen
        self._begin = begin
        self._waits = waits
        self._wake = wake
        self._placing: dict[JobId, DeviceId] = {}
        self._backlog = Backlog()
        self._pace = Pace(clock=clock)
        self._sendings = Sendings(device=device, clock=clock)
        self._ready_at: dict[JobId, float] = {}
        self._look_at = 0.0
        """Before then nobody looks again."""

    @property
    def has_waiting(self) -> bool:
        """Return whether any job has no device yet."""
        return bool(self._backlog) or bool(self._placing)

    def place(self) -> None:
        """Place those jobs that have no open attempt, best first, as far as there is room for them."""
        if not self._backlog:
            return
        now = self._clock.boot()
        agreed = self._plan()
        chosen: list[Chosen] = []
        for line, job in self._backlog.round():
            if self._ready_at.get(job.id, 0.0) > now:
                continue
            work = self.work(job)
            match agreed.decide(work):
                case Run(device, why, where):
                    chosen.append(self._send(job, device, why, where, work))
                case Wait(why):
                    self._waits(job, why)
                    if line.is_fresh and agreed.is_closed(work):
                        line.closed, line.why = True, why
        to_be_stored: list[Chosen] = []
        for each in chosen:
            self._roster.counted_on(each.job.id, each.where)
            if not self._begin(each.job, each.device, each.why):
                self._backlog.remove(each.job.id)
                self._placing[each.job.id] = each.device
                to_be_stored.append(each)
        if to_be_stored:
            first, others = to_be_stored[0].job.id, len(to_be_stored) - 1
            self._tasks.start(f"place {first} and {others} more", self._place(to_be_stored))
        self._rest(now)

    def choose(self, job: Job) -> Chosen | None:
        """Return the device to which a job can be offered in the transaction that stores it; None: it waits its turn.

        Say with `stored` what became of it.
        """
        now = self._clock.boot()
        if self._backlog or now < self._look_at:
            return None
        work = self.work(job)
        decision = self._plan(job.kind).decide(work)
        self._rest(now)
        match decision:
            case Run(device, why, where):
                return self._send(job, device, why, where, work)
            case Wait():
                return None

    def stored(self, chosen: Chosen) -> None:
        """Take note that a job and its first attempt may be on disk."""
        if self._job_of(chosen.job.id) is None:
            self._sendings.dropped(chosen.job.id)
        else:
            self._roster.counted_on(chosen.job.id, chosen.where)

    def rests_s(self) -> float:
        """Return for how long nobody should look again, because somebody has a moment ago."""
        return max(0.0, self._look_at - self._clock.boot())

    def _plan(self, kind: str | None = None) -> Plan:
        coming = self._sendings.coming(self._roster.heard_at)
        if any(sent.kind != kind for sent in coming):
            # They may have been sent because a device has much room for theirs.
            kind = None
        return Plan(self._with_pace(self._roster.snapshot({}, kind), coming), coming)

    def _send(self, job: Job, device: DeviceId, why: str, where: KindSnapshot | None, work: Work) -> Chosen:
        if where is not None:
            self._sendings.sent(job.id, Coming(device, where.accelerator, takes_s(work, where), work.kind))
        return Chosen(job, device, why, where)

    def _rest(self, began: float) -> None:
        """Look again after a while that grows with what a look takes: the jobs that are placed need their time, too."""
        now = self._clock.boot()
        self._look_at = now + max(LOOK_SHARE * (now - began), LOOK_S if self._backlog else 0.0)

    def why(self, job: JobId) -> str:
        """Return what a job waits for that is too far behind to have been told; empty: it was."""
        return self._backlog.why(job)

    def _with_pace(self, mesh: MeshSnapshot, coming: Sequence[Coming]) -> MeshSnapshot:
        """Return the mesh with the room that devices will have made by the time that anything arrives there."""
        counts = Counter(sent.device for sent in coming)

        def updated(device: DeviceSnapshot) -> DeviceSnapshot:
            kinds = {
                kind: replace(found, free=room)
                for kind, found in device.kinds.items()
                if found.accelerator == SLOTS
                and (room := self._pace.room(device.device, kind))
                and (room := room + counts[device.device]) > found.free
            }
            return replace(device, kinds={**device.kinds, **kinds}) if kinds else device

        return MeshSnapshot(tuple(updated(device) for device in mesh.devices))

    def tracked(self, job: Job, previous: Job | None) -> None:
        """Take note of a job's new state: it may have to wait before its next attempt, or is over."""
        self._placing.pop(job.id, None)
        self._sendings.tracked(job)
        self._pace.tracked(job, previous)
        self._roster.tracked(job)
        if job.has_ended:
            self._backlog.forget(job.id)
            self._ready_at.pop(job.id, None)
            return
        if job.open_attempts:
            self._backlog.remove(job.id)
            return
        self._backlog.put(job)
        if previous is not None and job.failures > previous.failures:
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

    async def _place(self, chosen: Sequence[Chosen]) -> None:
        try:
            await self._streams.write(lambda transaction: self._offer(transaction, chosen))
        except Degraded as error:
            log.warning("not placed: %s", error.message, extra={"jobs": [each.job.id for each in chosen]})
            for each in chosen:
                self._put_off(each.job.id)
        finally:
            for each in chosen:
                self._placing.pop(each.job.id, None)
                job = self._job_of(each.job.id)
                if job is not None and not job.open_attempts:
                    self._backlog.put(job)
            self._wake()

    def _offer(self, transaction: Transaction, chosen: Sequence[Chosen]) -> None:
        full = {device for device in {each.device for each in chosen} if not self.has_room(transaction, device)}
        fitting: list[Chosen] = []
        for each in chosen:
            if each.device not in full:
                fitting.append(each)
                continue
            job, name = each.job.id, self._names(each.device)
            told = "too much waits for %s already" if transaction.is_paired(each.device) else "%s is no longer paired"
            log.warning(told, name, extra={"job": job, "peer": each.device})
            transaction.after(functools.partial(self._put_off, job))
        try:
            with transaction.attempt():
                for each in fitting:
                    self._happen(transaction, each.job.id, Placed(each.device, each.why))
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - whichever it is, it must not hold up the others
            for each in fitting:
                self._offer_one(transaction, each)

    def _offer_one(self, transaction: Transaction, chosen: Chosen) -> None:
        try:
            with transaction.attempt():
                self._happen(transaction, chosen.job.id, Placed(chosen.device, chosen.why))
        except StoreError:
            raise
        except Exception:
            log.exception("a job was not placed", extra={"job": chosen.job.id, "peer": chosen.device})
            transaction.after(functools.partial(self._put_off, chosen.job.id))

    def has_room(self, transaction: Transaction, device: DeviceId) -> bool:
        """Return whether offers to a device can wait here until it takes them: not if it was unpaired meanwhile."""
        if device == self._device:
            return True
        return (
            transaction.is_paired(device)
            and stream_rows.waiting_bytes(transaction.connection, device) <= MAX_OUTBOX_BYTES
        )

    def _put_off(self, job: JobId) -> None:
        self._ready_at[job] = self._clock.boot() + BACKOFF_S
        self._sendings.dropped(job)

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
