"""Mistakes in the life of a job, and in who may run it."""
# pyright: reportPrivateUsage=false

from msgspec.structs import replace

from meshd.jobs import lifecycle
from meshd.jobs.model import Attempt, Job, Traits
from meshd_protocol.ids import AttemptNumber, DeviceId
from meshd_protocol.localapi import AttemptState
from tests.simulation.planted.bug import Bug

ANYTHING_GOES = Traits(deterministic=True, retry_safe=True)

_succeed = lifecycle._succeed
_lose = lifecycle._lose
_place = lifecycle._place


def _succeed_without_fence(job: Job, number: AttemptNumber, now: float, traits: Traits) -> lifecycle.Step:
    reopened = tuple(
        replace(attempt, state="running", ended_at=None) if attempt.number == number else attempt
        for attempt in job.attempts
    )
    return _succeed(replace(job, attempts=reopened), number, now, traits)


def _succeed_late_in_any_kind(job: Job, number: AttemptNumber, now: float, traits: Traits) -> lifecycle.Step:
    return _succeed(job, number, now, ANYTHING_GOES)


def _lose_and_run_again_whatever_it_is(
    job: Job, number: AttemptNumber, state: AttemptState, reason: str, now: float, traits: Traits
) -> lifecycle.Step:
    return _lose(job, number, state, reason, now, ANYTHING_GOES)


def _lose_what_was_accepted(
    job: Job, number: AttemptNumber, state: AttemptState, reason: str, now: float, traits: Traits
) -> lifecycle.Step:
    attempt = job.attempt(number)
    waits = attempt is not None and attempt.state == "accepted"
    return _lose(job, number, state, reason, now, ANYTHING_GOES if waits else traits)


def _place_with_the_same_number(
    job: Job, device: DeviceId, why: str, now: float, wanted: AttemptNumber | None
) -> lifecycle.Step:
    del wanted
    return _place(replace(job, attempts=job.open_attempts), device, why, now, None)


def _cancelled_is_not_the_end(self: Job) -> bool:
    return self.ended_at is not None and self.state != "cancelled"


def _is_open_for_ever(self: Attempt) -> bool:
    return self.state in {"offered", "accepted", "running", "lost"}


BUGS = {
    "a result needs no open attempt": Bug("A", lifecycle, "_succeed", _succeed_without_fence),
    "a late success of any kind is taken": Bug("A", lifecycle, "_succeed", _succeed_late_in_any_kind),
    "a lost attempt may still be changed": Bug("A", Attempt, "is_open", property(_is_open_for_ever)),
    "what has effects is run again": Bug("A", lifecycle, "_lose", _lose_and_run_again_whatever_it_is),
    "an accepted attempt counts as not begun": Bug("B", lifecycle, "_lose", _lose_what_was_accepted),
    "a number is given twice": Bug("A", lifecycle, "_place", _place_with_the_same_number),
    "cancelled is not the end": Bug("A", Job, "has_ended", property(_cancelled_is_not_the_end)),
}
