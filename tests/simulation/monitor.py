"""What must hold at every step, watched from outside: both levels report what happens, the monitor judges it.

It keeps its own small model of jobs, attempts, workers and streams, made only of what is on disk, on a line or
in a worker. Checks at the end of a history alone would miss most bugs: retries repair their traces.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

OPEN: Final = frozenset({"offered", "accepted", "running"})
ENDS: Final = frozenset({"completed", "failed", "cancelled"})
LEASE_REASONS: Final = ("the connection to", "no longer says that it holds")
"""What the reason says when an origin gives an attempt away because its lease has run out."""

KILL_BOUND_S: Final = 12.0
"""A worker whose attempt is over is stopped this long after its device can talk to the origin: one heartbeat,
two ways of a slow line, and a slow commit on either side."""

SOMETIMES: Final = (
    "a stale result was dropped",
    "a message came again",
    "a crash between commit and effect",
    "a disk refused a write",
    "a job fell back to another device",
    "a superseded worker was stopped",
    "a late success was taken",
    "a stream was opened anew",
    "a lease ran out",
    "a running job was cancelled",
    "an attempt was too slow",
    "a worker was lost",
    "a daemon died with running workers",
    "a failed attempt was retried",
    "a finished result waited for its origin",
)
"""Each must come in at least one history of a hundred, or the simulation does not test what it claims to."""

AttemptName = tuple[str, str, int]
"""Origin, job, number."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What did not hold."""

    invariant: str
    text: str
    job: str | None = None

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


@dataclass(slots=True)
class _Attempt:
    device: str
    state: str
    why: str = ""
    closed_at: float = 0.0
    began: bool = False


@dataclass(slots=True)
class _Job:
    origin: str
    deterministic: bool
    retry_safe: bool
    acknowledged: bool = False
    end: str | None = None
    completed_by: int | None = None
    attempts: dict[int, _Attempt] = field(default_factory=dict[int, _Attempt])


@dataclass(slots=True)
class _Worker:
    began_at: float
    told: bool = False


class Monitor:
    """Watches one history."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._trace: list[tuple[float, str, str | None, str]] = []
        self._jobs: dict[str, _Job] = {}
        self._workers: dict[tuple[str, AttemptName], _Worker] = {}
        self._leased_in: dict[tuple[str, AttemptName], int] = {}
        self._session: dict[tuple[str, str], int] = {}
        self._in_touch_since: dict[tuple[str, str], float] = {}
        self._quiet_since: dict[str, float] = {}
        self._asleep_until: dict[str, float] = {}
        self._outbound: dict[tuple[str, str], tuple[str, int]] = {}
        self._applied: dict[tuple[str, str], tuple[str, int]] = {}
        self._void: dict[tuple[str, str], tuple[str, int]] = {}
        self._effects: dict[str, set[tuple[str, str]]] = {}
        self.sometimes: set[str] = set()
        self.violation: Violation | None = None

    # The trace

    def note(self, node: str, text: str, job: str | None = None) -> None:
        """Add a line to the story of this history."""
        self._trace.append((self._now(), node, job, text))

    def sometime(self, what: str) -> None:
        """Note that something worth testing has happened."""
        self.sometimes.add(what)

    def digest(self) -> str:
        """Return what two runs of the same history have in common."""
        text = "\n".join(f"{at:.9f} {node} {job} {what}" for at, node, job, what in self._trace)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def story(self, count: int = 50) -> Iterable[str]:
        """Return the last lines about the job that the violation is about, and of what happened to the world."""
        wanted = None if self.violation is None else self.violation.job
        lines = [line for line in self._trace if wanted is None or line[2] in {None, wanted}]
        return [f"{at:10.4f}  {node:>8}  {job or '-':12}  {what}" for at, node, job, what in lines[-count:]]

    def broken(self, invariant: str, text: str, job: str | None = None) -> None:
        """Record the first thing that did not hold."""
        if self.violation is None:
            self.violation = Violation(invariant, text, job)
            self.note("monitor", f"VIOLATION {invariant}: {text}", job)

    # Jobs, as their origin's disk tells them

    def acknowledged(self, origin: str, job: str) -> None:
        """A user was told that the job is safe."""
        known = self._jobs.get(job)
        if known is None:
            self.broken("I1", f"{origin} acknowledged a job that is not on its disk", job)
            return
        known.acknowledged = True

    def queued(self, origin: str, job: str, *, deterministic: bool, retry_safe: bool) -> None:
        """A job is on disk."""
        self.note(origin, "queued", job)
        if job in self._jobs:
            self.broken("I2", "the job was submitted twice", job)
        self._jobs[job] = _Job(origin, deterministic, retry_safe)

    def offered(self, job: str, number: int, device: str) -> None:
        """An attempt is on disk."""
        known = self._jobs[job]
        self.note(known.origin, f"attempt {number}: offered to {device}", job)
        if number in known.attempts:
            self.broken("fence", f"number {number} was given to two attempts", job)
        if any(attempt.state in OPEN for attempt in known.attempts.values()):
            self.broken("fence", "a second attempt was made while one was open", job)
        if known.end is not None:
            self.broken("I2", f"an attempt was made after the job was {known.end}", job)
        others = {attempt.device for attempt in known.attempts.values()}
        if others and device not in others:
            self.sometime("a job fell back to another device")
        if any(attempt.state == "failed" for attempt in known.attempts.values()):
            self.sometime("a failed attempt was retried")
        known.attempts[number] = _Attempt(device, "offered")

    def attempt_changed(self, job: str, number: int, state: str, why: str) -> None:
        """An attempt's state, or what came too late to change it, is on disk."""
        known = self._jobs[job]
        attempt = known.attempts.get(number)
        self.note(known.origin, f"attempt {number}: {state} ({why})", job)
        if attempt is None:
            self.broken("fence", f"attempt {number} never existed", job)
            return
        if attempt.state not in OPEN and state == attempt.state:
            self.sometime("a stale result was dropped")
            return
        if state == "succeeded":
            self._succeeded(job, known, number, attempt)
        elif attempt.state not in OPEN:
            self.broken("I4", f"attempt {number} was {attempt.state} and became {state}", job)
        if attempt.state in OPEN and state not in OPEN:
            attempt.closed_at = self._now()
        if state == "lost" and any(reason in why for reason in LEASE_REASONS):
            self._lease_given_away(job, known, number, attempt)
        if state == "superseded" and "no progress" in why:
            self.sometime("an attempt was too slow")
        attempt.state, attempt.why = state, why

    def _succeeded(self, job: str, known: _Job, number: int, attempt: _Attempt) -> None:
        if known.completed_by is not None:
            self.broken("I3", f"attempts {known.completed_by} and {number} both gave the job its result", job)
        if known.end is not None:
            self.broken("I2", f"attempt {number} succeeded after the job was {known.end}", job)
        if attempt.state not in OPEN:
            if not known.deterministic or attempt.state not in {"lost", "superseded"}:
                self.broken("I4", f"attempt {number} was {attempt.state} and gave the job its result", job)
            self.sometime("a late success was taken")
        known.completed_by = number

    def _lease_given_away(self, job: str, known: _Job, number: int, attempt: _Attempt) -> None:
        self.sometime("a lease ran out")
        if known.deterministic or not known.retry_safe or attempt.state not in OPEN:
            return
        worker = self._workers.get((attempt.device, (known.origin, job, number)))
        if worker is not None and not worker.told and not self._sleeps(attempt.device):
            self.broken("lease", f"{attempt.device} still ran attempt {number} when it was given away", job)

    def job_changed(self, job: str, state: str) -> None:
        """A job's state is on disk."""
        known = self._jobs[job]
        self.note(known.origin, f"job: {state}", job)
        if known.end is not None:
            self.broken("I2", f"the job was {known.end} and became {state}", job)
        if state == "retrying" and any(attempt.state in OPEN for attempt in known.attempts.values()):
            self.broken("fence", "the job retries while an attempt is open", job)
        if state == "completed" and known.completed_by is None:
            self.broken("I3", "the job completed without a success", job)
        if state == "cancelled" and any(worker_of[1] == job for _, worker_of in self._workers):
            self.sometime("a running job was cancelled")
        if state in ENDS:
            known.end = state

    def at_rest(self, job: str, state: str, result_of: int | None) -> None:
        """This is what the disk holds of a job when all is over."""
        known = self._jobs[job]
        if state not in ENDS or state != known.end:
            self.broken("liveness", f"the job is {state}, its story ends with {known.end}", job)
        if result_of != known.completed_by:
            self.broken("I3", f"the result is attempt {result_of}'s, attempt {known.completed_by} succeeded", job)

    def all_at_rest(self, present: set[str]) -> None:
        """These jobs are on the disks when all is over."""
        for job, known in self._jobs.items():
            if known.acknowledged and job not in present:
                self.broken("I1", "an acknowledged job is gone", job)

    def open_jobs(self) -> list[str]:
        """Return the jobs that have not ended."""
        return [job for job, known in self._jobs.items() if known.end is None]

    def attempt_state(self, job: str, number: int) -> str | None:
        """Return an attempt's state on its origin's disk."""
        known = self._jobs.get(job)
        attempt = None if known is None else known.attempts.get(number)
        return None if attempt is None else attempt.state

    # Workers

    def renewed(self, executor: str, origin: str, lines: Iterable[tuple[str, int]]) -> None:
        """An executor has heard that these leases run on."""
        session = self._session.get((executor, origin), 0)
        for job, number in lines:
            self._leased_in[executor, (origin, job, number)] = session

    def starting(self, executor: str, name: AttemptName) -> None:
        """An executor decides to start an attempt of another origin."""
        session = self._session.get((executor, name[0]))
        if session is None or self._leased_in.get((executor, name)) != session:
            self.broken("lease", f"{executor} starts attempt {name[2]} without a lease of this session", name[1])

    def began(self, executor: str, name: AttemptName) -> None:
        """A worker runs an attempt."""
        origin, job, number = name
        self.note(executor, f"attempt {number}: its worker begins", job)
        known = self._jobs.get(job)
        if known is None or known.origin != origin:
            return  # of a device whose database was wiped since
        attempt = known.attempts.get(number)
        if attempt is None or attempt.device != executor:
            self.broken("fence", f"{executor} runs attempt {number}, which was not made for it", job)
            return
        if attempt.began:
            self.broken("I8", f"attempt {number} runs a second time", job)
        if executor == origin and attempt.state not in OPEN:
            self.broken("fence", f"{executor} runs its own attempt {number}, which is {attempt.state}", job)
        attempt.began = True
        self._workers[executor, name] = _Worker(self._now())
        if known.deterministic:
            return
        for other, seen in known.attempts.items():
            if other == number or not seen.began:
                continue
            worker = self._workers.get((seen.device, (origin, job, other)))
            # A retry-safe attempt that shows no progress is given up on while it may still run: see DESIGN 7.
            excused = (known.retry_safe and "no progress" in seen.why) or self._sleeps(seen.device)
            if worker is not None and not worker.told and not excused:
                self.broken("I8", f"attempt {number} began while {seen.device} ran attempt {other}", job)
            if not known.retry_safe and seen.state != "failed":
                self.broken("I8", f"attempt {number} began after attempt {other}, which may have had effects", job)

    def told_to_stop(self, executor: str, name: AttemptName) -> None:
        """A worker is being stopped."""
        worker = self._workers.get((executor, name))
        if worker is not None and not worker.told:
            worker.told = True
            self.note(executor, f"attempt {name[2]}: its worker is stopped", name[1])
            if self.attempt_state(name[1], name[2]) in {"superseded", "lost"}:
                self.sometime("a superseded worker was stopped")

    def gone(self, executor: str, name: AttemptName, how: str) -> None:
        """A worker has ended."""
        if self._workers.pop((executor, name), None) is not None:
            self.note(executor, f"attempt {name[2]}: its worker ends ({how})", name[1])
            if how == "Lost":
                self.sometime("a worker was lost")
            if how == "Succeeded" and name[0] != executor and (executor, name[0]) not in self._session:
                self.sometime("a finished result waited for its origin")

    def check_orphans(self) -> None:
        """Judge the workers whose attempts are over."""
        now = self._now()
        for (executor, (origin, job, number)), worker in self._workers.items():
            known = self._jobs.get(job)
            attempt = None if known is None else known.attempts.get(number)
            if worker.told or attempt is None or attempt.state in OPEN:
                continue
            since = max(attempt.closed_at, worker.began_at, self._quiet_since.get(executor, 0.0))
            if executor != origin:
                touch = self._in_touch_since.get((executor, origin))
                if touch is None:
                    continue
                since = max(since, touch, self._quiet_since.get(origin, 0.0))
            if now - since > KILL_BOUND_S:
                self.broken(
                    "I5", f"{executor} still runs attempt {number}, {attempt.state} for {now - since:.0f} s", job
                )

    # Devices and lines

    def session_opened(self, node: str, peer: str, session: int) -> None:
        """One side of a session is open."""
        self._session[node, peer] = session

    def session_closed(self, node: str, peer: str) -> None:
        """One side of a session is over."""
        self._session.pop((node, peer), None)

    def in_touch(self, one: str, other: str, *, can_talk: bool) -> None:
        """Two devices have begun, or ceased, to be able to talk."""
        for pair in ((one, other), (other, one)):
            if can_talk:
                self._in_touch_since.setdefault(pair, self._now())
            else:
                self._in_touch_since.pop(pair, None)

    def disturbed(self, node: str, until: float) -> None:
        """A device is slow or stuck until then: nothing that it owes falls due before."""
        self._quiet_since[node] = max(until, self._quiet_since.get(node, 0.0))

    def sleeping(self, node: str, until: float) -> None:
        """A machine sleeps until then, and its workers with it."""
        self._asleep_until[node] = until

    def _sleeps(self, node: str) -> bool:
        # A moment longer: what was due in its sleep comes one by one when it wakes.
        return self._asleep_until.get(node, -1.0) + 0.001 > self._now()

    def crashed(self, node: str) -> None:
        """A device's daemon has died, and its workers with it."""
        self.note(node, "its daemon dies")
        for key in [key for key in self._workers if key[0] == node]:
            self.sometime("a daemon died with running workers")
            del self._workers[key]
        for pair in [pair for pair in self._session if pair[0] == node]:
            del self._session[pair]
        for pair in [pair for pair in self._in_touch_since if node in pair]:
            del self._in_touch_since[pair]

    def wiped(self, node: str) -> None:
        """A device has lost its database: what was promised there is void."""
        self.note(node, "its database is lost")
        for job in [job for job, known in self._jobs.items() if known.origin == node]:
            del self._jobs[job]
        for pair in [pair for pair in self._applied if pair[0] == node]:
            self._void[pair] = self._applied.pop(pair)
        for pair in [pair for pair in self._outbound if pair[0] == node]:
            del self._outbound[pair]
        self._effects.pop(node, None)

    # Messages

    def numbered(self, sender: str, receiver: str, stream: str, last: int) -> None:
        """A sender's disk holds messages up to this number."""
        known = self._outbound.get((sender, receiver))
        if known is not None and known[0] != stream and last > 0:
            self.sometime("a stream was opened anew")
        self._outbound[sender, receiver] = (stream, last)

    def sent(self, sender: str, receiver: str, seq: int) -> None:
        """A durable message is on the line."""
        known = self._outbound.get((sender, receiver))
        if known is None or seq > known[1]:
            self.broken("I7", f"{sender} sent message {seq} to {receiver} before it was on its disk")

    def arrived(self, receiver: str, sender: str, seq: int) -> None:
        """A durable message has reached a device."""
        known = self._applied.get((receiver, sender))
        if known is not None and seq <= known[1]:
            self.sometime("a message came again")

    def applied(self, receiver: str, sender: str, stream: str, seq: int, what: str, job: str) -> None:
        """What a message has done is on the receiver's disk."""
        self.note(receiver, f"applies {what} of {sender} ({seq})", job)
        known = self._applied.get((receiver, sender))
        due = 1 if known is None or known[0] != stream else known[1] + 1
        if seq != due:
            self.broken("delivery", f"{receiver} applied message {seq} of {sender} where {due} was due", job)
        self._applied[receiver, sender] = (stream, seq)
        effects = self._effects.setdefault(receiver, set())
        if (sender, what) in effects:
            self.broken("delivery", f"{receiver} applied {what} of {sender} twice", job)
        effects.add((sender, what))

    def forgotten(self, sender: str, receiver: str, stream: str, seq: int) -> None:
        """A sender's disk takes messages up to this number as applied over there."""
        known = (self._applied.get((receiver, sender)), self._void.get((receiver, sender)))
        if seq > 0 and not any(each is not None and each[0] == stream and each[1] >= seq for each in known):
            self.broken("delivery", f"{sender} takes message {seq} as applied by {receiver}, which it is not")
