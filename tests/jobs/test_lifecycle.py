"""A job has one life and one end, whatever its attempts report and in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from meshd.jobs.lifecycle import (
    Accepted,
    CancelAsked,
    Declined,
    Failed,
    JobEvent,
    Keep,
    Lost,
    Offer,
    Placed,
    Started,
    Stopped,
    Succeeded,
    TooSlow,
    Withdraw,
    step,
)
from meshd.jobs.model import Failure, Job, Traits
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.limits import MAX_LOSSES

PC, LAPTOP = DeviceId("pcpcpcpcpcpcpcpc"), DeviceId("laptoplaptoplapt")
PURE = Traits(deterministic=True, retry_safe=True)
EFFECTFUL = Traits(deterministic=False, retry_safe=False)
BROKE = Failure("crashed", "it broke")


def a_job(retries: int = 0) -> Job:
    return Job(
        id=JobId("abcdefghijkl"),
        kind="lineups",
        name="a job",
        state="queued",
        placement="auto",
        priority=0,
        timeout_s=0.0,
        retries=retries,
        offload_timeout_s=30.0,
        cost=None,
        created_at=0.0,
    )


def first(number: int = 1) -> AttemptNumber:
    return AttemptNumber(number)


def after(job: Job, *events: JobEvent, traits: Traits = PURE) -> Job:
    for event in events:
        job = step(job, event, 1.0, traits).job
    return job


def running(number: int = 1, device: DeviceId = PC) -> tuple[JobEvent, ...]:
    return Placed(device, "fastest"), Started(first(number), "boot")


def test_a_placed_job_waits_for_its_executor_before_it_runs() -> None:
    outcome = step(a_job(), Placed(PC, "fastest"), 1.0, PURE)
    assert outcome.job.state == "queued"
    assert [type(effect) for effect in outcome.effects] == [Offer]
    assert after(outcome.job, Accepted(first(), "boot"), Started(first(), "boot")).state == "running"


def test_a_success_completes_the_job_once() -> None:
    job = after(a_job(), *running())
    outcome = step(job, Succeeded(first()), 2.0, PURE)
    assert outcome.job.state == "completed"
    assert any(isinstance(effect, Keep) for effect in outcome.effects)
    again = step(outcome.job, Succeeded(first()), 3.0, PURE)
    assert again.job == outcome.job
    assert again.effects == ()


def test_a_lost_attempt_makes_the_job_retry_with_the_reason() -> None:
    job = after(a_job(), *running(), Lost(first(), "pc is gone"))
    assert (job.state, job.reason, job.attempts[0].state) == ("retrying", "pc is gone", "lost")
    assert job.failures == 0


def test_the_next_attempt_gets_a_new_number_on_another_device() -> None:
    job = after(a_job(), *running(), Lost(first(), "pc is gone"), *running(2, LAPTOP))
    assert [(attempt.number, attempt.device) for attempt in job.attempts] == [(1, PC), (2, LAPTOP)]
    assert job.state == "running"


def test_a_late_success_of_a_deterministic_job_is_taken_and_the_others_are_withdrawn() -> None:
    job = after(a_job(), *running(), Lost(first(), "gone"), *running(2, LAPTOP))
    outcome = step(job, Succeeded(first()), 2.0, PURE)
    assert outcome.job.state == "completed"
    assert [attempt.state for attempt in outcome.job.attempts] == ["succeeded", "superseded"]
    assert [effect.attempt.number for effect in outcome.effects if isinstance(effect, Withdraw)] == [2]


def test_a_late_success_of_any_other_job_is_dropped() -> None:
    traits = Traits(deterministic=False, retry_safe=True)
    job = after(a_job(), *running(), Lost(first(), "gone"), *running(2, LAPTOP), traits=traits)
    outcome = step(job, Succeeded(first()), 2.0, traits)
    assert outcome.job == job
    assert "dropped" in outcome.story[0][2]


def test_what_may_have_had_effects_is_not_run_again_by_itself() -> None:
    job = after(a_job(), *running(), Lost(first(), "pc is gone"), traits=EFFECTFUL)
    assert job.state == "failed"
    assert job.failure is not None
    assert job.failure.kind == "lost"


def test_what_never_started_is_offered_elsewhere_even_if_it_has_effects() -> None:
    job = after(a_job(), Placed(PC, "fastest"), Declined(first(), "not allowed"), traits=EFFECTFUL)
    assert job.state == "retrying"


def test_a_failure_ends_the_job_when_no_retries_are_left() -> None:
    job = after(a_job(retries=1), *running(), Failed(first(), BROKE))
    assert job.state == "retrying"
    ended = after(job, *running(2), Failed(first(2), BROKE))
    assert (ended.state, ended.failure) == ("failed", BROKE)


def test_losses_do_not_use_up_retries_but_have_an_end() -> None:
    job = a_job()
    for number in range(1, MAX_LOSSES):
        job = after(job, *running(number), Lost(first(number), "gone"))
        assert job.state == "retrying"
    job = after(job, *running(MAX_LOSSES), Lost(first(MAX_LOSSES), "gone"))
    assert job.state == "failed"


def test_a_cancelled_job_stays_cancelled_and_its_executor_is_told() -> None:
    outcome = step(after(a_job(), *running()), CancelAsked("by its user"), 2.0, PURE)
    assert outcome.job.state == "cancelled"
    assert any(isinstance(effect, Withdraw) for effect in outcome.effects)
    assert after(outcome.job, Succeeded(first())).state == "cancelled"


def test_a_slow_attempt_is_stopped_and_the_job_moves_on() -> None:
    outcome = step(after(a_job(), *running()), TooSlow(first(), "no progress"), 2.0, PURE)
    assert outcome.job.state == "retrying"
    assert any(isinstance(effect, Withdraw) for effect in outcome.effects)


@pytest.mark.parametrize("event", [Started(first(7), "b"), Succeeded(first(7)), Lost(first(7), "x")])
def test_an_attempt_that_never_was_changes_nothing(event: JobEvent) -> None:
    job = after(a_job(), *running())
    assert step(job, event, 2.0, PURE).job == job


NUMBERS = st.integers(1, 4).map(AttemptNumber)
EVENTS: st.SearchStrategy[JobEvent] = st.one_of(
    st.sampled_from([PC, LAPTOP]).map(lambda device: Placed(device, "why")),
    NUMBERS.map(lambda number: Accepted(number, "boot")),
    NUMBERS.map(lambda number: Started(number, "boot")),
    NUMBERS.map(lambda number: Declined(number, "no")),
    NUMBERS.map(Succeeded),
    NUMBERS.map(lambda number: Failed(number, BROKE)),
    NUMBERS.map(lambda number: Stopped(number, "stopped")),
    NUMBERS.map(lambda number: Lost(number, "lost")),
    NUMBERS.map(lambda number: TooSlow(number, "slow")),
    st.just(CancelAsked("cancelled")),
)
TRAITS = st.builds(Traits, deterministic=st.booleans(), retry_safe=st.booleans())


@given(st.lists(EVENTS, max_size=25), TRAITS, st.integers(0, 2))
def test_every_history_keeps_the_invariants(history: list[JobEvent], traits: Traits, retries: int) -> None:
    job = a_job(retries)
    kept = 0
    for now, event in enumerate(history, start=1):
        before = job
        outcome = step(job, event, float(now), traits)
        job = outcome.job
        kept += sum(isinstance(effect, Keep) for effect in outcome.effects)
        if before.has_ended:
            assert replace(job, attempts=()) == replace(before, attempts=())
            assert not outcome.effects
        assert job.has_ended == (job.state in {"completed", "failed", "cancelled"})
        assert len(job.open_attempts) <= 1
        assert not (job.has_ended and job.open_attempts)
        assert [attempt.number for attempt in job.attempts] == list(range(1, len(job.attempts) + 1))
        assert all((attempt.ended_at is None) == attempt.is_open for attempt in job.attempts)
        assert (job.failure is not None) == (job.state == "failed")
    assert kept == (job.state == "completed")
