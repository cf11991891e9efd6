"""The leases that this device, as an origin, has granted on open attempts, and whether their executors keep up."""

from collections.abc import Iterable
from dataclasses import dataclass

from meshd.clock import Clock
from meshd.jobs.lifecycle import Accepted, JobEvent, Lost, Started, TooSlow
from meshd.jobs.model import Attempt, Job
from meshd.jobs.views import Names
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.machines import lease
from meshd_protocol.messages import jobs as wire


@dataclass(slots=True)
class _Watch:
    """An open attempt on a peer: its lease, and when it was last seen to make progress."""

    attempt: Attempt
    offload_timeout_s: float
    """0: its kind shows no progress, so that its silence says nothing."""

    deterministic: bool
    lease: lease.OriginLease
    share: float
    moved_at: float
    rearmed: bool = False
    """Whether this device has slept since it last heard of the attempt: the session that it then finds dead says
    nothing about the peer."""

    told_at: float | None = None
    """When it was last said that the attempt is lost."""

    why: str = ""
    """Why it is, if its executor has said so itself."""

    is_done: bool = False
    """Whether it has ended well, and its executor waits with the result until that is fetched."""


Happening = tuple[JobId, JobEvent]

TELL_AGAIN_S = 2.0
"""How soon a loss is told again that is not on disk yet: the disk may have been full."""

LOOK_S = 5.0
"""How long leases are left unlooked at, at most, while there are any."""

ASLEEP_S = 10.0
"""Leases that were looked at so much later than they should have been were not looked at because this device slept."""


class Leases:
    """Watches the open attempts on peers; says what has happened to them, and changes no job itself."""

    def __init__(self, *, clock: Clock, names: Names) -> None:
        self._clock = clock
        self._names = names
        self._watched: dict[tuple[JobId, AttemptNumber], _Watch] = {}
        self._numbers: dict[JobId, set[AttemptNumber]] = {}
        """Which attempts of each job are watched."""

        self._looked_at = clock.boot()

    def track(self, job: Job, attempts: Iterable[Attempt], *, deterministic: bool) -> None:
        """Watch these attempts of `job`, and no others of it; a lease begins when its attempt is first seen."""
        open_now = {(job.id, attempt.number): attempt for attempt in attempts}
        known = self._numbers.get(job.id)
        if not open_now and known is None:
            return
        now = self._look()
        for number in known or ():
            if (job.id, number) not in open_now:
                del self._watched[job.id, number]
        self._numbers[job.id] = {number for _, number in open_now}
        if not open_now:
            del self._numbers[job.id]
        for key, attempt in open_now.items():
            watch = self._watched.get(key)
            if watch is None:
                self._watched[key] = _Watch(attempt, job.offload_timeout_s, deterministic, lease.grant(now), 0.0, now)
                continue
            if attempt.state == "running" and watch.attempt.state != "running":
                watch.moved_at = now
            watch.attempt = attempt

    def holding(self, peer: DeviceId, message: wire.Holding) -> tuple[wire.Renewed, list[Happening]]:
        """Renew what the peer holds rightly, supersede the rest, and notice what it no longer holds."""
        renewed: list[wire.AttemptKey] = []
        superseded: list[wire.AttemptKey] = []
        happened: list[Happening] = []
        held: set[tuple[JobId, AttemptNumber]] = set()
        now = self._look()
        for line in message.attempts:
            key = (JobId(line.job), AttemptNumber(line.attempt))
            watch = self._watched.get(key)
            if watch is None or watch.attempt.device != peer or not _is_rightly_held(watch, message.boot, line.state):
                superseded.append(wire.AttemptKey(job=line.job, attempt=line.attempt))
                continue
            held.add(key)
            renewed.append(wire.AttemptKey(job=line.job, attempt=line.attempt))
            watch.lease, watch.rearmed = lease.renew(watch.lease, now), False
            if line.state == "running" and watch.attempt.state in {"offered", "accepted"}:
                happened.append((key[0], Started(key[1], message.boot)))
            elif watch.attempt.state == "offered":
                happened.append((key[0], Accepted(key[1], message.boot)))
        name = self._names(peer)
        for key, watch in self._watched.items():
            if watch.attempt.device != peer or key in held or not watch.attempt.boot or watch.is_done:
                continue
            if isinstance(watch.lease, lease.Granted):
                restarted = watch.attempt.boot != message.boot
                reason = f"meshd on {name} was restarted" if restarted else f"{name} no longer holds it"
                happened.append((key[0], Lost(key[1], reason)))
                # Until the loss is on disk: what turns up again meanwhile must not be renewed.
                watch.lease, watch.told_at, watch.why = lease.Expired(), now, reason
        return wire.Renewed(number=message.number, renewed=renewed, superseded=superseded), happened

    def progress(self, peer: DeviceId, message: wire.Progress) -> AttemptNumber | None:
        """Note how far a peer is with an attempt; None when it is not the peer's to report."""
        watch = self._watched.get((JobId(message.job), AttemptNumber(message.attempt)))
        if watch is None or watch.attempt.device != peer:
            return None
        if message.share > watch.share:
            watch.share, watch.moved_at = message.share, self._clock.boot()
        return watch.attempt.number

    def moved(self, job: JobId, number: AttemptNumber) -> None:
        """Note that an attempt is not stuck: it waits for what others compute."""
        watch = self._watched.get((job, number))
        if watch is not None:
            watch.moved_at = self._clock.boot()

    def done(self, job: JobId, number: AttemptNumber) -> None:
        """Note that an attempt has ended well, and its result is on the way: it is held no more, and is not lost."""
        watch = self._watched.get((job, number))
        if watch is not None:
            watch.is_done = True

    def closed(self, peer: DeviceId) -> None:
        """Note that the session with a peer is over."""
        now = self._look()
        for watch in self._watched.values():
            if watch.attempt.device == peer and not watch.rearmed:
                watch.lease = lease.disconnect(watch.lease, now, deterministic=watch.deterministic)

    def forget(self, peer: DeviceId) -> list[Happening]:
        """Return what happens to the attempts of a device that is no longer paired."""
        happened: list[Happening] = []
        for (job, number), watch in self._watched.items():
            if watch.attempt.device == peer:
                happened.append((job, Lost(number, f"{self._names(peer)} is no longer paired with this device")))
                watch.lease, watch.told_at = lease.Expired(), self._clock.boot()
        return happened

    def check(self, is_open: set[DeviceId]) -> list[Happening]:
        """Return which attempts are lost or too slow by now; `is_open` names the peers with a session."""
        now = self._look()
        happened: list[Happening] = []
        for (job, number), watch in tuple(self._watched.items()):
            if watch.is_done and watch.attempt.device in is_open:
                watch.lease = lease.renew(watch.lease, now)
            watch.lease = lease.check(watch.lease, now)
            name = self._names(watch.attempt.device)
            if isinstance(watch.lease, lease.Expired):
                if watch.told_at is not None and now - watch.told_at < TELL_AGAIN_S:
                    continue
                watch.told_at = now
                reason = f"the connection to {name} is lost"
                if watch.attempt.device in is_open:
                    reason = f"{name} no longer says that it holds the job"
                happened.append((job, Lost(number, watch.why or reason)))
            elif _can_be_slow(watch) and now - watch.moved_at >= watch.offload_timeout_s:
                reason = f"{name} has shown no progress for {watch.offload_timeout_s:.0f} s"
                happened.append((job, TooSlow(number, reason)))
                watch.moved_at = now
        return happened

    def next_check_at(self) -> float | None:
        """Return when `check` will next have something to say if nothing else happens; boot-time seconds."""
        due: list[float] = [self._looked_at + LOOK_S] if self._watched else []
        for watch in self._watched.values():
            if watch.told_at is not None:
                due.append(watch.told_at + TELL_AGAIN_S)
                continue
            if isinstance(watch.lease, lease.Granted):
                due.append(watch.lease.until)
            if _can_be_slow(watch):
                due.append(watch.moved_at + watch.offload_timeout_s)
        return min(due, default=None)

    def _look(self) -> float:
        """Return the time; let all leases begin anew if this device has slept since it last looked.

        Its peers may have gone on, and could not renew what they hold.
        """
        now = self._clock.boot()
        if self._watched and now - self._looked_at > LOOK_S + ASLEEP_S:
            for watch in self._watched.values():
                watch.moved_at = now
                if isinstance(watch.lease, lease.Granted):
                    watch.lease, watch.rearmed = lease.grant(now), True
        self._looked_at = now
        return now


def _can_be_slow(watch: _Watch) -> bool:
    return watch.attempt.state == "running" and watch.offload_timeout_s > 0 and not watch.is_done


def _is_rightly_held(watch: _Watch, boot: str, state: wire.HeldState) -> bool:
    """Return whether an executor may go on with an attempt that it says it holds."""
    if isinstance(watch.lease, lease.Expired):
        return False
    # Attempts do not survive their daemon, only their ends do: a device that had accepted it in an earlier run, and
    # now holds it anew, has lost its database and got the offer a second time.
    return not watch.attempt.boot or watch.attempt.boot == boot or state == "finished"
