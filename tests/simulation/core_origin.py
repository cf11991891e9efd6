"""Level A's origin: own jobs from their submission to their one end, with their leases and checkpoints."""

from typing import TYPE_CHECKING

from meshd.jobs import coverage, lifecycle
from meshd.jobs.leases import Happening, Leases
from meshd.jobs.lifecycle import JobEvent
from meshd.jobs.model import Attempt, Failure, Job, Traits
from meshd.kinds.base import PackedPartial
from meshd.scheduling.placement import Run, decide
from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot, MeshSnapshot
from meshd.scheduling.work import Work
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.messages import jobs as wire
from tests.simulation.core_disk import Effects, Holding, Key, Task
from tests.simulation.divisible import undisturbed
from tests.simulation.workers import DIVIDED, EFFECT, KINDS, PURE, SAFE

if TYPE_CHECKING:
    from tests.simulation.core_device import CoreDevice

TRAITS = {name: Traits(kind.deterministic, kind.retry_safe) for name, kind in KINDS.items()}
RATE = {PURE: 1.0, SAFE: None, EFFECT: None, DIVIDED: 1.0}
AVOID_S = 60.0


class CoreOrigin:
    """What one life of a device knows of its own jobs."""

    def __init__(self, device: "CoreDevice") -> None:
        self._device = device
        self._world = device.world
        self._name = device.name
        self.leases = Leases(clock=device, names=str)
        self._ready_at: dict[JobId, float] = {}
        self._check_due: float | None = None
        self._place_due = False

    def load(self, effects: Effects) -> None:
        """Take up the jobs that have not ended; what ran here died with the daemon."""
        for job in list(self._device.disk.jobs.values()):
            if job.has_ended:
                continue
            self._track(job)
            for attempt in job.open_attempts:
                if attempt.device == self._name:
                    self.happen(job.id, lifecycle.Lost(attempt.number, "the daemon was restarted"), effects)

    # Users

    def submit(self, job: Job, task: Task) -> bool:
        """Take a job; return whether it is on disk."""
        disk, monitor = self._device.disk, self._world.monitor

        def insert(effects: Effects) -> None:
            if job.id not in disk.jobs:
                disk.jobs[job.id] = job
                disk.tasks[job.id] = task
                traits = TRAITS[job.kind]
                monitor.queued(
                    self._name, job.id, job.kind, deterministic=traits.deterministic, retry_safe=traits.retry_safe
                )
                if task.units:
                    monitor.checkpoints.planned(self._name, job.id, undisturbed(task.seed, task.units))
            effects.append(lambda: self._track(disk.jobs[job.id]))

        return self._device.commit(insert)

    # Events

    def event(self, job: JobId, event: JobEvent) -> bool:
        """Let something happen to a job; return False when the disk does not take it."""
        return self._device.commit(lambda effects: self.happen(job, event, effects))

    def happen(
        self,
        job_id: JobId,
        event: JobEvent,
        effects: Effects,
        *,
        sender: str | None = None,
        answer: object = None,
        anew: bool = False,
    ) -> None:
        """Let something happen to a job, as a part of a transaction."""
        disk = self._device.disk
        job = disk.jobs.get(job_id)
        if job is None:
            return
        number = getattr(event, "attempt", None)
        if sender is not None and number is not None:
            attempt = job.attempt(number)
            if attempt is None or attempt.device != sender:
                return
        after = lifecycle.step(job, event, self._device.wall(), TRAITS[job.kind])
        if after.job is job and not after.story:
            return
        self._tell_story(after)
        disk.jobs[job_id] = after.job
        if anew or after.job.has_ended:
            self._drop(job_id)
        for effect in after.effects:
            match effect:
                case lifecycle.Offer(tried):
                    self._offer(after.job, tried, effects)
                case lifecycle.Withdraw(tried, reason):
                    self._withdraw(after.job, tried, reason, effects)
                case lifecycle.Keep(tried):
                    disk.results[job_id] = (tried.number, answer)
        if after.job.failures > job.failures:
            pause = min(2.0 ** (after.job.failures - 1), 60.0)
            effects.append(lambda: self._wait(job_id, pause))
        effects.append(lambda: self._track(after.job))

    def _wait(self, job: JobId, pause: float) -> None:
        self._ready_at[job] = self._world.now + pause
        self._world.later(self._device, pause, self._place)

    def _tell_story(self, after: lifecycle.Step) -> None:
        monitor, job = self._world.monitor, after.job
        for number, state, cause in after.story:
            if number is None:
                monitor.job_changed(job.id, state)
                continue
            attempt = job.attempt(number)
            assert attempt is not None
            if state == "offered":
                monitor.offered(job.id, number, attempt.device)
            else:
                is_paired = attempt.device == self._name or attempt.device in self._device.disk.peers
                monitor.attempt_changed(job.id, number, state, cause, is_paired=is_paired)

    def _offer(self, job: Job, attempt: Attempt, effects: Effects) -> None:
        disk, key = self._device.disk, (self._name, job.id, attempt.number)
        task, refs = disk.tasks[job.id], tuple(ref for _, ref in disk.partials.get(job.id, []))
        if attempt.device == self._name:
            given = [PackedPartial(ref.phase, ref.units, ref.start, ref.stop, disk.blobs[ref.digest]) for ref in refs]
            holding = Holding(job.kind, task, None, may_start=True, given=given)
            effects.append(lambda: self._device.executor.hold(key, holding))
            return
        message = wire.Offer(
            job=job.id,
            attempt=attempt.number,
            kind=job.kind,
            name="job",
            resolved=f"{task.units} {task.seed}".encode(),
            priority=0,
            timeout_s=task.seconds,
            partials=refs,
        )
        self._device.streams.post(attempt.device, message, effects)

    def _withdraw(self, job: Job, attempt: Attempt, reason: str, effects: Effects) -> None:
        if attempt.device == self._name:
            effects.append(lambda: self._device.executor.stop((self._name, job.id, attempt.number)))
        elif attempt.device in self._device.disk.peers:
            message = wire.Cancel(job=job.id, attempt=attempt.number, reason=reason[:90])
            self._device.streams.post(attempt.device, message, effects)

    def started(self, key: Key, effects: Effects) -> None:
        """Note that an own attempt runs here."""
        self.happen(key[1], lifecycle.Started(key[2], self._device.boot_id), effects)

    def is_open(self, key: Key) -> bool:
        """Return whether an own attempt is still wanted."""
        job = self._device.disk.jobs.get(key[1])
        attempt = None if job is None else job.attempt(key[2])
        return attempt is not None and attempt.is_open

    def finished(
        self, key: Key, how: str, effects: Effects, *, sender: str | None = None, answer: object = None
    ) -> None:
        """Take the end of an attempt, as a part of a transaction."""
        _, job, number = key
        anew = how == "BadCheckpoint"
        self.happen(job, _outcome(number, how), effects, sender=sender, answer=answer, anew=anew)

    def declined(self, key: Key, reason: str, effects: Effects) -> None:
        """Take a peer's refusal of an offer, as a part of a transaction."""
        peer, job, number = key
        self.happen(job, lifecycle.Declined(number, reason), effects, sender=peer)

    # Leases

    def _track(self, job: Job) -> None:
        traits = TRAITS[job.kind]
        remote = [attempt for attempt in job.open_attempts if attempt.device != self._name]
        self.leases.track(job, remote, deterministic=traits.deterministic)
        self._arm_check()
        self.wake()

    def _arm_check(self) -> None:
        due = self.leases.next_check_at()
        if due is None:
            return
        delay = max(0.01, (due - self._device.boot()) / self._device.rate)
        if self._check_due is None or self._world.now + delay < self._check_due - 1e-6:
            self._check_due = self._world.now + delay
            self._world.later(self._device, delay, self._check)

    def _check(self) -> None:
        self._check_due = None
        happened = self.leases.check({DeviceId(peer) for peer in self._device.streams.talks})
        self._arm_check()
        self._all(happened)

    def _all(self, happened: list[Happening]) -> None:
        for job, event in happened:
            self.event(job, event)

    def closed(self, peer: str) -> None:
        """Note that the session with a peer is over."""
        self.leases.closed(DeviceId(peer))
        self._arm_check()
        self.wake()

    def forget(self, peer: str) -> None:
        """Take back what an unpaired device has."""
        happened = self.leases.forget(DeviceId(peer))
        self._arm_check()
        self._all(happened)

    def holding(self, peer: str, message: wire.Holding) -> None:
        """Answer what a peer holds."""
        answer, happened = self.leases.holding(DeviceId(peer), message)
        self._world.monitor.heard(self._name, peer)
        self._arm_check()

        def take(effects: Effects) -> None:
            for job, event in happened:
                self.happen(job, event, effects)
            effects.append(lambda: self._device.streams.send(peer, ("renewed", answer)))

        self._device.commit(take)

    def progress(self, peer: str, message: wire.Progress) -> None:
        """Note how far a peer is with an attempt."""
        self.leases.progress(DeviceId(peer), message)

    # Checkpoints

    def kept(self, peer: str, message: wire.Kept) -> None:
        """Fetch a checkpoint that a peer has told of."""
        job = self._device.disk.jobs.get(JobId(message.job))
        attempt = None if job is None else job.attempt(message.attempt)
        if attempt is None or not attempt.is_open or attempt.device != peer:
            return
        world = self._world
        if world.healed or world.rng.random() >= world.options.fetch_troubles * 0.3:
            session = self._device.streams.talks[peer].session
            pause = world.rng.uniform(0.005, 0.5 if world.rng.random() < 0.9 else 20.0)
            world.later(self._device, pause, self._fetched, peer, session, message)

    def _fetched(self, peer: str, session: object, message: wire.Kept) -> None:
        talk = self._device.streams.talks.get(peer)
        if talk is None or talk.session is not session:
            return
        key = (self._name, JobId(message.job), AttemptNumber(message.attempt))
        data = self._world.devices[peer].executor.blob_of(key, message.partial.digest)
        if data is not None:
            self.cover(key, message.partial, data)

    def cover(self, key: Key, ref: wire.PartialRef, data: bytes) -> None:
        """Let a partial enter the checkpoint, if it still may."""
        _, job, number = key
        disk = self._device.disk

        def enter(effects: Effects) -> None:
            known = disk.jobs.get(job)
            attempt = None if known is None else known.attempt(number)
            covered = disk.partials.get(job, [])
            if known is None or attempt is None:
                return
            if known.has_ended or not attempt.is_open or not coverage.admits(covered, ref):
                return
            disk.partials[job] = coverage.enter(covered, number, ref)
            for _, old in covered:
                if coverage.is_inside(old, ref):
                    disk.blobs.pop(old.digest, None)
            disk.blobs[ref.digest] = data
            span = (ref.phase, ref.start, ref.stop)
            self._world.monitor.checkpoints.covered(job, number, ref.units, span, ref.digest, is_open=attempt.is_open)

        self._device.commit(enter)

    def _drop(self, job: JobId) -> None:
        disk = self._device.disk
        if disk.partials.pop(job, None) is not None:
            for digest in [digest for digest in disk.blobs if digest.startswith(f"{job} ")]:
                del disk.blobs[digest]
            self._world.monitor.checkpoints.uncovered(job)

    # Placement

    def wake(self) -> None:
        """Look soon at what could be placed."""
        if not self._place_due:
            self._place_due = True
            self._world.later(self._device, 0.003, self._place)

    def has_waiting_jobs(self) -> bool:
        """Return whether there is anything to place."""
        return bool(self._waiting_jobs())

    def _waiting_jobs(self) -> list[Job]:
        return [job for job in self._device.disk.jobs.values() if not job.has_ended and not job.open_attempts]

    def _place(self) -> None:
        self._place_due = False
        now = self._world.now
        refused = False
        for job in self._waiting_jobs():
            if self._ready_at.get(job.id, 0.0) > now:
                continue
            decision = decide(self._work(job), self._snapshot())
            if isinstance(decision, Run):
                refused |= not self.event(job.id, lifecycle.Placed(decision.device, decision.why))
        if refused:
            self._world.later(self._device, 1.0, self.wake)

    def _work(self, job: Job) -> Work:
        now = self._device.wall()
        trouble = [each for each in job.attempts if each.state in {"lost", "declined", "superseded"}]
        avoid = {
            each.device for each in trouble if each.device != self._name and 0 <= now - (each.ended_at or now) < AVOID_S
        }
        return Work(job.kind, job.placement, job.cost, bool(trouble) and TRAITS[job.kind].deterministic, avoid)

    def _snapshot(self) -> MeshSnapshot:
        return MeshSnapshot(tuple(_seen(other, self._device) for other in self._world.devices.values()))


def _seen(device: "CoreDevice", by: "CoreDevice") -> DeviceSnapshot:
    """Return a device as another one sees it."""
    busy = len(device.executor.holdings)
    free = max(0, device.world.options.slots - busy)
    kinds = {
        kind: KindSnapshot(free, 5.0 * busy, None if rate is None else rate * device.speed)
        for kind, rate in RATE.items()
    }
    is_online = by is device or device.name in by.streams.talks
    return DeviceSnapshot(DeviceId(device.name), device.name, by is device, is_online, kinds)


def _outcome(number: AttemptNumber, how: str) -> JobEvent:
    match how:
        case "Succeeded":
            return lifecycle.Succeeded(number)
        case "Lost":
            return lifecycle.Lost(number, "its worker was killed")
        case "BadCheckpoint":
            return lifecycle.Lost(number, "its checkpoint could not be used, so it begins anew")
        case "Cancelled":
            return lifecycle.Stopped(number, "stopped")
        case _:
            return lifecycle.Failed(number, Failure("crashed", "the program raised"))
