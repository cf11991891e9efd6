"""A rate is its owner's word, or what real runs have shown; what a peer claims is held against what it does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.scheduling.rates import MAX_ADVANTAGE, MAX_STEP, TOLERANCE, KindRate, believed, carried_over, learn

RATES = st.floats(1e-6, 1e18)


def test_a_declared_rate_is_its_owners_word() -> None:
    declared = KindRate(5e10, "declared")
    assert learn(declared, 1e12, 1.0) == declared
    assert carried_over(declared) == declared


def test_one_odd_run_moves_a_rate_only_so_far() -> None:
    known = KindRate(100.0, "measured", 3)
    slow = learn(known, cost=1.0, duration_s=1000.0)
    assert slow is not None
    assert 100.0 / MAX_STEP < slow.rate < 100.0


def test_short_runs_say_nothing_about_the_rate() -> None:
    assert learn(None, cost=5.0, duration_s=0.01) is None


@pytest.mark.parametrize("truth", [25.0, 400.0])
def test_a_few_real_runs_correct_a_calibration(truth: float) -> None:
    known: KindRate | None = KindRate(100.0, "calibrated")
    for _ in range(10):
        known = learn(known, cost=10 * truth, duration_s=10.0)
    assert known is not None
    assert known.source == "measured"
    assert known.rate == pytest.approx(truth, rel=0.1)


def test_the_first_real_runs_count_for_more_than_the_later_ones() -> None:
    first = learn(KindRate(100.0, "calibrated"), 2000.0, 10.0)
    later = learn(KindRate(100.0, "measured", 50), 2000.0, 10.0)
    assert first is not None
    assert later is not None
    assert first.rate > later.rate > 100.0


def test_in_other_surroundings_a_rate_is_a_guess_that_the_first_runs_correct() -> None:
    on_mains = KindRate(100.0, "measured", 50)
    on_battery = carried_over(on_mains)
    assert on_battery == KindRate(100.0, "calibrated", 0)
    for _ in range(3):
        on_battery = learn(on_battery, cost=400.0, duration_s=10.0)
    assert on_battery is not None
    assert on_battery.rate < 60.0
    assert carried_over(None) is None


@given(RATES, RATES)
def test_what_was_seen_of_a_peer_bounds_what_it_claims(claim: float, seen: float) -> None:
    rate = believed(claim, KindRate(seen, "measured", 1), own=1.0)
    assert rate is not None
    assert seen / TOLERANCE <= rate <= seen * TOLERANCE
    if seen / TOLERANCE <= claim <= seen * TOLERANCE:
        assert rate == claim


@given(RATES, RATES)
def test_a_peer_of_which_nothing_was_seen_is_at_most_so_much_faster_than_this_device(claim: float, own: float) -> None:
    rate = believed(claim, None, own)
    assert rate is not None
    assert rate <= own * MAX_ADVANTAGE
    assert rate <= claim


def test_a_peer_that_claims_nothing_is_as_fast_as_it_was_seen_to_be() -> None:
    assert believed(None, None, 1.0) is None
    assert believed(None, KindRate(7.0, "measured", 1), 1.0) == 7.0
    assert believed(1e18, None, None) == 1e18
