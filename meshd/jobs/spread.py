"""One job on several devices: units change hands, and come together again.

One attempt runs the job as a whole. Others compute parts of the phase that it is in: units that it gave back when it
was asked to shrink. What is covered by partials here is the only truth; who should compute what is a hint that may
get lost, because the whole attempt says again and again which units it waits for.
"""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from meshd.clock import Clock
from meshd.execution.checkpoint import gaps, lies_in
from meshd.jobs.lifecycle import JobEvent, PartDone, PartPlaced
from meshd.jobs.model import Attempt, Job, Span
from meshd.jobs.parts import from_wire
from meshd.jobs.resumption import Resumption
from meshd.jobs.views import Live
from meshd.kinds.base import Part
from meshd.net.streams import Transaction
from meshd.scheduling.snapshot import MeshSnapshot
from meshd.scheduling.spread import Participant, Steal, expected_s, idle, steal, steal_back
from meshd.scheduling.work import Work
from meshd.store import jobs as rows
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.messages import jobs as wire

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often it is looked whether a job could be shared: what is gained is half a second at least."""

ANSWER_S = 3.0
"""How long an attempt has for its answer; then another one is asked, or the units are computed twice."""

OVERDUE_S = 1.0
"""How long a whole attempt waits for a part of which nobody has heard how far it is: then it computes that, too."""

STUCK_S = 10.0
"""How long a whole attempt waits for units that are here, in a span with some of its own, until its own are here, too.
It tells them every five seconds; what crosses that span is kept out for ever."""

AVOID_S = 60.0
"""How long a device that has lost or declined a part of a job gets no other part of it."""


@dataclass(slots=True)
class _Waits:
    """What a whole attempt that has done its own units of a phase was last heard to wait for."""

    attempt: AttemptNumber
    phase: int
    units: int
    missing: Sequence[tuple[int, int]]
    since: float
    stuck_since: float | None = None
    """From when on all that it lacks has been here, and yet the phase is not whole."""


@dataclass(slots=True)
class _Asked:
    """A question on its way: give back some of your units."""

    attempt: AttemptNumber
    thief: DeviceId
    why: str
    until: float


class Line(Protocol):
    """The way to the executors of a job's attempts, this device's own among them."""

    def shrink(self, job: JobId, attempt: Attempt, keep: float) -> None:
        """Ask for units."""
        ...

    def extend(self, job: JobId, attempt: Attempt, span: Span) -> None:
        """Let it compute these units as well."""
        ...

    def join(self, job: JobId, attempt: Attempt, phase: int, partials: Sequence[wire.PartialRef]) -> None:
        """Let it go on: these cover what it lacks of the phase."""
        ...


class Spread:
    """Shares running jobs among idle devices."""

    def __init__(
        self,
        *,
        line: Line,
        resumption: Resumption,
        clock: Clock,
        job_of: Callable[[JobId], Job | None],
        work: Callable[[Job], Work],
        snapshot: Callable[[], MeshSnapshot],
        soon: Callable[[JobId, JobEvent], None],
        place: Callable[[JobId, PartPlaced, Part], None],
        moved: Callable[[JobId, AttemptNumber], None],
    ) -> None:
        """`soon` lets an event happen to a job, `place` offers a part, `moved` notes that an attempt is not stuck."""
        self._line = line
        self._resumption = resumption
        self._clock = clock
        self._job_of = job_of
        self._work = work
        self._snapshot = snapshot
        self._soon = soon
        self._place = place
        self._moved = moved
        self._asked: dict[JobId, _Asked] = {}
        self._looked_at = clock.boot()
        self._live: dict[tuple[JobId, AttemptNumber], Live] = {}
        self._waits: dict[JobId, _Waits] = {}
        self._weights: dict[tuple[JobId, AttemptNumber], float] = {}
        """How much of the whole job each part is, of the phase that is under way."""

    # Giving away

    def look(self, jobs: Iterable[Job], *, others_wait: Callable[[Job], bool]) -> float | None:
        """Share what can be shared; return when to look again, boot-time seconds, None: not before something changes.

        `others_wait` says whether jobs that could use the same devices are waiting: they come first.
        """
        shareable = [job for job in jobs if job.spread and job.whole is not None and job.whole.state == "running"]
        if not shareable:
            return None
        now = self._clock.boot()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            for job in shareable:
                asked = self._asked.get(job.id)
                if (asked is None or now >= asked.until) and not others_wait(job):
                    self._look_at(job, now)
        return self._looked_at + LOOK_S

    def _look_at(self, job: Job, now: float) -> None:
        work, mesh = self._work_of_part(job), self._snapshot()
        running = [self._participant(job, each) for each in job.open_attempts if each.state == "running"]
        match running:
            case [Participant(attempt, device, None)]:
                # It has only just begun.
                running = [Participant(attempt, device, expected_s(work, mesh, device))]
            case _:
                pass
        chosen = steal(work, mesh, running)
        if chosen is not None:
            self._ask(job, chosen, now)

    def _work_of_part(self, job: Job) -> Work:
        now = self._clock.wall()
        failing = {
            attempt.device
            for attempt in job.attempts
            if attempt.span is not None
            and attempt.state in {"lost", "declined", "failed", "superseded"}
            and 0 <= now - (attempt.ended_at or now) < AVOID_S
        }
        return replace(self._work(job), avoid=failing)

    def _participant(self, job: Job, attempt: Attempt) -> Participant:
        live = self._live.get((job.id, attempt.number))
        return Participant(attempt.number, attempt.device, None if live is None else live.eta_s)

    def _ask(self, job: Job, chosen: Steal, now: float) -> None:
        victim = job.attempt(chosen.victim)
        if victim is None:
            return
        self._asked[job.id] = _Asked(chosen.victim, chosen.thief, chosen.why, now + ANSWER_S)
        self._line.shrink(job.id, victim, chosen.keep)

    def shrunk(self, transaction: Transaction, peer: DeviceId, message: wire.Shrunk) -> None:
        """Take the units that a peer's attempt gave back."""
        if not rows.is_of(transaction.connection, message.job, message.attempt, peer):
            log.warning("a peer gave back another device's units", extra={"peer": peer, "job": message.job})
            return
        part = None if message.part is None else from_wire(message.part)
        transaction.after(lambda: self.given_back(JobId(message.job), AttemptNumber(message.attempt), part))

    def given_back(self, job_id: JobId, number: AttemptNumber, part: Part | None) -> None:
        """Take units that an attempt gave back, and hand them on; None: it had none to give."""
        job = self._job_of(job_id)
        attempt = None if job is None else job.attempt(number)
        if job is None or attempt is None or not attempt.is_open:
            # Whoever runs the job now has not given these away, and computes them.
            return
        asked = self._asked.get(job.id)
        if asked is None or asked.attempt != number:
            asked = None
        elif part is not None:
            del self._asked[job.id]
        # With nothing worth it, it gives some as soon as it has, and is not asked again before its time is over.
        if part is None or job.whole is None:
            return
        chosen = self._thief(job, asked)
        if chosen is None:
            self._waits.pop(job.id, None)
            self._line.extend(job.id, job.whole, _span(part))
            return
        thief, why = chosen
        units = part.stop - part.start
        why = f"{why}: {units} of {part.phase.units} units of {part.phase.label!r}"
        self._place(job.id, PartPlaced(thief, _span(part), why), part)

    def _thief(self, job: Job, asked: _Asked | None) -> tuple[DeviceId, str] | None:
        """Return who computes units that were given back, and why; None: the whole attempt does."""
        if asked is not None and not any(each.device == asked.thief for each in job.open_attempts):
            return asked.thief, asked.why
        if asked is not None and job.whole is not None and asked.thief == job.whole.device:
            return None
        running = [self._participant(job, each) for each in job.open_attempts]
        found = idle(self._work_of_part(job), self._snapshot(), running)
        return None if found is None else (found, "it is idle")

    def placed(self, job: JobId, attempt: Attempt, part: Part) -> None:
        """Note how much of the job a part is."""
        self._weights[job, attempt.number] = part.phase.weight * (part.stop - part.start) / part.phase.units

    # Coming together

    def grown(self, job_id: JobId) -> None:
        """Note that the checkpoint of a job has grown."""
        job = self._job_of(job_id)
        if job is not None and job.whole is not None:
            self._moved(job.id, job.whole.number)
        # Whoever waits for it goes on at once.
        waits = self._waits.get(job_id)
        if waits is not None:
            self.waiting(job_id, waits.attempt, waits.phase, waits.units, waits.missing)
        self.covered(job_id)

    def covered(self, job_id: JobId) -> None:
        """End the parts whose units are all in the checkpoint."""
        job = self._job_of(job_id)
        if job is None:
            return
        for attempt in job.open_attempts:
            if attempt.span is not None and not self._missing(job.id, attempt.span):
                self._soon(job.id, PartDone(attempt.number))
        if job.spread and len(job.open_attempts) == 1:
            # Whoever has done a part can have another one.
            self._looked_at = -math.inf

    def waits(self, peer: DeviceId, message: wire.Waiting) -> None:
        """Answer a peer's attempt that has done its own units of a phase and lacks some."""
        job, number = self._job_of(JobId(message.job)), AttemptNumber(message.attempt)
        attempt = None if job is None else job.attempt(number)
        if job is not None and attempt is not None and attempt.device == peer:
            missing = [(span.start, span.stop) for span in message.missing]
            self.waiting(job.id, number, message.phase, message.units, missing)

    def waiting(
        self, job_id: JobId, number: AttemptNumber, phase: int, units: int, missing: Sequence[tuple[int, int]]
    ) -> None:
        """Answer a whole attempt that has done its own units of a phase and lacks these."""
        job = self._job_of(job_id)
        whole = None if job is None else job.whole
        if job is None or whole is None or whole.number != number:
            return
        self._moved(job.id, number)
        now = self._clock.boot()
        known = self._waits.get(job.id)
        if known is not None and (known.attempt, known.phase) != (number, phase):
            known = None
        waits = self._waits[job.id] = _Waits(number, phase, units, missing, now if known is None else known.since)
        lacking = [gap for start, stop in missing for gap in self._missing(job.id, Span(phase, start, stop))]
        found = self._found(job.id, phase, units, missing, all_here=not lacking)
        if found:
            self._line.join(job.id, whole, phase, found)
            del self._waits[job.id]
            # From now on the whole attempt counts them as done.
            self._forget_weights(job.id)
            return
        if not lacking:
            waits.stuck_since = now if known is None or known.stuck_since is None else known.stuck_since
            if now - waits.stuck_since >= STUCK_S:
                # It computed units itself that a lost part, or a span that it could not read, has as well.
                del self._waits[job.id]
                for start, stop in missing:
                    self._line.extend(job.id, whole, Span(phase, start, stop))
            return
        asked = self._asked.get(job.id)
        if asked is not None and asked.attempt == number:
            # It gives nothing before its next phase, and then without being asked again.
            asked = None
        if asked is not None and now < asked.until:
            return
        parts = [attempt for attempt in job.open_attempts if attempt.span is not None]
        heard = [
            part for part in parts if now - waits.since < OVERDUE_S or self._participant(job, part).left_s is not None
        ]
        for first, last in lacking:
            if self._nobody_computes(heard, phase, first, last, asked):
                self._waits.pop(job.id, None)
                self._line.extend(job.id, whole, Span(phase, first, last))
        if asked is not None and now >= asked.until:
            del self._asked[job.id]
        elif parts:
            running = [self._participant(job, each) for each in parts if each.state == "running"]
            chosen = steal_back(self._work_of_part(job), self._snapshot(), running, whole.device)
            if chosen is not None:
                self._ask(job, chosen, now)

    def _found(
        self, job: JobId, phase: int, units: int, missing: Sequence[tuple[int, int]], *, all_here: bool
    ) -> Sequence[wire.PartialRef]:
        """Return partials with which an attempt that has all but these units of a phase has all of it; or none.

        `all_here` says whether these units are all covered.
        """
        of_phase = [ref for ref in self._resumption.refs(job) if ref.phase == phase]
        asked = [ref for ref in of_phase if any(start < ref.stop and ref.start < stop for start, stop in missing)]
        if asked and all_here and all(lies_in(ref.start, ref.stop, missing) for ref in asked):
            # What it has computed itself need not have come here.
            return asked
        return [] if gaps(units, [(ref.start, ref.stop) for ref in of_phase]) else of_phase

    def _nobody_computes(
        self, parts: Sequence[Attempt], phase: int, first: int, last: int, asked: _Asked | None
    ) -> bool:
        """Return whether units are in nobody's hands, or in those of a part that does not answer."""
        for part in parts:
            span = part.span
            if span is not None and span.phase == phase and span.start < last and first < span.stop:
                return asked is not None and asked.attempt == part.number
        return True

    def _missing(self, job: JobId, span: Span) -> list[tuple[int, int]]:
        """Return which units of a span are not covered."""
        inside = [
            (max(ref.start, span.start) - span.start, min(ref.stop, span.stop) - span.start)
            for ref in self._resumption.refs(job)
            if ref.phase == span.phase and ref.start < span.stop and span.start < ref.stop
        ]
        return [(span.start + first, span.start + last) for first, last in gaps(span.stop - span.start, inside)]

    def progressed(self, job: Job, number: AttemptNumber, live: Live) -> Live:
        """Note how far an attempt is; return how far the job is, all its attempts together."""
        self._live[job.id, number] = live
        whole = None if job.whole is None else self._live.get((job.id, job.whole.number))
        if whole is None:
            return live
        of_parts = sum(
            weight * self._done(job, part) for (owner, part), weight in self._weights.items() if owner == job.id
        )
        share = min(whole.share + of_parts, 1.0)
        eta_s = whole.eta_s
        if eta_s is not None and whole.share < 1.0:
            eta_s *= (1.0 - share) / (1.0 - whole.share)
        return Live(share, whole.best, eta_s)

    def _done(self, job: Job, number: AttemptNumber) -> float:
        attempt, live = job.attempt(number), self._live.get((job.id, number))
        if attempt is None or not (attempt.is_open or attempt.state == "succeeded"):
            return 0.0
        return 1.0 if attempt.state == "succeeded" else 0.0 if live is None else live.share

    def forget(self, job: JobId) -> None:
        """Forget a job that has ended."""
        if not (self._asked or self._waits or self._weights or self._live):
            return
        self._asked.pop(job, None)
        self._waits.pop(job, None)
        self._forget_weights(job)
        for key in [key for key in self._live if key[0] == job]:
            del self._live[key]

    def _forget_weights(self, job: JobId) -> None:
        for key in [key for key in self._weights if key[0] == job]:
            del self._weights[key]


def _span(part: Part) -> Span:
    return Span(part.phase.number, part.start, part.stop)
