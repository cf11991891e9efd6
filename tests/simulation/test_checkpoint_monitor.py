"""The monitor of checkpoints objects to units that count twice, to what shrinks, and to blobs that go too early."""

import pytest

from tests.simulation.monitor import Monitor


class Watch:
    """A monitor that knows one divisible job, whose first attempt runs on the PC."""

    def __init__(self) -> None:
        self.monitor = Monitor(lambda: 0.0)
        self.checkpoints = self.monitor.checkpoints
        self.checkpoints.planned("laptop", "job", "right")
        self.checkpoints.offered("job", 1, "pc")

    def covered(self, attempt: int, start: int, stop: int, *, phase: int = 0, is_open: bool = True) -> None:
        span = (phase, start, stop)
        self.checkpoints.covered("job", attempt, 20, span, f"blob {attempt} {start} {stop}", is_open=is_open)

    @property
    def broken(self) -> str | None:
        return None if self.monitor.violation is None else self.monitor.violation.invariant


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_a_checkpoint_that_grows_and_is_gone_on_from_breaks_nothing(watch: Watch) -> None:
    watch.covered(1, 0, 5)
    watch.covered(1, 0, 9)
    watch.covered(1, 0, 3, phase=1)
    watch.checkpoints.offered("job", 2, "laptop")
    watch.checkpoints.began("laptop", "job", 2, [(0, 0, 9), (1, 0, 3)])
    watch.covered(2, 9, 15)
    watch.checkpoints.dropped("laptop", "blob 1 0 5")
    watch.checkpoints.result("job", "right")
    watch.checkpoints.ended("job")
    watch.checkpoints.uncovered("job")
    watch.checkpoints.dropped("laptop", "blob 1 0 9")
    assert watch.broken is None
    assert watch.monitor.sometimes == {"an attempt went on from a checkpoint"}


@pytest.mark.parametrize(("attempt", "start", "stop"), [(2, 4, 6), (2, 0, 5), (1, 0, 4), (1, 2, 3), (1, 0, 5)])
def test_a_unit_counts_once_and_for_good(watch: Watch, attempt: int, start: int, stop: int) -> None:
    watch.covered(1, 0, 5)
    watch.covered(attempt, start, stop)
    assert watch.broken == "coverage"


def test_what_an_attempt_computes_counts_only_while_it_is_open(watch: Watch) -> None:
    watch.covered(1, 0, 5, is_open=False)
    assert watch.broken == "coverage"


def test_nothing_counts_after_the_end(watch: Watch) -> None:
    watch.checkpoints.ended("job")
    watch.covered(1, 0, 5)
    assert watch.broken == "coverage"


def test_a_checkpoint_is_dropped_only_if_an_attempt_has_refused_it(watch: Watch) -> None:
    watch.covered(1, 0, 5)
    watch.checkpoints.refused("job")
    watch.checkpoints.uncovered("job")
    assert watch.broken is None
    watch.covered(1, 0, 5)
    watch.checkpoints.uncovered("job")
    assert watch.broken == "coverage"


def test_a_refused_checkpoint_is_not_handed_on(watch: Watch) -> None:
    watch.covered(1, 0, 5)
    watch.checkpoints.refused("job")
    watch.checkpoints.offered("job", 2, "pc")
    assert watch.broken == "coverage"


@pytest.mark.parametrize("rotten", [True, False])
def test_an_attempt_begins_with_the_whole_checkpoint_unless_it_has_rotted(watch: Watch, rotten: bool) -> None:
    watch.covered(1, 0, 5)
    watch.checkpoints.offered("job", 2, "pc")
    if rotten:
        watch.checkpoints.damaged("pc", "blob 1 0 5")
    watch.checkpoints.began("pc", "job", 2, [])
    assert watch.broken == (None if rotten else "coverage")


def test_a_blob_stays_as_long_as_a_checkpoint_refers_to_it(watch: Watch) -> None:
    watch.covered(1, 0, 5)
    watch.checkpoints.dropped("pc", "blob 1 0 5")
    assert watch.broken is None
    watch.checkpoints.dropped("laptop", "blob 1 0 5")
    assert watch.broken == "blobs"


def test_a_result_is_the_one_that_nothing_disturbs(watch: Watch) -> None:
    watch.checkpoints.result("job", "wrong")
    assert watch.broken == "coverage"


def test_a_checkpoint_that_an_attempts_device_could_not_read_may_be_dropped(watch: Watch) -> None:
    watch.covered(1, 0, 5)
    watch.checkpoints.offered("job", 2, "pc")
    watch.checkpoints.damaged("pc", "blob 1 0 5")
    watch.checkpoints.began("pc", "job", 2, [])
    watch.checkpoints.uncovered("job")
    assert watch.broken is None
    watch.covered(2, 0, 5)
    watch.checkpoints.uncovered("job")
    assert watch.broken == "coverage"
