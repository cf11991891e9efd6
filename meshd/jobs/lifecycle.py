"""The life of a job at its origin: one pure step from the job and an event to the job that follows.

    job      queued -> running -> completed | failed | cancelled      retrying: between attempts
    attempt  offered -> accepted -> running -> succeeded | failed | cancelled | declined | lost | superseded

The fence is an open attempt: what an attempt that is not open says is recorded and changes nothing, with one
exception: the late success of a deterministic job, whose bits are the same wherever they come from.
"""

from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from meshd.jobs.model import Attempt, Failure, Job, Span, Traits
from meshd_protocol.ids import AttemptNumber, DeviceId
from meshd_protocol.limits import MAX_LOSSES
from meshd_protocol.localapi import AttemptState

# Events


class Placed(Struct, frozen=True):
    """A device was chosen for the next attempt."""

    device: DeviceId
    why: str
    number: AttemptNumber | None = None
    """Which attempt that is; None: whichever is the next."""

    at: float | None = None
    """When, in epoch seconds; None: now."""


class PartPlaced(Struct, frozen=True):
    """A device was chosen to compute some units of a job that runs elsewhere."""

    device: DeviceId
    span: Span
    why: str


class PartDone(Struct, frozen=True):
    """The units of a part are in the checkpoint."""

    attempt: AttemptNumber


class Accepted(Struct, frozen=True):
    """The executor holds the attempt, but has no slot for it yet."""

    attempt: AttemptNumber
    boot: str


class Started(Struct, frozen=True):
    """The executor runs the attempt."""

    attempt: AttemptNumber
    boot: str
    at: float | None = None
    """Since when, in epoch seconds; None: since now."""


class Declined(Struct, frozen=True):
    """The executor will not run the attempt."""

    attempt: AttemptNumber
    reason: str


class Succeeded(Struct, frozen=True):
    """The attempt has a result; the driver stores it if, and only if, the job completes by it."""

    attempt: AttemptNumber


class Failed(Struct, frozen=True):
    """The attempt ended without a result."""

    attempt: AttemptNumber
    failure: Failure


class Stopped(Struct, frozen=True):
    """The executor has stopped the attempt, as it was told or of its owner's will."""

    attempt: AttemptNumber
    reason: str


class Lost(Struct, frozen=True):
    """Nobody knows what became of the attempt: a lease lapsed, a daemon or a worker died."""

    attempt: AttemptNumber
    reason: str


class TooSlow(Struct, frozen=True):
    """The attempt has shown no progress for the job's offload timeout."""

    attempt: AttemptNumber
    reason: str


class CancelAsked(Struct, frozen=True):
    """The user wants no more of the job."""

    reason: str


JobEvent: TypeAlias = (
    Placed
    | PartPlaced
    | PartDone
    | Accepted
    | Started
    | Declined
    | Succeeded
    | Failed
    | Stopped
    | Lost
    | TooSlow
    | CancelAsked
)

# Effects


class Offer(Struct, frozen=True):
    """Hand the attempt to its device."""

    attempt: Attempt


class Withdraw(Struct, frozen=True):
    """Tell the attempt's device to stop it."""

    attempt: Attempt
    reason: str


class Keep(Struct, frozen=True):
    """The attempt's result is the job's."""

    attempt: Attempt


JobEffect: TypeAlias = Offer | Withdraw | Keep


class Step(Struct, frozen=True):
    """What follows from an event: the job, what must be done, and what the story says about it."""

    job: Job
    effects: tuple[JobEffect, ...] = ()
    story: tuple[tuple[AttemptNumber | None, str, str], ...] = ()


LOST = "lost"
"""The failure kind of jobs that ended because the world kept failing them."""


def step(job: Job, event: JobEvent, now: float, traits: Traits) -> Step:
    """Return what follows from `event`; an event that the state does not allow changes nothing.

    `now` is wall-clock time in epoch seconds, for display and the story.
    """
    if job.has_ended:
        return _after_the_end(job, event)
    match event:
        case Placed(device, why, number, at):
            return _place(job, device, why, now if at is None else at, number)
        case PartPlaced(device, span, why):
            return _place_part(job, device, span, why, now)
        case PartDone(number):
            return _end_part(job, number, "succeeded", "its units are computed", now)
        case CancelAsked(reason):
            return _cancel(job, reason, now)
        case Accepted(number, boot):
            attempt = job.attempt(number)
            if attempt is None or attempt.state != "offered":
                return Step(job)
            return _changed(job, replace(attempt, state="accepted", boot=boot), "waiting for a slot there")
        case Started(number, boot, at):
            return _start(job, number, boot, now if at is None else at)
        case Declined(number, reason):
            return _lose(job, number, "declined", reason, now, traits)
        case Lost(number, reason):
            return _lose(job, number, "lost", reason, now, traits)
        case Stopped(number, reason):
            return _lose(job, number, "cancelled", reason, now, traits)
        case TooSlow(number, reason):
            return _lose(job, number, "superseded", reason, now, traits)
        case Succeeded(number):
            return _succeed(job, number, now, traits)
        case Failed(number, failure):
            return _fail(job, number, failure, now)


def _after_the_end(job: Job, event: JobEvent) -> Step:
    match event:
        case Succeeded(number):
            attempt = job.attempt(number)
            if attempt is None or attempt.span is not None:
                return Step(job)
            return Step(job, story=((number, attempt.state, "a result came after the job had ended; it was dropped"),))
        case _:
            return Step(job)


def _place(job: Job, device: DeviceId, why: str, now: float, wanted: AttemptNumber | None) -> Step:
    number = job.next_number
    if job.open_attempts or wanted not in (None, number):
        return Step(job)
    attempt = Attempt(number, device, "offered", offered_at=now, reason=why)
    reason = job.reason if job.state == "retrying" else why
    placed = replace(job, device=device, reason=reason, progress=0.0, best="", attempts=(*job.attempts, attempt))
    return Step(placed, (Offer(attempt),), ((number, "offered", why),))


def _place_part(job: Job, device: DeviceId, span: Span, why: str, now: float) -> Step:
    if job.whole is None or any(attempt.device == device for attempt in job.open_attempts):
        return Step(job)
    number = job.next_number
    attempt = Attempt(number, device, "offered", offered_at=now, reason=why, span=span)
    return Step(replace(job, attempts=(*job.attempts, attempt)), (Offer(attempt),), ((number, "offered", why),))


def _end_part(job: Job, number: AttemptNumber, state: AttemptState, reason: str, now: float) -> Step:
    """End an attempt that computes a part: whatever becomes of it, the job goes on where it runs as a whole."""
    attempt = job.attempt(number)
    if attempt is None or attempt.span is None or not attempt.is_open:
        return Step(job)
    ended = replace(
        attempt, state=state, reason=reason, ended_at=now, progress=1.0 if state == "succeeded" else attempt.progress
    )
    # What ended by itself needs no word; what was done, or is slow, waits to be told.
    effects = (Withdraw(ended, reason),) if state in {"succeeded", "superseded"} else ()
    return Step(_with(job, ended), effects, ((number, state, reason),))


def _without_parts(
    job: Job, now: float
) -> tuple[Job, tuple[JobEffect, ...], tuple[tuple[AttemptNumber, str, str], ...]]:
    """End the parts of a job that runs nowhere as a whole; what they have computed is in the checkpoint."""
    reason = "the attempt that it was a part of is over"
    ended = [
        replace(attempt, state="cancelled", reason=reason, ended_at=now)
        for attempt in job.open_attempts
        if attempt.span is not None
    ]
    for attempt in ended:
        job = _with(job, attempt)
    effects = tuple(Withdraw(attempt, reason) for attempt in ended)
    return job, effects, tuple((attempt.number, "cancelled", reason) for attempt in ended)


def _start(job: Job, number: AttemptNumber, boot: str, now: float) -> Step:
    attempt = job.attempt(number)
    if attempt is None or attempt.state not in {"offered", "accepted"}:
        return Step(job)
    running = replace(attempt, state="running", boot=boot, started_at=now)
    if attempt.span is not None:
        return Step(_with(job, running), story=((number, "running", "started"),))
    started = replace(
        _with(job, running), state="running", started_at=job.started_at if job.started_at is not None else now
    )
    return Step(started, story=((number, "running", "started"),))


def _lose(job: Job, number: AttemptNumber, state: AttemptState, reason: str, now: float, traits: Traits) -> Step:
    attempt = job.attempt(number)
    if attempt is None or not attempt.is_open:
        return Step(job)
    if attempt.span is not None:
        return _end_part(job, number, state, reason, now)
    lost = replace(attempt, state=state, reason=reason, ended_at=now)
    after = replace(_with(job, lost), losses=job.losses + 1, reason=reason)
    # A lost attempt's executor hears it when it next says what it holds; a slow one must stop now.
    effects: tuple[JobEffect, ...] = (Withdraw(lost, reason),) if state == "superseded" else ()
    after, withdrawn, ended = _without_parts(after, now)
    effects, story = (*effects, *withdrawn), ((number, state, reason), *ended)
    # An executor that has accepted may have started without having been heard; one that declines has not.
    may_run_again = traits.deterministic or traits.retry_safe or attempt.state == "offered" or state == "declined"
    if not may_run_again:
        failure = Failure(
            LOST, f"{reason}; it may have had effects, so it is not run again by itself", "run it again if that is safe"
        )
        return _end_failed(after, failure, now, effects, story)
    if after.losses >= MAX_LOSSES:
        failure = Failure(LOST, f"given up after {after.losses} lost attempts: {reason}")
        return _end_failed(after, failure, now, effects, story)
    retrying = replace(after, state="retrying")
    return Step(retrying, effects, (*story, (None, "retrying", reason)))


def _succeed(job: Job, number: AttemptNumber, now: float, traits: Traits) -> Step:
    attempt = job.attempt(number)
    if attempt is None:
        return Step(job)
    if attempt.span is not None:
        return _end_part(job, number, "lost", "it ended before its units were here", now)
    is_late = not attempt.is_open
    if is_late and not (traits.deterministic and attempt.state in {"lost", "superseded"}):
        return Step(job, story=((number, attempt.state, "its result came too late; it was dropped"),))
    done = replace(attempt, state="succeeded", ended_at=now, progress=1.0)
    after = _with(job, done)
    others = [
        replace(other, state="superseded", reason=f"attempt {number} was first", ended_at=now)
        for other in after.open_attempts
    ]
    for other in others:
        after = _with(after, other)
    ended = replace(
        after, state="completed", ended_at=now, progress=1.0, reason="", device=attempt.device,
        started_at=after.started_at if after.started_at is not None else now,
    )  # fmt: skip
    cause = "completed late, before any other attempt" if is_late else "completed"
    story = (
        (number, "succeeded", cause),
        *((other.number, "superseded", other.reason) for other in others),
        (None, "completed", cause),
    )
    withdrawals = tuple(Withdraw(other, other.reason) for other in others)
    return Step(ended, (Keep(done), *withdrawals), story)


def _fail(job: Job, number: AttemptNumber, failure: Failure, now: float) -> Step:
    attempt = job.attempt(number)
    if attempt is None or not attempt.is_open:
        return Step(job)
    if attempt.span is not None:
        return _end_part(job, number, "failed", failure.message, now)
    failed = replace(attempt, state="failed", reason=failure.message, ended_at=now)
    after = replace(_with(job, failed), failures=job.failures + 1, reason=failure.message)
    after, effects, ended = _without_parts(after, now)
    story = ((number, "failed", failure.message), *ended)
    if after.failures > job.retries:
        return _end_failed(after, failure, now, effects, story)
    return Step(replace(after, state="retrying"), effects, (*story, (None, "retrying", failure.message)))


def _cancel(job: Job, reason: str, now: float) -> Step:
    after = job
    story: list[tuple[AttemptNumber | None, str, str]] = []
    for attempt in job.open_attempts:
        after = _with(after, replace(attempt, state="cancelled", reason=reason, ended_at=now))
        story.append((attempt.number, "cancelled", reason))
    ended = replace(after, state="cancelled", reason=reason, ended_at=now)
    withdrawals = tuple(Withdraw(attempt, reason) for attempt in job.open_attempts)
    return Step(ended, withdrawals, (*story, (None, "cancelled", reason)))


def _end_failed(
    job: Job,
    failure: Failure,
    now: float,
    effects: tuple[JobEffect, ...],
    story: tuple[tuple[AttemptNumber | None, str, str], ...],
) -> Step:
    ended = replace(job, state="failed", failure=failure, reason=failure.message, ended_at=now)
    return Step(ended, effects, (*story, (None, "failed", failure.message)))


def _changed(job: Job, attempt: Attempt, cause: str) -> Step:
    return Step(_with(job, attempt), story=((attempt.number, attempt.state, cause),))


def _with(job: Job, attempt: Attempt) -> Job:
    attempts = tuple(attempt if other.number == attempt.number else other for other in job.attempts)
    return replace(job, attempts=attempts)
