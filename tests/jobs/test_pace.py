"""A device that ends attempts within milliseconds is sent more than it has told to have room for, and no other is."""

from meshd.jobs.model import Attempt, Job
from meshd.jobs.pace import AHEAD_S, MAX_AHEAD, Pace
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.localapi import AttemptState
from tests.support.manual_clock import ManualClock

PC = DeviceId("pcpcpcpcpcpcpcpc")


def a_job(number: int, state: AttemptState) -> Job:
    ended_at = None if state in {"offered", "accepted", "running"} else 1.0
    attempt = Attempt(AttemptNumber(1), PC, state, offered_at=0.0, ended_at=ended_at)
    return Job(JobId(str(number)), "echo", "", "queued", "pc", 0, 0.0, 0, 30.0, None, 0.0, attempts=(attempt,))


def run(pace: Pace, numbers: range, state: AttemptState = "succeeded") -> None:
    for number in numbers:
        pace.tracked(a_job(number, "offered"), None)
        pace.tracked(a_job(number, state), a_job(number, "offered"))


def test_so_many_more_are_sent_as_have_ended_lately() -> None:
    pace = Pace(clock=ManualClock())
    assert pace.room(PC, "echo") == 0
    run(pace, range(5))
    assert pace.room(PC, "echo") == 5
    assert pace.room(PC, "lineups") == 0
    pace.tracked(a_job(7, "offered"), None)
    assert pace.room(PC, "echo") == 4


def test_what_takes_longer_is_not_sent_ahead() -> None:
    clock = ManualClock()
    pace = Pace(clock=clock)
    run(pace, range(5))
    clock.advance(AHEAD_S * 1.01)
    assert pace.room(PC, "echo") == 0


def test_a_device_that_loses_or_declines_attempts_is_not_fast() -> None:
    pace = Pace(clock=ManualClock())
    run(pace, range(5), "lost")
    run(pace, range(5, 10), "declined")
    assert pace.room(PC, "echo") == 0


def test_what_is_bound_to_a_device_ahead_of_time_is_bounded() -> None:
    pace = Pace(clock=ManualClock())
    run(pace, range(10 * MAX_AHEAD))
    assert pace.room(PC, "echo") == MAX_AHEAD
