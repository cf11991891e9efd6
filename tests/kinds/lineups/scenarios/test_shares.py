"""Laps are handed out to the last one, in proportion, and to nobody beyond what is allowed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.kinds.lineups.scenarios.shares import MAX_REACH, REACH_STEPS, completed_by, front_weights, handed_out

WEIGHTS = st.lists(st.integers(0, 10**14), min_size=1, max_size=48)


@given(WEIGHTS, st.integers(0, 600), st.integers(0, 65_535))
def test_every_lap_is_handed_out(weights: list[int], laps: int, phase: int) -> None:
    parts = handed_out(np.array([laps], np.int32), np.array([weights], np.int64), np.array([phase], np.uint16))[0]
    assert parts.sum() == (laps if sum(weights) else 0)
    assert parts.min() >= 0
    if sum(weights):
        exact = [laps * weight / sum(weights) for weight in weights]
        assert all(abs(part - share) < 1.001 for part, share in zip(parts, exact, strict=True))


def test_rounding_favours_no_column() -> None:
    races = 65_536
    phases = np.arange(races, dtype=np.uint16)
    weights = np.tile(np.array([3, 1, 2, 1, 3], np.int64) << 20, (races, 1))
    parts = handed_out(np.full(races, 7, np.int32), weights, phases)
    assert parts.mean(axis=0) == pytest.approx(np.array([2.1, 0.7, 1.4, 0.7, 2.1]), abs=1e-3)


def test_weights_fall_with_the_place_and_end_at_the_reach() -> None:
    places = np.array([[1, 2, 3, 4, 5]], np.int32)
    reach = np.array([3 * REACH_STEPS], np.int32)
    assert (front_weights(places, reach, 1) // REACH_STEPS).tolist() == [[3, 2, 1, 0, 0]]
    assert (front_weights(places, reach, 3) // REACH_STEPS**3).tolist() == [[27, 8, 1, 0, 0]]


def test_the_largest_weights_do_not_overflow() -> None:
    places = np.ones((1, 64), np.int32)
    weights = front_weights(places, np.array([MAX_REACH], np.int32), 3) * (12 << 10)
    parts = handed_out(np.array([600], np.int32), weights, np.array([65_535], np.uint16))
    assert parts.sum() == 600
    assert set(parts[0].tolist()) == {9, 10}


def test_the_winner_gets_what_others_may_not_have() -> None:
    parts = np.array([[5, 3, 1], [0, 0, 0]], np.int32)
    most = np.array([[2, 10, 10], [10, 10, 10]], np.int32)
    held = completed_by(np.array([1, 2], np.int32), np.array([10, 4], np.int32), parts, most)
    assert held.tolist() == [[2, 7, 1], [0, 0, 4]]
