"""The monitor objects to what must not be, and to nothing else."""

import pytest

from tests.simulation.monitor import KILL_BOUND_S, Monitor


class Watch:
    """A monitor and its clock."""

    def __init__(self, *, deterministic: bool = False, retry_safe: bool = True) -> None:
        self.now = 0.0
        self.monitor = Monitor(lambda: self.now)
        for one, other in (("laptop", "pc"), ("pc", "laptop")):
            self.monitor.paired(one, other, ["pure"])
        self.monitor.queued("laptop", "job", "pure", deterministic=deterministic, retry_safe=retry_safe)
        self.monitor.offered("job", 1, "pc")

    @property
    def broken(self) -> str | None:
        return None if self.monitor.violation is None else self.monitor.violation.invariant


def test_a_plain_life_breaks_nothing() -> None:
    watch = Watch()
    monitor = watch.monitor
    monitor.acknowledged("laptop", "job")
    monitor.session_opened("pc", "laptop", 1)
    monitor.renewed("pc", "laptop", [("job", 1)])
    monitor.starting("pc", ("laptop", "job", 1))
    monitor.began("pc", ("laptop", "job", 1))
    monitor.attempt_changed("job", 1, "running", "started")
    monitor.gone("pc", ("laptop", "job", 1), "Succeeded")
    monitor.attempt_changed("job", 1, "succeeded", "completed")
    monitor.job_changed("job", "completed")
    monitor.at_rest("job", "completed", 1)
    monitor.all_at_rest({"job"})
    assert watch.monitor.violation is None


def test_a_job_that_is_acknowledged_and_not_stored_is_lost() -> None:
    watch = Watch()
    watch.monitor.acknowledged("laptop", "another")
    assert watch.broken == "I1"


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_late_success_is_for_deterministic_jobs(deterministic: bool) -> None:
    watch = Watch(deterministic=deterministic)
    watch.monitor.attempt_changed("job", 1, "lost", "gone")
    watch.monitor.attempt_changed("job", 1, "succeeded", "late")
    assert watch.broken == (None if deterministic else "I4")


def test_a_second_result_breaks_the_promise_of_one() -> None:
    watch = Watch(deterministic=True)
    watch.monitor.attempt_changed("job", 1, "lost", "gone")
    watch.monitor.offered("job", 2, "box")
    watch.monitor.attempt_changed("job", 2, "succeeded", "completed")
    watch.monitor.attempt_changed("job", 1, "succeeded", "late")
    assert watch.broken == "I3"


def test_an_end_state_never_changes() -> None:
    watch = Watch()
    watch.monitor.job_changed("job", "cancelled")
    watch.monitor.job_changed("job", "completed")
    assert watch.broken in {"I2", "I3"}


def test_two_live_attempts_are_for_deterministic_jobs() -> None:
    watch = Watch()
    watch.monitor.began("pc", ("laptop", "job", 1))
    watch.monitor.attempt_changed("job", 1, "lost", "its worker was killed")
    watch.monitor.offered("job", 2, "box")
    watch.monitor.began("box", ("laptop", "job", 2))
    assert watch.broken == "I8"


@pytest.mark.parametrize("retry_safe", [True, False])
def test_an_attempt_begins_before_it_is_on_disk_where_it_may_run_again(retry_safe: bool) -> None:
    watch = Watch(retry_safe=retry_safe)
    watch.monitor.attempt_changed("job", 1, "declined", "not now")
    watch.monitor.began("laptop", ("laptop", "job", 2))
    assert watch.broken == (None if retry_safe else "fence")


def test_an_attempt_that_began_early_is_given_to_nobody_else() -> None:
    watch = Watch()
    watch.monitor.attempt_changed("job", 1, "declined", "not now")
    watch.monitor.began("laptop", ("laptop", "job", 2))
    watch.monitor.offered("job", 2, "pc")
    assert watch.broken == "fence"


def test_an_attempt_that_began_early_comes_to_disk() -> None:
    watch = Watch()
    watch.monitor.attempt_changed("job", 1, "declined", "not now")
    watch.monitor.began("laptop", ("laptop", "job", 2))
    watch.now = KILL_BOUND_S + 1.0
    watch.monitor.check_orphans()
    assert watch.broken == "fence"


def test_only_the_origin_begins_early_and_only_when_nothing_is_open() -> None:
    watch = Watch()
    watch.monitor.began("laptop", ("laptop", "job", 2))
    assert watch.broken == "fence"


def test_what_has_effects_runs_once_unless_it_failed_by_its_own_doing() -> None:
    for state, broken in (("failed", None), ("lost", "I8")):
        watch = Watch(retry_safe=False)
        watch.monitor.began("pc", ("laptop", "job", 1))
        watch.monitor.gone("pc", ("laptop", "job", 1), "Failed")
        watch.monitor.attempt_changed("job", 1, state, "it ended")
        watch.monitor.offered("job", 2, "box")
        watch.monitor.began("box", ("laptop", "job", 2))
        assert watch.broken == broken


def test_a_start_needs_a_lease_of_the_open_session() -> None:
    watch = Watch()
    watch.monitor.session_opened("pc", "laptop", 1)
    watch.monitor.renewed("pc", "laptop", [("job", 1)])
    watch.monitor.session_closed("pc", "laptop")
    watch.monitor.session_opened("pc", "laptop", 2)
    watch.monitor.starting("pc", ("laptop", "job", 1))
    assert watch.broken == "lease"


def test_a_worker_outlives_its_attempt_only_while_nobody_can_say_so() -> None:
    watch = Watch()
    watch.monitor.began("pc", ("laptop", "job", 1))
    watch.monitor.attempt_changed("job", 1, "cancelled", "by its user")
    watch.now = 100.0
    watch.monitor.check_orphans()
    assert watch.broken is None
    watch.monitor.in_touch("laptop", "pc", can_talk=True)
    watch.now += KILL_BOUND_S + 1.0
    watch.monitor.check_orphans()
    assert watch.broken == "I5"


def test_messages_are_sent_when_stored_and_applied_once_in_order() -> None:
    watch = Watch()
    watch.monitor.streams.numbered("laptop", "pc", "s", 2)
    watch.monitor.streams.sent("laptop", "pc", 2)
    watch.monitor.streams.applied("pc", "laptop", "s", 1, "Offer", "job")
    watch.monitor.streams.forgotten("laptop", "pc", "s", 1)
    assert watch.broken is None
    watch.monitor.streams.forgotten("laptop", "pc", "s", 2)
    assert watch.broken == "delivery"


@pytest.mark.parametrize(("seq", "what"), [(1, "Cancel"), (3, "Cancel"), (2, "Offer")])
def test_a_message_twice_or_out_of_order_is_seen(seq: int, what: str) -> None:
    watch = Watch()
    watch.monitor.streams.applied("pc", "laptop", "s", 1, "Offer", "job")
    watch.monitor.streams.applied("pc", "laptop", "s", seq, what, "job")
    assert watch.broken == "delivery"


def test_a_message_that_is_not_on_disk_must_not_be_sent() -> None:
    watch = Watch()
    watch.monitor.streams.numbered("laptop", "pc", "s", 1)
    watch.monitor.streams.sent("laptop", "pc", 2)
    assert watch.broken == "I7"
