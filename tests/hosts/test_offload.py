"""Jobs travel between real hosts that are killed and unplugged: nothing is lost, and a result is applied once."""

import itertools
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from meshd.kinds import lineups
from meshd_protocol.limits import HEARTBEAT_S, SESSION_GRACE_S
from meshd_protocol.localapi import JobView
from tests.support.hosts import (
    ORPHANS_S,
    Daemon,
    Lan,
    Scenario,
    measured,
    pair,
    played_side_by_side,
    start,
    told,
    until,
)

pytestmark = pytest.mark.hosts

LONG_S = 10.0
"""What a job takes that is worth sending away, and worth saving."""

DEAD_S = 7.5
"""A peer that says nothing is known to be away after so long."""

STOP_S = 2.0
"""In which an attempt that nobody wants any more is gone."""

JAX_S = 90.0
"""For a worker that starts, compiles and optimizes, on a machine with other things to do."""

SLACK_S = 3.0
"""For a machine that has other things to do, such as running the job twice."""


@pytest.fixture
def pair_of(lan: Lan) -> tuple[Daemon, Daemon]:
    """Return two paired devices, the laptop and the pc."""
    return paired(lan)


def paired(lan: Lan) -> tuple[Daemon, Daemon]:
    laptop, pc = lan.start("laptop", "pc", MESHD_SLOTS="2")
    pair(pc, laptop)
    return laptop, pc


def tries(view: JobView) -> list[tuple[str, str]]:
    return [(attempt.device, attempt.state) for attempt in view.attempts]


def states(view: JobView) -> list[str]:
    """Return the states of the job itself that its story tells, without what its attempts went through."""
    return [line.state for line in view.story or () if line.attempt is None]


def is_hello(view: JobView) -> bool:
    return bytes(view.result or b"") == b'{"text":"hello"}'


# Where jobs run


def test_a_job_runs_on_the_device_that_was_named_and_its_result_comes_home(
    lan: Lan, pair_of: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = pair_of
    view = laptop.ended(laptop.echo("pc"))
    assert (view.state, tries(view), view.device) == ("completed", [("pc", "succeeded")], "pc")
    assert is_hello(view)
    back = pc.ended(pc.echo("laptop"))
    assert tries(back) == [("laptop", "succeeded")]
    lan.settle(laptop, pc)


def test_auto_takes_the_peer_that_declares_to_be_faster_and_stays_here_for_what_is_short(lan: Lan) -> None:
    laptop = lan.add("laptop", settings={"MESHD_RATES": "echo=1"})
    pc = lan.add("pc", settings={"MESHD_RATES": "echo=20"})
    start(laptop, pc)
    pair(pc, laptop)
    until(lambda: laptop.client.peers()[0].rates)
    long, short = laptop.echo("auto", sleep_s=1.2), laptop.echo("auto", sleep_s=0.2)
    assert tries(laptop.ended(short)) == [("laptop", "succeeded")]
    view = laptop.ended(long)
    assert tries(view) == [("pc", "succeeded")]
    assert "earliest finish on pc" in told(view)
    assert tries(pc.ended(pc.echo("auto", sleep_s=1.2))) == [("pc", "succeeded")]
    lan.settle(laptop, pc)


# The executor fails


def test_a_job_goes_on_at_once_when_its_executor_is_back_and_knows_nothing_of_it(
    lan: Lan, pair_of: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = pair_of
    job = laptop.echo("pc", sleep_s=1.5)
    laptop.running(job)
    pc.kill()
    pc.start()
    with measured("the job went on, after its executor was back"):
        laptop.running(job, attempt=2, within_s=SESSION_GRACE_S)
    view = laptop.ended(job)
    assert tries(view) == [("pc", "lost"), ("laptop", "succeeded")], told(view)
    lan.settle(laptop, pc)


def test_an_offer_of_which_both_sides_know_nothing_after_a_power_cut_is_made_anew_at_once(
    lan: Lan, pair_of: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = pair_of
    # The pc has the offer, and cannot tell so; when it is back, it no longer holds it.
    pc.host.mute(laptop.host)
    job = laptop.echo("pc")
    until(lambda: pc.records().held == 1, what="the offer has arrived")
    laptop.kill()
    pc.kill()
    pc.host.unmute(laptop.host)
    start(laptop, pc)
    until(lambda: laptop.is_online(pc))
    with measured("the job was done, after both were back"):
        view = laptop.ended(job, within_s=HEARTBEAT_S + SLACK_S)
    assert is_hello(view)
    assert tries(view)[0] in {("pc", "lost"), ("pc", "declined")}, told(view)
    lan.settle(laptop, pc)


# The origin fails


def test_an_executor_finishes_for_an_origin_that_is_away_and_delivers_on_its_return(
    lan: Lan, pair_of: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = pair_of
    job = laptop.echo("pc", sleep_s=1)
    laptop.running(job)
    laptop.kill()
    until(lambda: pc.records().outbox == 1, what="the result waits for its origin")
    # It is on disk: the executor may die, too.
    pc.kill()
    pc.start()
    laptop.start()
    view = laptop.ended(job)
    assert is_hello(view)
    assert tries(view) == [("pc", "succeeded")], told(view)
    lan.settle(laptop, pc)


def test_a_job_that_was_accepted_survives_the_crash_of_its_origin_in_the_next_moment(
    lan: Lan, pair_of: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = pair_of
    pc.kill()
    job = laptop.submit("echo", "pc", {"text": "hello"}, key="once")
    laptop.kill()
    laptop.start()
    assert laptop.client.job(job).state == "queued"
    assert laptop.submit("echo", "pc", {"text": "hello"}, key="once") == job
    pc.start()
    assert tries(laptop.ended(job)) == [("pc", "succeeded")]
    lan.settle(laptop, pc)


# The network fails


def test_a_result_that_was_finished_while_the_cable_was_out_is_applied_once(
    lan: Lan, pair_of: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = pair_of
    job = laptop.echo("pc", sleep_s=1.5)
    laptop.running(job)
    pc.host.unplug()
    until(lambda: pc.records().outbox == 1, what="the result waits for the cable")
    pc.host.plug()
    view = laptop.ended(job)
    assert is_hello(view)
    assert tries(view) == [("pc", "succeeded")], told(view)
    lan.settle(laptop, pc)


def test_a_job_that_is_cancelled_while_its_executor_is_out_of_reach_is_stopped_there_later(
    lan: Lan, pair_of: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = pair_of
    job = laptop.echo("pc", sleep_s=60)
    laptop.running(job)
    pc.host.unplug()
    view = laptop.client.cancel(job)
    assert (view.state, tries(view)) == ("cancelled", [("pc", "cancelled")])
    assert pc.client.status().busy == 1
    pc.host.plug()
    took = until(lambda: pc.client.status().busy == 0)
    print(f"stopped {took:.2f} s after the cable was back")
    lan.settle(laptop, pc)
    assert laptop.records().completions == {}


# Their users change their minds


def test_a_job_that_is_cancelled_is_stopped_on_the_other_host_within_two_seconds(
    lan: Lan, pair_of: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = pair_of
    job = laptop.echo("pc", sleep_s=60)
    laptop.running(job)
    assert laptop.client.cancel(job).state == "cancelled"
    took = until(lambda: pc.client.status().busy == 0, within_s=STOP_S)
    print(f"stopped there after {took:.2f} s")
    lan.settle(laptop, pc)


def test_unpairing_during_a_job_stops_it_there_and_brings_it_home(lan: Lan, pair_of: tuple[Daemon, Daemon]) -> None:
    laptop, pc = pair_of
    for who, whom in ((laptop, pc), (pc, laptop)):
        job = laptop.echo("pc", sleep_s=2)
        laptop.running(job)
        who.client.unpair(whom.name)
        took = until(lambda: pc.client.status().busy == 0, within_s=STOP_S)
        print(f"stopped there {took:.2f} s after {who.name} unpaired")
        view = laptop.ended(job)
        assert [state for _, state in tries(view)] == ["lost", "succeeded"], told(view)
        assert view.device == "laptop"
        pair(pc, laptop)
    lan.settle(laptop, pc)


# All at once


def test_a_batch_of_jobs_is_done_once_each_while_both_sides_are_killed_and_the_cable_is_pulled(
    lan: Lan, pair_of: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = pair_of
    jobs = [laptop.submit("echo", "pc", {"text": "hello", "sleep_s": 0.1}, key=f"job {n}") for n in range(60)]

    def done() -> int:
        return laptop.client.status().counts.completed

    def crash(daemon: Daemon) -> None:
        daemon.kill()
        daemon.start()

    def wiggle() -> None:
        pc.host.unplug()
        pc.host.plug()

    troubles = itertools.cycle([lambda: crash(pc), wiggle, lambda: crash(laptop)])
    for reached in (5, 15, 25, 35, 45):
        until(lambda: done() >= reached, within_s=30, what=f"{reached} jobs are done")  # noqa: B023
        next(troubles)()
    until(lambda: done() == len(jobs), within_s=30, what="all jobs are done")
    assert all(is_hello(laptop.client.job(job)) for job in jobs)
    lan.settle(laptop, pc)
    assert laptop.records().completions == dict.fromkeys(jobs, 1)


# The real thing


def test_an_optimization_has_the_same_lineups_wherever_it_runs_and_survives_the_loss_of_its_executor(lan: Lan) -> None:
    pytest.importorskip("jax")
    laptop = lan.add("laptop", settings={"MESHD_RATES": "lineups=5e9"})
    pc = lan.add("pc", settings={"MESHD_RATES": "lineups=5e11"})
    start(laptop, pc)
    pair(pc, laptop)
    slate = (Path(lineups.__file__).parent / "sample_slate.csv").read_text("utf-8")
    spec = {"slate_csv": slate, "lineup_count": 5, "scenarios": 2_000, "objective": "p90", "seed": 3}
    there = laptop.ended(laptop.submit("lineups", "auto", spec), within_s=JAX_S)
    assert tries(there) == [("pc", "succeeded")], told(there)
    # By name: the first job began cold, and by what it took nobody would choose pc on a busy machine.
    lost = laptop.submit("lineups", "pc", {**spec, "scenarios": 20_000})
    laptop.running(lost)
    pc.kill()
    here = laptop.ended(laptop.submit("lineups", "local", spec), within_s=JAX_S)
    assert portfolio(here) == portfolio(there)
    moved = laptop.ended(lost, within_s=JAX_S)
    assert tries(moved) == [("pc", "lost"), ("laptop", "succeeded")], told(moved)
    pc.start()
    lan.settle(laptop, pc)


def portfolio(view: JobView) -> object:
    """Return the lineups of a result, without what it says about the machine that computed them."""
    return msgspec.json.decode(view.result or b"")["lineups"]


# What takes long


def a_job_continues_here_when_the_daemon_that_ran_it_is_killed(lan: Lan) -> None:
    laptop, pc = paired(lan)
    job = laptop.echo("pc", sleep_s=LONG_S)
    laptop.running(job)
    pc.kill()
    took = until(lambda: not pc.host.processes(), within_s=ORPHANS_S, what="the worker died with its daemon")
    print(f"the worker was gone after {took:.2f} s")
    with measured("the job went on here, after its executor was killed"):
        laptop.running(job, attempt=2, within_s=SESSION_GRACE_S + SLACK_S)
    assert "the connection to pc is lost" in told(laptop.client.job(job))
    pc.start()
    view = laptop.ended(job, within_s=LONG_S + SLACK_S)
    assert is_hello(view)
    assert tries(view) == [("pc", "lost"), ("laptop", "succeeded")], told(view)
    assert states(view) == ["queued", "retrying", "completed"]
    lan.settle(laptop, pc)
    assert laptop.records().completions == {job: 1}


def a_job_continues_here_when_the_worker_that_ran_it_is_killed(lan: Lan) -> None:
    laptop, pc = paired(lan)
    job = laptop.echo("pc", sleep_s=LONG_S)
    laptop.running(job)
    pc.kill_workers()
    with measured("the job went on here, after its worker was killed"):
        laptop.running(job, attempt=2, within_s=SLACK_S)
    assert laptop.ended(laptop.echo("pc")).state == "completed", "the pc has a new worker"
    view = laptop.ended(job, within_s=LONG_S + SLACK_S)
    assert is_hello(view)
    assert tries(view) == [("pc", "lost"), ("laptop", "succeeded")], told(view)
    lan.settle(laptop, pc)


def a_result_is_applied_once_when_the_origin_is_killed_and_restarted_during_the_job(lan: Lan) -> None:
    laptop, pc = paired(lan)
    job = laptop.echo("pc", sleep_s=LONG_S)
    laptop.running(job)
    laptop.kill()
    laptop.start()
    view = laptop.ended(job, within_s=LONG_S + SLACK_S)
    assert is_hello(view)
    assert tries(view) == [("pc", "succeeded")], told(view)
    lan.settle(laptop, pc)
    assert laptop.records().completions == {job: 1}


def a_peer_finishes_while_the_origin_sleeps_and_the_result_is_there_when_it_wakes(lan: Lan) -> None:
    laptop, pc = paired(lan)
    job = laptop.echo("pc", sleep_s=LONG_S)
    laptop.running(job)
    laptop.suspend()
    until(lambda: not pc.is_online(laptop), within_s=DEAD_S + SLACK_S)
    until(lambda: pc.records().outbox == 1, within_s=LONG_S, what="the result waits for its origin")
    laptop.resume()
    with measured("the result was there, after waking"):
        view = laptop.ended(job)
    assert is_hello(view)
    assert tries(view) == [("pc", "succeeded")], told(view)
    lan.settle(laptop, pc)
    assert laptop.records().completions == {job: 1}


def jobs_move_home_when_the_cable_stays_out_and_late_results_are_taken_once_or_dropped(lan: Lan) -> None:
    laptop, pc = paired(lan)
    short, long = laptop.echo("pc", sleep_s=3), laptop.echo("pc", sleep_s=16)
    laptop.running(short)
    laptop.running(long)
    pc.host.unplug()
    with measured("the jobs went on here, after the cable was out"):
        laptop.running(long, attempt=2, within_s=DEAD_S + SESSION_GRACE_S + SLACK_S)
    # The short one is done a second time before anybody hears of the first.
    dropped = laptop.ended(short, within_s=3 + SLACK_S)
    assert tries(dropped) == [("pc", "lost"), ("laptop", "succeeded")], told(dropped)
    # The long one is done there, and only half done here, when the cable is back.
    until(lambda: pc.records().outbox == 2, what="both results wait for the cable")
    pc.host.plug()
    taken = laptop.ended(long)
    assert tries(taken) == [("pc", "succeeded"), ("laptop", "superseded")], told(taken)
    assert is_hello(taken)
    until(lambda: laptop.client.status().busy == 0, within_s=STOP_S, what="what runs here in vain is stopped")
    lan.settle(laptop, pc)
    assert laptop.records().completions == {short: 1, long: 1}
    assert laptop.records().attempts[short] == ["lost", "succeeded"]


WHAT_TAKES_LONG = (
    a_job_continues_here_when_the_daemon_that_ran_it_is_killed,
    a_job_continues_here_when_the_worker_that_ran_it_is_killed,
    a_result_is_applied_once_when_the_origin_is_killed_and_restarted_during_the_job,
    a_peer_finishes_while_the_origin_sleeps_and_the_result_is_there_when_it_wakes,
    jobs_move_home_when_the_cable_stays_out_and_late_results_are_taken_once_or_dropped,
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mapping[Scenario, Future[None]]]:
    """Play what takes long side by side: it waits more than it works."""
    with played_side_by_side(tmp_path_factory.mktemp("long"), *WHAT_TAKES_LONG) as futures:
        yield futures


@pytest.mark.slow
@pytest.mark.parametrize("scenario", WHAT_TAKES_LONG, ids=lambda scenario: scenario.__name__)
def test_what_takes_long(scenario: Scenario, played: Mapping[Scenario, Future[None]]) -> None:
    played[scenario].result()
