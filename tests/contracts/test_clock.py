"""What every clock promises: this machine's, the one that tests move by hand, and a simulated device's."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from meshd.clock import Clock, SystemClock
from tests.simulation.daemon import SimulatedClock
from tests.support.manual_clock import ManualClock

DRIFT = 0.02


@dataclass
class Watch:
    """A clock, what lets time pass, and how much it may err."""

    clock: Clock
    let_pass: Callable[[float], None]
    drift: float = 0.0


def of_this_machine() -> Watch:
    def burn(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return Watch(SystemClock(), burn)


def by_hand() -> Watch:
    clock = ManualClock()
    return Watch(clock, clock.advance)


def simulated() -> Watch:
    passed = [0.0]

    def let_pass(seconds: float) -> None:
        passed[0] += seconds

    return Watch(SimulatedClock(lambda: passed[0], drift=DRIFT, boot=1000.0), let_pass, drift=DRIFT)


@pytest.fixture(params=[of_this_machine, by_hand, simulated])
def watch(request: pytest.FixtureRequest) -> Watch:
    return request.param()


def test_boot_time_never_goes_back(watch: Watch) -> None:
    readings = list[float]()
    for _ in range(100):
        readings.append(watch.clock.boot())
        watch.let_pass(0.0001)
    assert readings == sorted(readings)
    assert readings[-1] > readings[0]


def test_what_passes_is_the_same_on_both_readings(watch: Watch) -> None:
    first, wall, second = watch.clock.boot(), watch.clock.wall(), watch.clock.boot()
    watch.let_pass(0.02)
    third, later, fourth = watch.clock.boot(), watch.clock.wall(), watch.clock.boot()
    # Whatever held this process up between two readings lies between these bounds, too.
    tolerance = 0.001 + watch.drift * (fourth - first)
    assert third - second - tolerance <= later - wall <= fourth - first + tolerance
    assert third - second >= 0.02 * (1 - watch.drift) - 1e-6


def test_the_time_of_day_is_one_of_our_days(watch: Watch) -> None:
    assert 1_600_000_000.0 < watch.clock.wall() < 4_000_000_000.0


def test_setting_the_time_of_day_leaves_boot_time_alone() -> None:
    by_hand_clock = ManualClock()
    on_a_line = SimulatedClock(lambda: 5.0, drift=0.0, boot=0.0)
    for clock, set_back in (
        (by_hand_clock, lambda: by_hand_clock.set_wall(1.0)),
        (on_a_line, lambda: setattr(on_a_line, "wall_offset", -4.0)),
    ):
        before = clock.boot()
        set_back()
        assert (clock.wall(), clock.boot()) == (1.0, before)
