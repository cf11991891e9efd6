"""The monitor objects to what moves without a pairing or a permission, and to leases that do not outlast a sleep."""

import pytest

from meshd_protocol.limits import LEASE_S, SESSION_GRACE_S
from tests.simulation.monitor import SLEEP_S, Monitor
from tests.simulation.trust_monitor import CUT_BOUND_S

ATTEMPT = ("laptop", "job", 1)


class Watch:
    """A monitor and its clock: the laptop's job runs on the PC."""

    def __init__(self, *, deterministic: bool = False) -> None:
        self.now = 0.0
        self.monitor = monitor = Monitor(lambda: self.now)
        monitor.paired("laptop", "pc", ["safe"])
        monitor.paired("pc", "laptop", ["safe"])
        monitor.session_opened("laptop", "pc", 1)
        monitor.queued("laptop", "job", "safe", deterministic=deterministic, retry_safe=True)
        monitor.offered("job", 1, "pc")
        monitor.began("pc", ATTEMPT)

    def lose_and_forbid(self) -> None:
        """The PC loses the attempt, is offered another one, and no longer grants it."""
        self.monitor.gone("pc", ATTEMPT, "Lost")
        self.monitor.attempt_changed("job", 1, "lost", "its worker was killed")
        self.monitor.offered("job", 2, "pc")
        self.monitor.paired("pc", "laptop", [])

    @property
    def broken(self) -> str | None:
        return None if self.monitor.violation is None else self.monitor.violation.invariant


@pytest.mark.parametrize("how", ["unpaired", "not permitted"])
def test_a_worker_ends_soon_after_the_right_to_it(how: str) -> None:
    watch = Watch()
    if how == "unpaired":
        watch.monitor.unpaired("pc", "laptop")
    else:
        watch.monitor.paired("pc", "laptop", ["pure"])
    watch.monitor.check_orphans()
    assert watch.broken is None
    watch.now = CUT_BOUND_S + 0.1
    watch.monitor.check_orphans()
    assert watch.broken == "trust"


def test_a_worker_that_was_told_to_stop_offends_nobody() -> None:
    watch = Watch()
    watch.monitor.unpaired("pc", "laptop")
    watch.monitor.told_to_stop("pc", ATTEMPT)
    watch.now = CUT_BOUND_S + 0.1
    watch.monitor.check_orphans()
    assert watch.broken is None


def test_nothing_begins_without_a_permission() -> None:
    watch = Watch()
    watch.lose_and_forbid()
    watch.now = 0.1
    watch.monitor.began("pc", ("laptop", "job", 2))
    assert watch.broken == "trust"


def test_what_begins_in_the_moment_in_which_its_permission_goes_is_to_end_soon() -> None:
    watch = Watch()
    watch.lose_and_forbid()
    watch.monitor.began("pc", ("laptop", "job", 2))
    assert watch.broken is None
    watch.now = CUT_BOUND_S + 0.1
    watch.monitor.check_orphans()
    assert watch.broken == "trust"


def test_a_part_whose_units_have_all_come_has_succeeded_also_when_its_device_is_unpaired_by_then() -> None:
    watch = Watch(deterministic=True)
    watch.monitor.offered("job", 2, "box", is_part=True)
    watch.monitor.attempt_changed("job", 2, "succeeded", "its units are computed", is_paired=False)
    assert watch.broken is None
    watch.monitor.attempt_changed("job", 1, "succeeded", "it ended", is_paired=False)
    assert watch.broken == "trust"


@pytest.mark.parametrize(("state", "broken"), [("succeeded", "trust"), ("running", "trust"), ("lost", None)])
def test_what_an_unpaired_device_reports_changes_nothing(state: str, broken: str | None) -> None:
    watch = Watch()
    watch.monitor.unpaired("laptop", "pc")
    watch.monitor.attempt_changed("job", 1, state, "pc is no longer paired with this device", is_paired=False)
    assert watch.broken == broken


def test_nothing_is_applied_without_a_pairing() -> None:
    watch = Watch()
    watch.monitor.streams.applied("laptop", "box", "s", 1, "Offer", "job")
    assert watch.broken == "trust"


def test_no_session_is_taken_without_a_pairing() -> None:
    watch = Watch()
    watch.monitor.session_opened("laptop", "box", 2)
    assert watch.broken == "trust"


@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_stream_does_not_outlive_its_pairing(direction: str) -> None:
    watch = Watch()
    streams = watch.monitor.streams
    streams.numbered("laptop", "pc", "to pc", 1)
    streams.applied("laptop", "pc", "from pc", 1, "Finished", "job")
    watch.monitor.unpaired("laptop", "pc")
    watch.monitor.paired("laptop", "pc", ["safe"])
    streams.numbered("laptop", "pc", "another to pc", 1)
    streams.applied("laptop", "pc", "another from pc", 1, "Finished", "job")
    assert watch.broken is None
    if direction == "out":
        streams.numbered("laptop", "pc", "to pc", 2)
    else:
        streams.applied("laptop", "pc", "from pc", 2, "Finished", "job")
    assert watch.broken == "trust"


def test_a_user_is_told_that_a_device_is_unpaired_once_that_is_on_disk() -> None:
    watch = Watch()
    watch.monitor.unpaired("laptop", "pc")
    watch.monitor.paired("laptop", "pc", ["safe"])
    watch.monitor.trust.acknowledged("laptop", "pc", asked_after=0)
    assert watch.broken is None
    watch.monitor.trust.acknowledged("laptop", "pc", asked_after=1)
    assert watch.broken == "trust"


def sleep(watch: Watch, seconds: float) -> None:
    watch.monitor.sleeping("laptop", watch.now + seconds)
    watch.now += seconds
    watch.monitor.back("laptop", slept_s=seconds)


@pytest.mark.parametrize(
    ("slept_s", "waited_s", "broken"),
    [
        (60.0, 1.0, "re-arm"),
        (60.0, LEASE_S, None),
        (SLEEP_S - 1.0, 1.0, None),
    ],
)
def test_leases_begin_anew_after_sleep(slept_s: float, waited_s: float, broken: str | None) -> None:
    watch = Watch()
    watch.now = LEASE_S
    watch.monitor.gone("pc", ATTEMPT, "Lost")
    sleep(watch, slept_s)
    watch.now += waited_s
    watch.monitor.attempt_changed("job", 1, "lost", "the connection to pc is lost")
    assert watch.broken == broken


@pytest.mark.parametrize("heard", [True, False])
def test_a_session_found_dead_after_sleep_says_nothing_about_the_peer(heard: bool) -> None:
    watch = Watch(deterministic=True)
    sleep(watch, 60.0)
    if heard:
        watch.monitor.heard("laptop", "pc")
    watch.monitor.session_closed("laptop", "pc")
    watch.now += SESSION_GRACE_S
    watch.monitor.attempt_changed("job", 1, "lost", "the connection to pc is lost")
    assert watch.broken == (None if heard else "re-arm")


def test_sleep_is_not_held_against_a_slow_attempt() -> None:
    watch = Watch()
    sleep(watch, 60.0)
    watch.monitor.attempt_changed("job", 1, "superseded", "pc has shown no progress for 10 s")
    assert watch.broken == "re-arm"
