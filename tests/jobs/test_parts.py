"""The life of a job whose units several attempts compute: what becomes of a part is not what becomes of the job."""

import pytest

from meshd.jobs.lifecycle import CancelAsked, Lost, PartDone, PartPlaced, Placed, Started, Succeeded, Withdraw, step
from meshd.jobs.lifecycle import Failed as AttemptFailed
from meshd.jobs.model import Failure, Span, Traits
from meshd_protocol.ids import AttemptNumber, DeviceId
from tests.jobs.test_lifecycle import a_job, after, first

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")
PURE = Traits(deterministic=True, retry_safe=True)
SPAN = Span(0, 60, 100)
RUNNING = (Placed(LAPTOP, "here"), Started(first(), "boot"), PartPlaced(PC, SPAN, "idle"))


def second() -> AttemptNumber:
    return AttemptNumber(2)


@pytest.mark.parametrize(
    "event",
    [
        Lost(second(), "pc is gone"),
        Succeeded(second()),
        PartDone(second()),
    ],
)
def test_whatever_becomes_of_a_part_the_job_goes_on(event: Lost | Succeeded | PartDone) -> None:
    job = after(a_job(), *RUNNING)
    ended = step(job, event, 2.0, PURE).job
    assert (ended.state, ended.losses, ended.failures) == ("running", 0, 0)
    assert not ended.attempts[1].is_open
    assert ended.attempts[0].is_open


def test_when_the_whole_attempt_is_lost_its_parts_end_and_the_job_is_placed_anew() -> None:
    job = after(a_job(), *RUNNING)
    outcome = step(job, Lost(first(), "the laptop is gone"), 2.0, PURE)
    assert outcome.job.state == "retrying"
    assert not outcome.job.open_attempts
    assert [effect.attempt.number for effect in outcome.effects if isinstance(effect, Withdraw)] == [2]


def test_the_result_of_the_whole_attempt_ends_the_parts() -> None:
    outcome = step(after(a_job(), *RUNNING), Succeeded(first()), 2.0, PURE)
    assert outcome.job.state == "completed"
    assert [attempt.state for attempt in outcome.job.attempts] == ["succeeded", "superseded"]


def test_a_part_is_placed_only_beside_a_whole_attempt_and_once_a_device() -> None:
    job = step(a_job(), PartPlaced(PC, SPAN, "idle"), 1.0, PURE).job
    assert job.attempts == ()
    job = after(a_job(), *RUNNING)
    assert step(job, PartPlaced(PC, Span(0, 50, 60), "idle"), 2.0, PURE).job == job
    assert step(job, PartPlaced(LAPTOP, Span(0, 50, 60), "idle"), 2.0, PURE).job == job


def test_cancelling_withdraws_every_attempt() -> None:
    outcome = step(after(a_job(), *RUNNING), CancelAsked("enough"), 2.0, PURE)
    assert [effect.attempt.number for effect in outcome.effects if isinstance(effect, Withdraw)] == [1, 2]


def test_the_failure_of_a_part_is_not_the_jobs() -> None:
    failed = AttemptFailed(second(), Failure("crashed", "it broke"))
    job = step(after(a_job(), *RUNNING), failed, 2.0, PURE).job
    assert (job.state, job.failures, job.attempts[1].state) == ("running", 0, "failed")
