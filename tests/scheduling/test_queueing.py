"""How long an attempt waits is what an exact account of the slots says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.scheduling.queueing import UNKNOWN_S, remaining_s, wait_s

SPANS = st.lists(st.floats(0, 100), max_size=12)


@pytest.mark.parametrize(
    ("slots", "running", "queued", "expected"),
    [
        (1, [], [], 0.0),
        (1, [5.0], [], 5.0),
        (2, [5.0], [], 0.0),
        (2, [5.0, 3.0], [], 3.0),
        (2, [5.0, 3.0], [1.0], 4.0),
        (2, [5.0, 3.0], [1.0, 10.0], 5.0),
        (1, [5.0, 3.0], [], 5.0),
        (3, [], [2.0, 2.0, 2.0, 4.0], 2.0),
    ],
)
def test_the_next_attempt_starts_when_the_first_slot_is_free(
    slots: int, running: list[float], queued: list[float], expected: float
) -> None:
    assert wait_s(slots, running, queued) == expected


@given(st.integers(1, 6), SPANS, SPANS, st.floats(0, 100))
def test_one_more_in_the_queue_never_shortens_the_wait(
    slots: int, running: list[float], queued: list[float], more: float
) -> None:
    assert wait_s(slots, running[:slots], [*queued, more]) >= wait_s(slots, running[:slots], queued)


def test_what_remains_follows_from_what_was_expected_and_from_its_own_pace() -> None:
    assert remaining_s(10.0, 4.0, 0.0) == 6.0
    assert remaining_s(10.0, 400.0, 0.0) == pytest.approx(40.0)
    assert remaining_s(None, 30.0, 0.75) == 10.0
    # Half done after 20 s of an expected 10: its own pace counts as much as the estimate.
    assert remaining_s(10.0, 20.0, 0.5) == pytest.approx(0.5 * 20.0 + 0.5 * 5.0)


def test_what_says_nothing_is_taken_to_run_for_as_long_again() -> None:
    assert remaining_s(None, 0.0, 0.0) == UNKNOWN_S
    assert remaining_s(None, 300.0, 0.0) == 300.0


@given(st.none() | st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1))
def test_nothing_ever_takes_less_than_no_time(expected: float | None, elapsed: float, share: float) -> None:
    assert remaining_s(expected, elapsed, share) >= 0.0
