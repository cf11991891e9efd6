"""The executor gives up before the origin gives the work away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd_protocol.limits import LEASE_S, SESSION_GRACE_S
from meshd_protocol.machines.lease import (
    Disconnected,
    ExecutorEvent,
    ExecutorLease,
    Expired,
    GiveUp,
    Granted,
    Held,
    Kill,
    Lapsed,
    Over,
    Permit,
    Renewed,
    Superseded,
    Tick,
    Waiting,
    check,
    disconnect,
    executor_step,
    grant,
    renew,
)


def test_an_offer_starts_only_once_it_is_renewed() -> None:
    assert executor_step(Waiting(), Tick(), 1.0) == (Waiting(), [])
    assert executor_step(Waiting(), Renewed(asked_at=1.0), 1.2) == (Held(1.0 + LEASE_S), [Permit()])


def test_the_deadline_counts_from_the_question_not_from_the_answer() -> None:
    state, _ = executor_step(Held(20.0), Renewed(asked_at=10.0), 14.0)
    assert state == Held(10.0 + LEASE_S)


def test_an_answer_older_than_a_lease_permits_nothing() -> None:
    assert executor_step(Waiting(), Renewed(asked_at=0.0), LEASE_S + 1) == (Waiting(), [])


def test_a_lease_that_runs_out_lapses_once() -> None:
    assert executor_step(Held(30.0), Tick(), 30.0) == (Lapsed(), [GiveUp()])
    assert executor_step(Lapsed(), Tick(), 31.0) == (Lapsed(), [])


def test_an_origin_that_still_wants_a_lapsed_attempt_gets_it_back() -> None:
    assert executor_step(Lapsed(), Renewed(asked_at=50.0), 50.1) == (Held(50.0 + LEASE_S), [Permit()])


@pytest.mark.parametrize("state", [Waiting(), Held(99.0), Lapsed()])
def test_a_superseded_attempt_is_killed_and_never_comes_back(state: ExecutorLease) -> None:
    over, effects = executor_step(state, Superseded(), 1.0)
    assert (over, effects) == (Over(), [Kill()])
    assert executor_step(over, Renewed(asked_at=1.0), 1.0) == (Over(), [])


def test_a_lost_session_changes_no_lease_by_itself() -> None:
    assert executor_step(Held(30.0), Disconnected(), 5.0) == (Held(30.0), [])


def test_an_expired_lease_is_not_revived_by_a_late_renewal() -> None:
    assert renew(Expired(), 31.0) == Expired()


def test_a_deterministic_attempt_waits_only_a_short_grace_for_its_session() -> None:
    assert disconnect(grant(0.0), 1.0, deterministic=True) == Granted(1.0 + SESSION_GRACE_S)
    assert disconnect(grant(0.0), 1.0, deterministic=False) == grant(0.0)


EVENTS = st.one_of(st.floats(0, 100).map(Renewed), st.just(Superseded()), st.just(Disconnected()), st.just(Tick()))


@given(st.lists(st.tuples(EVENTS, st.floats(0, 100)), max_size=30))
def test_no_history_lets_an_attempt_start_without_a_renewal(history: list[tuple[ExecutorEvent, float]]) -> None:
    state: ExecutorLease = Waiting()
    renewed = False
    for event, now in history:
        renewed = renewed or isinstance(event, Renewed)
        state, effects = executor_step(state, event, now)
        assert renewed or Permit() not in effects


@given(
    delays=st.lists(st.tuples(st.floats(0, 4), st.floats(0, 4)), min_size=1, max_size=8),
    drift=st.floats(-0.02, 0.02),
)
def test_the_executor_always_gives_up_first(delays: list[tuple[float, float]], drift: float) -> None:
    """Renewals travel for up to 4 s either way; the executor's clock runs up to 2% fast or slow."""
    executor: ExecutorLease = Waiting()
    origin = grant(0.0)
    now = 0.0
    for there, back in delays:
        asked = now
        origin = renew(origin, asked + there)
        executor, _ = executor_step(executor, Renewed(asked * (1 + drift)), (asked + there + back) * (1 + drift))
        now = asked + max(5.0, there + back)
    assert isinstance(executor, Held)
    assert isinstance(origin, Granted)
    assert executor.until / (1 + drift) <= origin.until
    assert check(origin, origin.until) == Expired()
