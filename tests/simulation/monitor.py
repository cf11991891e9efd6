"""What must hold at every step, watched from outside: both levels report what happens, the monitor judges it.

It keeps its own small model of jobs, attempts, workers and streams, made only of what is on disk, on a line or in a
worker. Checks at the end of a history alone would miss most bugs: retries repair their traces.
"""

import math
from collections.abc import Callable, Iterable
from typing import Final

from meshd_protocol.limits import LEASE_S, SESSION_GRACE_S
from tests.simulation.checkpoint_monitor import CheckpointMonitor
from tests.simulation.part_monitor import PartMonitor
from tests.simulation.seen import OPEN, AttemptName, SeenAttempt, SeenJob, SeenWorker
from tests.simulation.story import Story
from tests.simulation.stream_monitor import StreamMonitor
from tests.simulation.trust_monitor import CUT_BOUND_S, TrustMonitor

ENDS: Final = frozenset({"completed", "failed", "cancelled"})
LEASE_REASONS: Final = ("the connection to", "no longer says that it holds")
"""What the reason says when an origin gives an attempt away because its lease has run out."""

KILL_BOUND_S: Final = 12.0
"""A worker whose attempt is over is stopped so long after its device can talk to the origin: a heartbeat, two ways of a
slow line, and a slow commit on either side."""

SLEEP_S, WAKE_S = 16.0, 1.1
"""A shorter sleep cannot be told from a busy machine; what was due in one is done so long after it, at the latest."""

SHORTEST_PATIENCE_S: Final = 10.0
"""The least offload timeout that a user may set."""

DRIFT: Final = 0.97
"""The part of a stretch of time that has passed for sure when a clock says that all of it has."""


class Monitor(Story):
    """Watches one history."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.checkpoints = CheckpointMonitor(self)
        self.parts = PartMonitor(self)
        self.trust = TrustMonitor(self)
        self.streams = StreamMonitor(self, self.trust)
        self._jobs: dict[str, SeenJob] = {}
        self._workers: dict[tuple[str, AttemptName], SeenWorker] = {}
        self._leased_in: dict[tuple[str, AttemptName], int] = {}
        self._session: dict[tuple[str, str], int] = {}
        self._in_touch_since: dict[tuple[str, str], float] = {}
        self._quiet_since: dict[str, float] = {}
        self._asleep_until: dict[str, float] = {}
        self._fell_behind: dict[str, bool] = {}
        """Whether a machine fell asleep with losses that its disk had not taken yet."""

        self._leases_anew: dict[str, tuple[float, bool]] = {}
        """Since when a device's leases count, as an origin: its last start, or its wake from a sleep."""

        self._opened_at: dict[tuple[str, str], float] = {}
        self._heard_at: dict[tuple[str, str], float] = {}
        """When a device last opened a session with another one, and when one last heard what the other holds."""

        self._session_lost_at: dict[tuple[str, str], float] = {}
        self._given_away_at: dict[tuple[str, str], float] = {}
        """When a device first lost its session with another one since its leases began anew."""

    # Jobs, as their origin's disk tells them

    def acknowledged(self, origin: str, job: str) -> None:
        """A user was told that the job is safe."""
        known = self._jobs.get(job)
        if known is None:
            self.broken("I1", f"{origin} acknowledged a job that is not on its disk", job)
            return
        known.acknowledged = True

    def queued(self, origin: str, job: str, kind: str, *, deterministic: bool, retry_safe: bool) -> None:
        """A job is on disk."""
        self.note(origin, f"queued, {kind}", job)
        if job in self._jobs:
            self.broken("I2", "the job was submitted twice", job)
        self._jobs[job] = SeenJob(origin, kind, deterministic, retry_safe)

    def offered(self, job: str, number: int, device: str, *, is_part: bool = False) -> None:
        """An attempt is on disk; `is_part` says whether it is to compute only some units of the job."""
        known = self._jobs[job]
        self.note(known.origin, f"attempt {number}: offered to {device}", job)
        if number in known.attempts:
            self.broken("fence", f"number {number} was given to two attempts", job)
        open_now = [attempt for attempt in known.attempts.values() if attempt.state in OPEN]
        if is_part:
            self.parts.offered(job, number, device, beside=((other.device, other.is_part) for other in open_now))
        elif open_now:
            self.broken("fence", "a second attempt was made while one was open", job)
        if known.end is not None:
            self.broken("I2", f"an attempt was made after the job was {known.end}", job)
        others = {attempt.device for attempt in known.attempts.values() if not attempt.is_part}
        if others and device not in others and not is_part:
            self.sometime("a job fell back to another device")
        if any(attempt.state == "failed" for attempt in known.attempts.values()):
            self.sometime("a failed attempt was retried")
        is_early = known.early == number and (known.origin, (known.origin, job, number)) in self._workers
        if is_early and device != known.origin:
            self.broken("fence", f"attempt {number} was made for {device} while {known.origin} ran it", job)
        began = known.early == number
        known.attempts[number] = SeenAttempt(device, "offered", self.now(), began=began, is_part=is_part)
        known.early = None
        # What has begun early goes on from what was covered then.
        if not is_part and not began:
            self.checkpoints.offered(job, number, device)

    def attempt_changed(self, job: str, number: int, state: str, why: str, *, is_paired: bool = True) -> None:
        """An attempt's state, or what came too late to change it, is on disk.

        `is_paired` says whether its device was paired with the origin at that moment, or is the origin.
        """
        known = self._jobs[job]
        attempt = known.attempts.get(number)
        self.note(known.origin, f"attempt {number}: {state} ({why})", job)
        if attempt is None:
            self.broken("fence", f"attempt {number} never existed", job)
            return
        if attempt.state not in OPEN and state == attempt.state:
            self.sometime("a stale result was dropped")
            return
        # That all units of a part are here, its origin finds by itself, whoever has computed them.
        is_reported = not (attempt.is_part and state == "succeeded")
        self.trust.attempt_changed(known.origin, attempt.device, job, state, is_paired=is_paired or not is_reported)
        if attempt.is_part:
            self.parts.changed(job, number, attempt.state, state)
        elif state == "succeeded":
            self._succeeded(job, known, number, attempt)
        elif attempt.state not in OPEN:
            self.broken("I4", f"attempt {number} was {attempt.state} and became {state}", job)
        if attempt.state in OPEN and state not in OPEN:
            attempt.closed_at = self.now()
        if state == "lost" and any(reason in why for reason in LEASE_REASONS):
            self._lease_given_away(job, known, number, attempt)
        if state == "superseded" and "no progress" in why:
            self._too_slow(job, known, number)
        if "checkpoint could not be used" in why:
            self.checkpoints.refused(job)
        if "no longer allowed" in why:
            self.sometime("an attempt ended with its permission")
        attempt.state, attempt.why = state, why

    def _succeeded(self, job: str, known: SeenJob, number: int, attempt: SeenAttempt) -> None:
        if known.completed_by is not None:
            self.broken("I3", f"attempts {known.completed_by} and {number} both gave the job its result", job)
        if known.end is not None:
            self.broken("I2", f"attempt {number} succeeded after the job was {known.end}", job)
        if attempt.state not in OPEN:
            if not known.deterministic or attempt.state not in {"lost", "superseded"}:
                self.broken("I4", f"attempt {number} was {attempt.state} and gave the job its result", job)
            self.sometime("a late success was taken")
        known.completed_by = number

    def _too_slow(self, job: str, known: SeenJob, number: int) -> None:
        self.sometime("an attempt was too slow")
        anew, has_slept = self._leases_anew.get(known.origin, (0.0, False))
        if has_slept and self.now() < anew + SHORTEST_PATIENCE_S * DRIFT:
            self.broken("re-arm", f"attempt {number} is to have been too slow while its origin slept", job)

    def _lease_given_away(self, job: str, known: SeenJob, number: int, attempt: SeenAttempt) -> None:
        self.sometime("a lease ran out")
        self._check_rearmed(job, known, number, attempt)
        if known.deterministic or not known.retry_safe or attempt.state not in OPEN:
            return
        worker = self._workers.get((attempt.device, (known.origin, job, number)))
        if worker is not None and not worker.told and not self._sleeps(attempt.device):
            self.broken("lease", f"{attempt.device} still ran attempt {number} when it was given away", job)

    def _check_rearmed(self, job: str, known: SeenJob, number: int, attempt: SeenAttempt) -> None:
        """See DESIGN 6: after the origin restarts or resumes from sleep, all leases begin anew."""
        anew, _ = self._leases_anew.get(known.origin, (0.0, False))
        if attempt.offered_at >= anew:
            return
        given_away_at = self._given_away_at.get((known.origin, attempt.device), -math.inf)
        if given_away_at == anew and self.now() < anew + WAKE_S:
            return
        due = anew + LEASE_S * DRIFT
        lost_at = self._session_lost_at.get((known.origin, attempt.device))
        if known.deterministic and lost_at is not None:
            due = min(due, lost_at + SESSION_GRACE_S * DRIFT)
        if self.now() < due:
            passed = self.now() - anew
            self.broken("re-arm", f"attempt {number} was given away {passed:.1f} s after its origin was back", job)

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
            self.checkpoints.ended(job)

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

    def leased_with_its_offer(self, executor: str, name: AttemptName) -> None:
        """An offer has come that brings a lease: it was made in the session that its origin has."""
        origin, job, number = name
        attempt = self._jobs[job].attempts.get(number) if job in self._jobs else None
        if attempt and attempt.offered_at < self._opened_at.get((origin, executor), 0.0):
            self.broken("lease", f"an old offer of attempt {number} brings a lease", job)
        self.renewed(executor, origin, [(job, number)])

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
        if attempt is None and known.may_begin_early(executor, number):
            attempt = SeenAttempt(executor, "offered", self.now(), began=known.early == number)
            known.early = number
            self.checkpoints.offered(job, number, executor)
            self.sometime("an attempt began before it was on disk")
        if attempt is None or attempt.device != executor:
            self.broken("fence", f"{executor} runs attempt {number}, which was not made for it", job)
            return
        if attempt.began and not self._may_begin_anew(executor, name, known):
            self.broken("I8", f"attempt {number} runs a second time", job)
        if executor == origin and attempt.state not in OPEN:
            self.broken("fence", f"{executor} runs its own attempt {number}, which is {attempt.state}", job)
        attempt.began = True
        self._workers[executor, name] = SeenWorker(known.kind, self.now())
        if executor != origin:
            self._check_granted(executor, name, known.kind)
        if known.deterministic:
            return
        for other, seen in known.attempts.items():
            if other == number or not seen.began:
                continue
            worker = self._workers.get((seen.device, (origin, job, other)))
            # A retry-safe attempt that shows no progress is given up on while it may still run: see DESIGN 7.
            # And a device that was unpaired is given up at once, while it may not know yet.
            excused = self._sleeps(seen.device) or (
                known.retry_safe and any(reason in seen.why for reason in ("no progress", "no longer paired"))
            )
            if worker is not None and not worker.told and not excused:
                self.broken("I8", f"attempt {number} began while {seen.device} ran attempt {other}", job)
            if not known.retry_safe and seen.state != "failed":
                self.broken("I8", f"attempt {number} began after attempt {other}, which may have had effects", job)

    def _may_begin_anew(self, executor: str, name: AttemptName, known: "SeenJob") -> bool:
        """Return whether an attempt may run twice: one that does no harm, and is not running; see decision 0013."""
        worker = self._workers.get((executor, name))
        return (known.deterministic or known.retry_safe) and (worker is None or worker.told)

    def _check_granted(self, executor: str, name: AttemptName, kind: str) -> None:
        since = self.trust.refused_since(executor, name[0], kind)
        # What is taken back in the very moment may begin, and is stopped: nobody has been told yet.
        if since is not None and since < self.now():
            self.broken("trust", f"{executor} runs attempt {name[2]}, which it does not grant", name[1])

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
        """Judge the workers that should have been stopped by now."""
        for (executor, (origin, job, number)), worker in self._workers.items():
            if worker.told:
                continue
            quiet_since = max(worker.began_at, self._quiet_since.get(executor, 0.0))
            refused_since = None if executor == origin else self.trust.refused_since(executor, origin, worker.kind)
            if refused_since is not None and self.now() - max(refused_since, quiet_since) > CUT_BOUND_S:
                self.broken("trust", f"{executor} still runs attempt {number}, which it does not grant", job)
            known = self._jobs.get(job)
            attempt = None if known is None else known.attempts.get(number)
            if known is not None and known.early == number and self.now() - quiet_since > KILL_BOUND_S:
                self.broken("fence", f"{executor} runs attempt {number}, and it does not come to its disk", job)
            if attempt is not None and attempt.state not in OPEN:
                self._check_orphan(executor, (origin, job, number), attempt, quiet_since)

    def _check_orphan(self, executor: str, name: AttemptName, attempt: SeenAttempt, quiet_since: float) -> None:
        origin, job, number = name
        since = max(attempt.closed_at, quiet_since)
        if executor != origin:
            touch = self._in_touch_since.get((executor, origin))
            if touch is None:
                return
            since = max(since, touch, self._quiet_since.get(origin, 0.0))
        lasted = self.now() - since
        if lasted > KILL_BOUND_S:
            self.broken("I5", f"{executor} still runs attempt {number}, {attempt.state} for {lasted:.0f} s", job)

    # Devices and lines

    def session_opened(self, node: str, peer: str, session: int) -> None:
        """One side of a session is open."""
        self.trust.session_opened(node, peer)
        self._session[node, peer], self._opened_at[node, peer] = session, self.now()

    def session_closed(self, node: str, peer: str) -> None:
        """One side of a session is over."""
        if self._session.pop((node, peer), None) is None:
            return
        anew, has_slept = self._leases_anew.get(node, (0.0, False))
        # The session that a machine finds dead when it wakes says nothing about the peer.
        if not has_slept or self._heard_at.get((node, peer), -1.0) >= anew:
            self._session_lost_at.setdefault((node, peer), self.now())

    def in_touch(self, one: str, other: str, *, can_talk: bool) -> None:
        """Two devices have begun, or ceased, to be able to talk."""
        for pair in ((one, other), (other, one)):
            if can_talk:
                self._in_touch_since.setdefault(pair, self.now())
            else:
                self._in_touch_since.pop(pair, None)

    def disturbed(self, node: str, until: float) -> None:
        """A device is slow or stuck until then: nothing that it owes falls due before."""
        self._quiet_since[node] = max(until, self._quiet_since.get(node, 0.0))

    def sleeping(self, node: str, until: float) -> None:
        """A machine sleeps until then, and its workers with it."""
        if until > self.now():
            self._fell_behind[node] = self._quiet_since.get(node, 0.0) > self.now()
        self._asleep_until[node] = until

    def back(self, node: str, *, slept_s: float = 0.0) -> None:
        """A device is there again, after a start of its daemon or a sleep of its machine."""
        if 0.0 < slept_s < SLEEP_S or (slept_s and self._fell_behind[node]):
            return
        self._leases_anew[node] = (self.now(), slept_s > 0.0)
        for pair in [pair for pair in self._session_lost_at if pair[0] == node]:
            lost_at = self._session_lost_at.pop(pair)
            if slept_s and lost_at + SESSION_GRACE_S <= self.now() - slept_s:
                # It had given the attempts away when it fell asleep, and the disk keeps that only now.
                self._given_away_at[pair] = self.now()
        if slept_s and any(
            attempt.state in OPEN and attempt.device != node
            for known in self._jobs.values()
            if known.origin == node
            for attempt in known.attempts.values()
        ):
            self.sometime("an origin woke while peers worked for it")

    def heard(self, origin: str, executor: str) -> None:
        """An origin has taken what an executor says that it holds."""
        self._heard_at[origin, executor] = self.now()

    def _sleeps(self, node: str) -> bool:
        return self._asleep_until.get(node, -math.inf) + WAKE_S > self.now()

    def crashed(self, node: str) -> None:
        """A device's daemon has died, and its workers with it."""
        self.note(node, "its daemon dies")
        for key in [key for key in self._workers if key[0] == node]:
            self.sometime("a daemon died with running workers")
            del self._workers[key]
        for known in self._jobs.values():
            if known.origin == node:
                known.early = None
        for pair in [pair for pair in self._session if pair[0] == node]:
            del self._session[pair]
        for pair in [pair for pair in self._in_touch_since if node in pair]:
            del self._in_touch_since[pair]

    def wiped(self, node: str) -> None:
        """A device has lost its database: what was promised there is void."""
        self.note(node, "its database is lost")
        for job in [job for job, known in self._jobs.items() if known.origin == node]:
            del self._jobs[job]
        self.checkpoints.wiped(node)
        self.streams.wiped(node)
        self.trust.wiped(node)

    def paired(self, node: str, peer: str, kinds: Iterable[str]) -> None:
        """A device's disk says that it is paired with another one, which may have these kinds of jobs done there."""
        granted = frozenset(kinds)
        if any(
            executor == node and name[0] == peer and worker.kind not in granted
            for (executor, name), worker in self._workers.items()
        ):
            self.sometime("a permission was taken back while a job used it")
        self.trust.paired(node, peer, granted)

    def unpaired(self, node: str, peer: str) -> None:
        """A device's disk says that it is not paired with another one any more; its streams went with the pairing."""
        if any(
            {executor, name[0]} == {node, peer} and not worker.told
            for (executor, name), worker in self._workers.items()
        ):
            self.sometime("devices unpaired while one worked for the other")
        self.streams.unpaired(node, peer)
        self.trust.unpaired(node, peer)
