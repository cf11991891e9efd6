"""Level A's device: the decisions are production's pure functions, the driver around them is as small as it can be.

What is on its disk is plain values; a transaction is a function that changes them and leaves effects, and the
device may die between any two of those.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from meshd.jobs import lifecycle
from meshd.jobs.leases import Happening, Leases
from meshd.jobs.lifecycle import JobEvent
from meshd.jobs.model import Attempt, Failure, Job, Traits
from meshd.scheduling.placement import Run, Work, decide
from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot, MeshSnapshot
from meshd_protocol.errors import ProtocolError
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId, StreamId
from meshd_protocol.limits import HEARTBEAT_S
from meshd_protocol.machines import delivery, lease
from meshd_protocol.messages import jobs as wire
from tests.simulation.core_world import CoreWorld, Crashed, Session
from tests.simulation.workers import EFFECT, KINDS, PURE, SAFE

TRAITS = {name: Traits(kind.deterministic, kind.retry_safe) for name, kind in KINDS.items()}
RATE = {PURE: 1.0, SAFE: None, EFFECT: None}
INSIST_S = 2.0
AVOID_S = 60.0

Key = tuple[str, JobId, AttemptNumber]
Durable = wire.Offer | wire.Cancel | wire.Declined | wire.Finished


@dataclass(slots=True)
class Held:
    """A row of the table of attempts held for peers."""

    kind: str
    seconds: float
    state: str
    boot: str
    finished_seq: int | None = None


@dataclass(slots=True)
class CoreDisk:
    """What survives a crash."""

    jobs: dict[JobId, Job] = field(default_factory=dict[JobId, Job])
    seconds: dict[JobId, float] = field(default_factory=dict[JobId, float])
    results: dict[JobId, int] = field(default_factory=dict[JobId, int])
    held: dict[Key, Held] = field(default_factory=dict[Key, Held])
    outbound: dict[str, delivery.Outbound] = field(default_factory=dict[str, delivery.Outbound])
    outbox: dict[str, dict[int, Durable]] = field(default_factory=dict[str, dict[int, Durable]])
    inbound: dict[str, delivery.Inbound] = field(default_factory=dict[str, delivery.Inbound])


@dataclass(slots=True)
class Holding:
    """An attempt in memory, of a peer's job or an own one."""

    kind: str
    seconds: float
    lease: lease.ExecutorLease | None
    """None: an own job's, which needs none."""

    may_start: bool
    running: bool = False
    stopped: bool = False
    began_at: float = 0.0
    hangs: bool = False


@dataclass(slots=True)
class Talk:
    """One side of a session."""

    session: Session
    inbound: delivery.Inbound | None
    outbound: delivery.Outbound | None = None
    started: bool = False
    sent: int = 0
    asked: dict[int, float] = field(default_factory=dict[int, float])


class CoreDevice:
    """One device, through all its lives."""

    def __init__(self, world: CoreWorld, name: str) -> None:
        rng = world.rng
        self.name = name
        self.world = world
        self.disk = CoreDisk()
        self.life = 0
        self.is_up = False
        self.is_full = False
        self.asleep_until = 0.0
        self.rate = 1.0 + (rng.uniform(-0.02, 0.02) if world.options.clock_drift else 0.0)
        self.started_at = rng.uniform(0.0, 1e6)
        self.wall_offset = 1_700_000_000.0
        self.speed = 1.0
        self._streams = 0
        self._forget_memory()

    # Clocks

    def boot(self) -> float:
        return self.started_at + self.world.now * self.rate

    def wall(self) -> float:
        return self.wall_offset + self.world.now

    # Life and death

    def _forget_memory(self) -> None:
        self.leases = Leases(clock=self, names=str)
        self.holdings: dict[Key, Holding] = {}
        self.finished: dict[Key, None] = {}
        self.talks: dict[str, Talk] = {}
        self.ready_at: dict[JobId, float] = {}
        self.number = 0
        self.check_due: float | None = None
        self.place_due = False

    def start(self) -> None:
        """Read the disk, then serve."""
        if self.is_up:
            return
        self.life += 1
        self.boot_id = f"boot{self.life}of{self.name}"[:12]
        self._forget_memory()
        self.is_up = True
        self.world.monitor.note(self.name, "its daemon starts")
        if not self._commit(self._load):
            self.die(again_in=2.0)
            return
        self.world.later(self, HEARTBEAT_S, self._beat)

    def _load(self, effects: list[Callable[[], None]]) -> None:
        for key, held in list(self.disk.held.items()):
            if held.state == "waiting":
                message = wire.Declined(job=key[1], attempt=key[2], code="restarted", reason="restarted")
                held.finished_seq = self._post(key[0], message, effects)
                held.state = "finished"
            elif held.state == "running":
                del self.disk.held[key]
        self.finished = {key: None for key, held in self.disk.held.items() if held.state == "finished"}
        for job in list(self.disk.jobs.values()):
            if job.has_ended:
                continue
            self._track(job)
            for attempt in job.open_attempts:
                if attempt.device == self.name:
                    self._happen(job.id, lifecycle.Lost(attempt.number, "the daemon was restarted"), effects)

    def die(self, *, again_in: float | None = None) -> None:
        """End at once, with all that is only in memory."""
        if not self.is_up:
            return
        self.is_up = False
        self.life += 1
        self._forget_memory()
        world = self.world
        world.monitor.crashed(self.name)
        for line in world.lines.values():
            if line.session is not None and self.name in line.ends:
                world.hang_up(line.session, self.name)
        if again_in is None:
            again_in = 1.0 if world.healed else world.rng.uniform(0.5, 40.0)
        self.asleep_until = 0.0
        world.at(world.now + again_in, self.start)

    def wipe(self) -> None:
        """Lose the database."""
        self.die()
        self.disk = CoreDisk()
        self.world.monitor.wiped(self.name)

    # Transactions

    def _commit(self, change: Callable[[list[Callable[[], None]]], None]) -> bool:
        """Change the disk, then do what follows; return False when the disk does not take it."""
        world = self.world
        if self.is_full:
            world.monitor.sometime("a disk refused a write")
            return False
        effects: list[Callable[[], None]] = []
        change(effects)
        risk = 0.0 if world.healed else 0.004 * world.options.commit_crashes
        life = self.life
        for effect in effects:
            if risk and world.rng.random() < risk:
                world.monitor.note(self.name, "dies between a commit and what follows")
                world.monitor.sometime("a crash between commit and effect")
                self.die()
                raise Crashed
            effect()
            if self.life != life:
                raise Crashed
        return True

    def _insist(self, change: Callable[[list[Callable[[], None]]], None], done: Callable[[], None]) -> None:
        if self._commit(change):
            done()
        else:
            self.world.later(self, INSIST_S, self._insist, change, done)

    def _post(self, peer: str, message: Durable, effects: list[Callable[[], None]]) -> int:
        outbound = self._outbound(peer)
        outbound = self.disk.outbound[peer] = delivery.Outbound(outbound.stream, outbound.last + 1, outbound.acked)
        self.disk.outbox.setdefault(peer, {})[outbound.last] = message
        self.world.monitor.numbered(self.name, peer, outbound.stream, outbound.last)
        effects.append(lambda: self._posted(peer, outbound.last))
        return outbound.last

    def _outbound(self, peer: str) -> delivery.Outbound:
        outbound = self.disk.outbound.get(peer)
        if outbound is None:
            outbound = self.disk.outbound[peer] = delivery.Outbound(self._fresh(), 0, 0)
        return outbound

    def _fresh(self) -> StreamId:
        self._streams += 1
        return StreamId(f"{self.name}{self._streams}")

    def _posted(self, peer: str, seq: int) -> None:
        talk = self.talks.get(peer)
        if talk is not None and talk.outbound is not None:
            talk.outbound = delivery.Outbound(talk.outbound.stream, seq, talk.outbound.acked)
            self._pump(peer, talk)

    # The origin

    def submit(self, job: Job, seconds: float) -> None:
        """Take a job from a user, who asks again until it is on disk."""

        def insert(effects: list[Callable[[], None]]) -> None:
            if job.id not in self.disk.jobs:
                self.disk.jobs[job.id] = job
                self.disk.seconds[job.id] = seconds
                traits = TRAITS[job.kind]
                self.world.monitor.queued(
                    self.name, job.id, deterministic=traits.deterministic, retry_safe=traits.retry_safe
                )
            effects.append(lambda: self._track(self.disk.jobs[job.id]))

        taken = False
        try:
            taken = self.is_up and self.asleep_until <= self.world.now and self._commit(insert)
        finally:
            if not taken:
                self.world.at(self.world.now + 2.0, self.submit, job, seconds)
        if taken:
            self.world.monitor.acknowledged(self.name, job.id)

    def cancel(self, job: JobId) -> None:
        """End a job as its user asks."""
        if self.is_up and self.asleep_until <= self.world.now:
            self._event(job, lifecycle.CancelAsked("cancelled by its user"))

    def _event(self, job: JobId, event: JobEvent) -> bool:
        return self._commit(lambda effects: self._happen(job, event, effects))

    def _happen(
        self, job_id: JobId, event: JobEvent, effects: list[Callable[[], None]], *, sender: str | None = None
    ) -> None:
        job = self.disk.jobs.get(job_id)
        if job is None:
            return
        number = getattr(event, "attempt", None)
        if sender is not None and number is not None:
            attempt = job.attempt(number)
            if attempt is None or attempt.device != sender:
                return
        after = lifecycle.step(job, event, self.wall(), TRAITS[job.kind])
        if after.job is job and not after.story:
            return
        self._tell_story(after)
        self.disk.jobs[job_id] = after.job
        for effect in after.effects:
            match effect:
                case lifecycle.Offer(tried):
                    self._offer(after.job, tried, effects)
                case lifecycle.Withdraw(tried, reason):
                    self._withdraw(after.job, tried, reason, effects)
                case lifecycle.Keep(tried):
                    self.disk.results[job_id] = tried.number
        if after.job.failures > job.failures:
            pause = min(2.0 ** (after.job.failures - 1), 60.0)
            effects.append(lambda: self._wait(job_id, pause))
        effects.append(lambda: self._track(after.job))

    def _wait(self, job: JobId, pause: float) -> None:
        self.ready_at[job] = self.world.now + pause
        self.world.later(self, pause, self._place)

    def _tell_story(self, after: lifecycle.Step) -> None:
        monitor, job = self.world.monitor, after.job
        for number, state, cause in after.story:
            if number is None:
                monitor.job_changed(job.id, state)
            elif state == "offered":
                attempt = job.attempt(number)
                assert attempt is not None
                monitor.offered(job.id, number, attempt.device)
            else:
                monitor.attempt_changed(job.id, number, state, cause)

    def _offer(self, job: Job, attempt: Attempt, effects: list[Callable[[], None]]) -> None:
        key = (self.name, job.id, attempt.number)
        if attempt.device == self.name:
            holding = Holding(job.kind, self.disk.seconds[job.id], None, may_start=True)
            effects.append(lambda: self._hold(key, holding))
            return
        message = wire.Offer(
            job=job.id,
            attempt=attempt.number,
            kind=job.kind,
            name="job",
            resolved=b"",
            priority=0,
            timeout_s=self.disk.seconds[job.id],
        )
        self._post(attempt.device, message, effects)

    def _withdraw(self, job: Job, attempt: Attempt, reason: str, effects: list[Callable[[], None]]) -> None:
        if attempt.device == self.name:
            effects.append(lambda: self._stop((self.name, job.id, attempt.number)))
        else:
            self._post(attempt.device, wire.Cancel(job=job.id, attempt=attempt.number, reason=reason[:90]), effects)

    def _track(self, job: Job) -> None:
        traits = TRAITS[job.kind]
        remote = [attempt for attempt in job.open_attempts if attempt.device != self.name]
        self.leases.track(job, remote, deterministic=traits.deterministic)
        self._arm_check()
        self.wake()

    def _arm_check(self) -> None:
        due = self.leases.next_check_at()
        if due is None:
            return
        delay = max(0.01, (due - self.boot()) / self.rate)
        if self.check_due is None or self.world.now + delay < self.check_due - 1e-6:
            self.check_due = self.world.now + delay
            self.world.later(self, delay, self._check)

    def _check(self) -> None:
        self.check_due = None
        happened = self.leases.check({DeviceId(peer) for peer in self.talks})
        self._arm_check()
        self._all(happened)

    def _all(self, happened: list[Happening]) -> None:
        for job, event in happened:
            self._event(job, event)

    def wake(self) -> None:
        """Look soon at what could be placed."""
        if not self.place_due:
            self.place_due = True
            self.world.later(self, 0.003, self._place)

    def _place(self) -> None:
        self.place_due = False
        now = self.world.now
        for job in [job for job in self.disk.jobs.values() if not job.has_ended and not job.open_attempts]:
            if self.ready_at.get(job.id, 0.0) > now:
                continue
            decision = decide(self._work(job), self._snapshot())
            if isinstance(decision, Run) and not self._event(job.id, lifecycle.Placed(decision.device, decision.why)):
                self.world.later(self, 1.0, self._place)

    def _work(self, job: Job) -> Work:
        now = self.wall()
        trouble = [each for each in job.attempts if each.state in {"lost", "declined", "superseded"}]
        avoid = {
            each.device for each in trouble if each.device != self.name and 0 <= now - (each.ended_at or now) < AVOID_S
        }
        return Work(job.kind, job.placement, job.cost, bool(trouble) and TRAITS[job.kind].deterministic, avoid)

    def _snapshot(self) -> MeshSnapshot:
        return MeshSnapshot(tuple(device.seen_by(self) for device in self.world.devices.values()))

    def seen_by(self, other: "CoreDevice") -> DeviceSnapshot:
        """Return this device as another one sees it."""
        free = max(0, self.world.options.slots - len(self.holdings))
        kinds = {
            kind: KindSnapshot(free, 5.0 * len(self.holdings), None if rate is None else rate * self.speed)
            for kind, rate in RATE.items()
        }
        is_online = other is self or self.name in other.talks
        return DeviceSnapshot(DeviceId(self.name), self.name, other is self, is_online, kinds)

    # The executor

    def _hold(self, key: Key, holding: Holding) -> None:
        self.holdings[key] = holding
        if holding.lease is not None:
            self._tell(key[0])
        self._dispatch()

    def _stop(self, key: Key) -> None:
        holding = self.holdings.get(key)
        if holding is None:
            return
        if not holding.running:
            del self.holdings[key]
            self._dispatch()
        elif not holding.stopped:
            holding.stopped = True
            self.world.monitor.told_to_stop(self.name, key)
            self.world.later(self, self.world.rng.uniform(0.0, 1.6), self._end, key, "Cancelled")

    def _dispatch(self) -> None:
        running = sum(holding.running for holding in self.holdings.values())
        for key, holding in list(self.holdings.items()):
            if running >= self.world.options.slots:
                return
            if holding.may_start and not holding.running:
                holding.running = True
                running += 1
                if holding.lease is not None:
                    self.world.monitor.starting(self.name, key)
                self._insist(
                    lambda effects, key=key: self._mark_running(key, effects), lambda key=key: self._begin(key)
                )

    def _mark_running(self, key: Key, effects: list[Callable[[], None]]) -> None:
        if key[0] == self.name:
            self._happen(key[1], lifecycle.Started(key[2], self.boot_id), effects)
        elif (held := self.disk.held.get(key)) is not None and held.state == "waiting":
            held.state = "running"

    def _begin(self, key: Key) -> None:
        holding = self.holdings.get(key)
        if holding is None:
            return
        wanted = not holding.stopped and (
            self._is_open(key) if holding.lease is None else key in self.disk.held and holding.lease != lease.Over()
        )
        if not wanted:
            self.holdings.pop(key, None)
            self._dispatch()
            return
        world = self.world
        holding.began_at = world.now
        world.monitor.began(self.name, key)
        seconds, how = holding.seconds * world.rng.uniform(0.8, 1.2) / self.speed, "Succeeded"
        if not world.healed:
            options, luck = world.options, world.rng.random()
            if luck < options.failures * 0.25:
                how = "Failed"
            elif luck < options.failures * 0.25 + options.lost_workers * 0.3:
                how = "Lost"
            elif world.rng.random() < options.hangs * 0.25:
                holding.hangs = True
                seconds, how = 110.0, "Failed"
        world.later(self, seconds, self._end, key, how)
        if holding.lease is not None:
            self._tell(key[0])

    def _is_open(self, key: Key) -> bool:
        job = self.disk.jobs.get(key[1])
        attempt = None if job is None else job.attempt(key[2])
        return attempt is not None and attempt.is_open

    def _end(self, key: Key, how: str) -> None:
        holding = self.holdings.get(key)
        if holding is None or (holding.stopped and how != "Cancelled"):
            return
        holding.stopped = True
        self.world.monitor.gone(self.name, key, how)
        self._insist(lambda effects: self._finish(key, how, effects), lambda: self._ended(key))

    def _ended(self, key: Key) -> None:
        self.holdings.pop(key, None)
        self._dispatch()
        self.wake()

    def _finish(self, key: Key, how: str, effects: list[Callable[[], None]]) -> None:
        origin, job, number = key
        if origin == self.name:
            self._happen(job, _outcome(number, how), effects)
            return
        held = self.disk.held.get(key)
        if held is None or held.state != "running":
            return
        message = wire.Finished(
            job=job,
            attempt=number,
            state="succeeded" if how == "Succeeded" else "cancelled" if how == "Cancelled" else "failed",
            duration_s=1.0,
            error_kind="lost" if how == "Lost" else "crashed",
        )
        held.finished_seq = self._post(origin, message, effects)
        held.state = "finished"
        effects.append(lambda: self.finished.__setitem__(key, None))

    # The executor's leases

    def _beat(self) -> None:
        self.world.later(self, HEARTBEAT_S, self._beat)
        for origin in dict.fromkeys(key[0] for key, holding in self.holdings.items() if holding.lease is not None):
            self._tell(origin)
            for key, holding in self.holdings.items():
                if key[0] == origin and holding.running and not holding.hangs and not holding.stopped:
                    share = min(1.0, (self.world.now - holding.began_at) / (holding.seconds + 1.0))
                    self._send(origin, ("progress", wire.Progress(job=key[1], attempt=key[2], share=share)))
        for key in list(self.holdings):
            self._lease(key, lease.Tick())
        # What peers tell of their load wakes placement in production; here time does.
        self.wake()

    def _tell(self, origin: str) -> None:
        talk = self.talks.get(origin)
        if talk is None:
            return
        lines = [
            wire.HeldAttempt(job=key[1], attempt=key[2], state="running" if holding.running else "waiting")
            for key, holding in self.holdings.items()
            if key[0] == origin and holding.lease is not None
        ]
        lines += [
            wire.HeldAttempt(job=key[1], attempt=key[2], state="finished") for key in self.finished if key[0] == origin
        ]
        self.number += 1
        talk.asked[self.number] = self.boot()
        self._send(origin, ("holding", wire.Holding(boot=self.boot_id, number=self.number, attempts=lines)))

    def _lease(self, key: Key, event: lease.ExecutorEvent) -> None:
        holding = self.holdings.get(key)
        if holding is None or holding.lease is None:
            return
        holding.lease, effects = lease.executor_step(holding.lease, event, self.boot())
        if isinstance(holding.lease, lease.Held) and isinstance(event, lease.Renewed):
            self.world.later(self, max(0.0, (holding.lease.until - self.boot()) / self.rate) + 0.001, self._lapse, key)
        for effect in effects:
            match effect:
                case lease.Permit():
                    if not holding.may_start:
                        holding.may_start = True
                        self._dispatch()
                case lease.GiveUp():
                    holding.may_start = False
                    traits = TRAITS[holding.kind]
                    if traits.retry_safe and not traits.deterministic:
                        self._abandon(key)
                case lease.Kill():
                    self._abandon(key)

    def _lapse(self, key: Key) -> None:
        self._lease(key, lease.Tick())

    def _abandon(self, key: Key) -> None:
        holding = self.holdings.get(key)
        if holding is not None:
            holding.lease = lease.Over()
        self._stop(key)
        self._insist(lambda _: self._remove_held(key), lambda: None)

    def _remove_held(self, key: Key) -> None:
        held = self.disk.held.get(key)
        if held is not None and held.state != "finished":
            del self.disk.held[key]

    # Sessions

    def opened(self, session: Session) -> None:
        """Begin to talk."""
        peer = session.other(self.name)
        inbound = self.disk.inbound.get(peer)
        self.talks[peer] = Talk(session, inbound)
        self.world.monitor.session_opened(self.name, peer, session.number)
        stream, last, digest = ("", 0, delivery.NOTHING) if inbound is None else (
            inbound.stream, inbound.last, inbound.digest,
        )  # fmt: skip
        self._send(peer, ("resume", stream, last, digest))

    def closed(self, session: Session) -> None:
        """Note that a session is over."""
        peer = session.other(self.name)
        talk = self.talks.get(peer)
        if talk is None or talk.session is not session:
            return
        del self.talks[peer]
        self.world.monitor.session_closed(self.name, peer)
        for key, holding in list(self.holdings.items()):
            if key[0] == peer:
                holding.may_start = False
                self._lease(key, lease.Disconnected())
        self.leases.closed(DeviceId(peer))
        self._arm_check()
        self.wake()

    def _send(self, peer: str, frame: tuple[object, ...]) -> None:
        talk = self.talks.get(peer)
        if talk is not None:
            self.world.send(talk.session, self.name, frame)

    def take(self, session: Session, frame: tuple[object, ...]) -> None:
        """Take a frame from the line."""
        peer = session.other(self.name)
        talk = self.talks.get(peer)
        if talk is None or talk.session is not session:
            return
        try:
            self._take(peer, talk, frame)
        except ProtocolError as error:
            self.world.monitor.note(self.name, f"ends the session with {peer}: {error}")
            self.world.hang_up(session, self.name)

    def _take(self, peer: str, talk: Talk, frame: tuple[object, ...]) -> None:
        match frame:
            case ("resume", str(stream), int(received), bytes(digest)):
                if talk.outbound is not None:
                    raise ProtocolError("resumed already")
                if not self._commit(lambda effects: self._resume(peer, talk, stream, received, digest, effects)):
                    self.world.hang_up(talk.session, self.name)
            case ("start", str(stream), int(after)):
                if talk.started:
                    raise ProtocolError("started already")
                cursor = delivery.start(talk.inbound, StreamId(stream), after)
                if not self._commit(lambda _: self.disk.inbound.__setitem__(peer, cursor)):
                    self.world.hang_up(talk.session, self.name)
                    return
                talk.inbound, talk.started = cursor, True
                self._announce(peer, talk)
            case ("durable", int(seq), wire.Offer() | wire.Cancel() | wire.Declined() | wire.Finished() as message):
                self._receive(peer, talk, seq, message)
            case ("ack", int(seq)):
                self._acknowledge(peer, talk, seq)
            case ("holding", wire.Holding() as holding):
                self._take_holding(peer, holding)
            case ("renewed", wire.Renewed() as answer):
                self._take_renewed(peer, talk, answer)
            case ("progress", wire.Progress() as progress):
                self.leases.progress(DeviceId(peer), progress)
            case _:
                raise AssertionError(frame)

    def _resume(
        self, peer: str, talk: Talk, stream: str, received: int, theirs: bytes, effects: list[Callable[[], None]]
    ) -> None:
        ours = self._outbound(peer)
        waiting = self.disk.outbox.setdefault(peer, {})
        message = waiting.get(received)
        decision = delivery.resume(
            ours, stream=stream, received=received, ours=None if message is None else _digest(message), theirs=theirs
        )
        match decision:
            case delivery.Continue(after):
                self._forget_sent(peer, after)
            case delivery.Reopen():
                renumbered = {old: new for new, old in enumerate(sorted(waiting), start=1)}
                self.disk.outbox[peer] = {renumbered[old]: waiting[old] for old in sorted(waiting)}
                self.disk.outbound[peer] = delivery.Outbound(self._fresh(), len(waiting), 0)
                self.world.monitor.numbered(self.name, peer, self.disk.outbound[peer].stream, len(waiting))
                for key, held in list(self.disk.held.items()):
                    if key[0] == peer and held.state == "finished":
                        held.finished_seq = renumbered.get(held.finished_seq or 0)
                        if held.finished_seq is None:
                            del self.disk.held[key]
                            self.finished.pop(key, None)
        outbound = self.disk.outbound[peer]
        effects.append(lambda: self._resumed(peer, talk, outbound))

    def _resumed(self, peer: str, talk: Talk, outbound: delivery.Outbound) -> None:
        talk.outbound, talk.sent = outbound, outbound.acked
        self._send(peer, ("start", outbound.stream, outbound.acked))
        self._announce(peer, talk)
        self._pump(peer, talk)

    def _announce(self, peer: str, talk: Talk) -> None:
        if talk.started and talk.outbound is not None:
            talk.asked.clear()
            self._tell(peer)
            self.wake()

    def _pump(self, peer: str, talk: Talk) -> None:
        if talk.outbound is None:
            return
        outbox = self.disk.outbox.get(peer, {})
        for seq in delivery.sendable(talk.outbound, talk.sent):
            message = outbox.get(seq)
            if message is None:
                return
            talk.sent = seq
            self.world.monitor.sent(self.name, peer, seq)
            self._send(peer, ("durable", seq, message))

    def _receive(self, peer: str, talk: Talk, seq: int, message: Durable) -> None:
        if talk.inbound is None or not talk.started:
            raise ProtocolError("a durable message came before the stream started")
        self.world.monitor.arrived(self.name, peer, seq)
        match delivery.receive(talk.inbound, seq, _frame(message)):
            case delivery.Again():
                self._send(peer, ("ack", talk.inbound.last))
            case delivery.Apply(then):
                talk.inbound = then

                def apply(effects: list[Callable[[], None]]) -> None:
                    self.disk.inbound[peer] = then
                    what = f"{type(message).__name__} of {message.job}/{message.attempt}"
                    self.world.monitor.applied(self.name, peer, then.stream, then.last, what, message.job)
                    self._apply(peer, message, effects)
                    effects.append(lambda: self._send(peer, ("ack", then.last)))

                if not self._commit(apply):
                    self.world.hang_up(talk.session, self.name)

    def _apply(self, peer: str, message: Durable, effects: list[Callable[[], None]]) -> None:
        job, number = JobId(message.job), AttemptNumber(message.attempt)
        key = (peer, job, number)
        match message:
            case wire.Offer():
                if key not in self.disk.held:
                    self.disk.held[key] = Held(message.kind, message.timeout_s, "waiting", self.boot_id)
                    holding = Holding(message.kind, message.timeout_s, lease.Waiting(), may_start=False)
                    effects.append(lambda: self._hold(key, holding))
            case wire.Cancel():
                self._remove_held(key)
                effects.append(lambda: self._let_go(key))
            case wire.Declined(reason=reason):
                self._happen(job, lifecycle.Declined(number, reason), effects, sender=peer)
            case wire.Finished():
                how = "Lost" if message.error_kind == "lost" else "Failed"
                how = {"succeeded": "Succeeded", "cancelled": "Cancelled"}.get(message.state, how)
                self._happen(job, _outcome(number, how), effects, sender=peer)

    def _let_go(self, key: Key) -> None:
        holding = self.holdings.get(key)
        if holding is not None:
            holding.lease = lease.Over()
        self._stop(key)

    def _acknowledge(self, peer: str, talk: Talk, seq: int) -> None:
        if talk.outbound is None:
            raise ProtocolError("an acknowledgement came before the streams were resumed")
        talk.outbound = delivery.acknowledge(talk.outbound, seq, sent=talk.sent)
        if not self._commit(lambda _: self._forget_sent(peer, seq)):
            self.world.hang_up(talk.session, self.name)
            return
        self._pump(peer, talk)

    def _forget_sent(self, peer: str, seq: int) -> None:
        outbound = self._outbound(peer)
        if seq > outbound.acked:
            self.world.monitor.forgotten(self.name, peer, outbound.stream, seq)
        self.disk.outbound[peer] = delivery.Outbound(outbound.stream, outbound.last, max(outbound.acked, seq))
        outbox = self.disk.outbox.get(peer, {})
        for sent in [sent for sent in outbox if sent <= seq]:
            del outbox[sent]
        for key, held in list(self.disk.held.items()):
            if key[0] == peer and held.finished_seq is not None and held.finished_seq <= seq:
                del self.disk.held[key]
                self.finished.pop(key, None)

    def _take_holding(self, peer: str, message: wire.Holding) -> None:
        answer, happened = self.leases.holding(DeviceId(peer), message)
        self._arm_check()

        def take(effects: list[Callable[[], None]]) -> None:
            for job, event in happened:
                self._happen(job, event, effects)
            effects.append(lambda: self._send(peer, ("renewed", answer)))

        self._commit(take)

    def _take_renewed(self, peer: str, talk: Talk, answer: wire.Renewed) -> None:
        asked_at = talk.asked.pop(answer.number, None)
        if asked_at is None:
            return
        self.world.monitor.renewed(self.name, peer, [(line.job, line.attempt) for line in answer.renewed])
        for line in answer.renewed:
            if self.talks.get(peer) is talk:
                self._lease((peer, JobId(line.job), AttemptNumber(line.attempt)), lease.Renewed(asked_at))
        for line in answer.superseded:
            self._lease((peer, JobId(line.job), AttemptNumber(line.attempt)), lease.Superseded())

    # The end

    def leftovers(self) -> list[str]:
        """Return what is still there of work that is over."""
        if not self.is_up:
            return [f"{self.name} is not up"]
        left = [f"{len(box)} messages of {self.name} wait for {peer}" for peer, box in self.disk.outbox.items() if box]
        left += [f"{self.name} holds {key} on disk" for key in self.disk.held]
        left += [f"{self.name} holds {key}" for key in self.holdings]
        left += [f"{self.name} has a lease on {key}" for key in self.leases._watched]  # pyright: ignore[reportPrivateUsage]
        return left

    def judge(self) -> None:
        """Let the monitor see what is on the disk."""
        for job in self.disk.jobs.values():
            self.world.monitor.at_rest(job.id, job.state, self.disk.results.get(job.id))


def _outcome(number: AttemptNumber, how: str) -> JobEvent:
    match how:
        case "Succeeded":
            return lifecycle.Succeeded(number)
        case "Lost":
            return lifecycle.Lost(number, "its worker was killed")
        case "Cancelled":
            return lifecycle.Stopped(number, "stopped")
        case _:
            return lifecycle.Failed(number, Failure("crashed", "the program raised"))


def _frame(message: Durable) -> bytes:
    return f"{type(message).__name__} {message.job} {message.attempt}".encode()


def _digest(message: Durable) -> bytes:
    return delivery.digest(_frame(message))
