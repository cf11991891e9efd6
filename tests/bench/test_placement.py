"""Placement is close to the best that there can be, and better than what anybody could write in a line."""

from collections.abc import Sequence
from statistics import fmean

import pytest

from tests.bench.placement.__main__ import POLICIES, Comparison, compare
from tests.bench.placement.mixes import LAPTOP_RATE, MIXES, Computer, Job, bound_s
from tests.bench.placement.policies import Auto, Strongest
from tests.bench.placement.world import World

WORST = 1.5
"""Times the bound, which no placement can reach: it cuts jobs into pieces, and starts no worker."""


@pytest.fixture(scope="module")
def found() -> list[Comparison]:
    at_once = [compare(devices, mix, seed=1, at_once=True) for devices in (2, 3) for mix in MIXES]
    return at_once + [compare(2, mix, seed=2, at_once=False) for mix in MIXES]


def mean(found: Sequence[Comparison], policy: str) -> float:
    return fmean(each.ratio(policy) for each in found)


def test_it_is_never_much_worse_than_the_best_that_there_can_be(found: list[Comparison]) -> None:
    worst = max(found, key=lambda each: each.ratio("auto"))
    assert worst.ratio("auto") <= WORST, worst


@pytest.mark.parametrize("other", [name for name in POLICIES if name != "auto"])
def test_it_is_done_sooner_on_average_than_simple_ways_and_lets_jobs_wait_less(
    found: list[Comparison], other: str
) -> None:
    assert mean(found, "auto") < mean(found, other)
    waits = {name: fmean(each.outcomes[name].mean_wait_s for each in found) for name in ("auto", other)}
    assert waits["auto"] < waits[other]


def test_nothing_is_done_sooner_than_the_bound_says(found: list[Comparison]) -> None:
    # Attempts take some percent more or less than they should; on average over hundreds of them that is nothing.
    assert all(each.ratio(policy) > 0.97 for each in found for policy in POLICIES)


def test_the_bound_of_a_plain_case_is_what_one_would_say() -> None:
    laptop, box = Computer("laptop", 1, 1.0, {"cpu": LAPTOP_RATE}), Computer("box", 3, 2.0, {"cpu": 3 * LAPTOP_RATE})
    optimizations = [Job(n, "lineups", 4 * LAPTOP_RATE, 4.0, 0.0) for n in range(10)]
    assert bound_s([laptop, box], optimizations) == pytest.approx(10.0)
    commands = [Job(n, "command", None, 7.0, 0.0) for n in range(10)]
    assert bound_s([laptop, box], commands) == pytest.approx(10.0)
    sleeps = [Job(n, "echo", 4.0, 4.0, 0.0) for n in range(10)]
    assert bound_s([laptop, box], sleeps) == pytest.approx(10.0)
    late = Job(99, "echo", 4.0, 4.0, 100.0)
    assert bound_s([laptop, box], [*sleeps, late]) == pytest.approx(104.0)


def test_a_simulated_job_takes_its_time_and_waits_for_the_one_before() -> None:
    laptop = Computer("laptop", 1, 1.0, {"cpu": LAPTOP_RATE})
    work = [Job(n, "echo", 10.0, 10.0, 0.0) for n in range(3)]
    for policy in (Auto(), Strongest()):
        outcome = World([laptop], work, policy, seed=1).run()
        assert outcome.makespan_s == pytest.approx(30.0, rel=0.3)
        assert outcome.mean_wait_s == pytest.approx(10.0, rel=0.3)
