"""Leases as their origin sees them: who keeps an attempt, and when it is given up."""

from meshd.jobs.leases import LOOK_S, Happening, Leases
from meshd.jobs.lifecycle import Lost, TooSlow
from meshd.jobs.model import Attempt, Job
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.limits import HEARTBEAT_S, LEASE_MARGIN, LEASE_S, SESSION_GRACE_S
from meshd_protocol.messages import jobs as wire
from tests.support.manual_clock import ManualClock

PC = DeviceId("pcpcpcpcpcpcpcpc")
NUMBER = AttemptNumber(1)
NIGHT_S = 8 * 3600.0


def leases(clock: ManualClock, *, deterministic: bool = True, offload_timeout_s: float = 120.0) -> Leases:
    """Return the watch over one attempt that runs on the PC."""
    watched = Leases(clock=clock, names=lambda _: "pc")
    attempt = Attempt(NUMBER, PC, "running", offered_at=0.0, boot="boot")
    job = Job(
        id=JobId("job"), kind="plain", name="", state="running", placement="auto", priority=0, timeout_s=0.0,
        retries=0, offload_timeout_s=offload_timeout_s, cost=None, created_at=0.0, attempts=(attempt,),
    )  # fmt: skip
    watched.track(job, job.attempts, deterministic=deterministic)
    return watched


def watch_for(watched: Leases, clock: ManualClock, seconds: float) -> list[Happening]:
    """Let time pass as the origin does: it looks when it said that it would."""
    end = clock.boot() + seconds
    happened: list[Happening] = []
    while clock.boot() < end:
        at = watched.next_check_at()
        assert at is not None
        clock.advance(min(max(at, clock.boot() + 0.01), end) - clock.boot())
        happened += watched.check(set())
    return happened


def holding() -> wire.Holding:
    return wire.Holding(boot="boot", number=1, attempts=[wire.HeldAttempt(job="job", attempt=NUMBER, state="running")])


def test_an_attempt_that_nobody_renews_is_lost_after_its_lease() -> None:
    clock = ManualClock()
    watched = leases(clock)
    assert watch_for(watched, clock, LEASE_S * LEASE_MARGIN - 0.1) == []
    [(job, lost)] = watch_for(watched, clock, 1.0)
    assert job == "job"
    assert isinstance(lost, Lost)


def test_after_sleep_the_leases_begin_anew() -> None:
    clock = ManualClock()
    watched = leases(clock)
    watch_for(watched, clock, HEARTBEAT_S)
    clock.advance(NIGHT_S)
    assert watched.check({PC}) == []
    assert watch_for(watched, clock, LEASE_S * LEASE_MARGIN - 0.1) == []
    assert [type(event) for _, event in watch_for(watched, clock, 1.0)] == [Lost]


def test_a_session_that_is_found_dead_after_sleep_does_not_cost_the_peer_its_lease() -> None:
    clock = ManualClock()
    watched = leases(clock)
    watch_for(watched, clock, HEARTBEAT_S)
    clock.advance(NIGHT_S)
    watched.closed(PC)
    assert watch_for(watched, clock, SESSION_GRACE_S + 1.0) == []
    answer, happened = watched.holding(PC, holding())
    assert [line.job for line in answer.renewed] == ["job"]
    assert happened == []
    # Heard of again, it is like any other.
    watched.closed(PC)
    assert [type(event) for _, event in watch_for(watched, clock, SESSION_GRACE_S + 1.0)] == [Lost]


def test_what_a_peer_says_first_after_sleep_renews_its_lease() -> None:
    clock = ManualClock()
    watched = leases(clock)
    watch_for(watched, clock, HEARTBEAT_S)
    clock.advance(NIGHT_S)
    answer, happened = watched.holding(PC, holding())
    assert [line.job for line in answer.renewed] == ["job"]
    assert happened == []


def test_sleep_is_not_held_against_a_slow_attempt() -> None:
    clock = ManualClock()
    watched = leases(clock, offload_timeout_s=20.0)
    watch_for(watched, clock, HEARTBEAT_S)
    clock.advance(NIGHT_S)
    assert watched.check({PC}) == []
    assert [type(event) for _, event in watch_for(watched, clock, 21.0)] == [TooSlow]


def test_a_lease_that_had_lapsed_before_the_sleep_stays_lapsed() -> None:
    clock = ManualClock()
    watched = leases(clock)
    assert watch_for(watched, clock, LEASE_S * LEASE_MARGIN + 0.1) != []
    clock.advance(NIGHT_S)
    answer, _ = watched.holding(PC, holding())
    assert answer.renewed == []
    assert [line.job for line in answer.superseded] == ["job"]


def test_leases_are_looked_at_so_often_that_sleep_is_noticed() -> None:
    clock = ManualClock()
    watched = leases(clock)
    at = watched.next_check_at()
    assert at is not None
    assert at - clock.boot() <= LOOK_S


def test_an_attempt_whose_result_is_on_the_way_is_not_lost_while_its_device_is_there() -> None:
    clock = ManualClock()
    watched = leases(clock, offload_timeout_s=10.0)
    watched.done(JobId("job"), NUMBER)
    _, happened = watched.holding(PC, wire.Holding(boot="boot", number=1, attempts=[]))
    assert happened == []
    for _ in range(20):
        clock.advance(HEARTBEAT_S)
        assert watched.check({PC}) == []
    watched.closed(PC)
    assert [type(event) for _, event in watch_for(watched, clock, SESSION_GRACE_S + 1.0)] == [Lost]
