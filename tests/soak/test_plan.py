"""A plan: enough of everything, one trouble of a machine at a time, and the same from the same seed."""

import itertools
from collections import Counter

import pytest

from tests.soak.plan import CLASS_OF, NEEDS_NETWORK, Planned, draw, minimum, weathers

MACHINES = ("laptop", "pc", "box")


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize("chaos_s", [20.0, 40.0, 160.0, 3600.0])
def test_every_plan_has_more_than_the_least_of_everything_within_its_time(chaos_s: float, network: bool) -> None:
    for seed in range(15):
        planned = draw(seed, chaos_s, MACHINES, network=network)
        counts = Counter(CLASS_OF[each.kind] for each in planned)

        assert all(counts[kind] >= least for kind, least in minimum(chaos_s, network=network).items())
        assert all(each.at_s >= 0 and each.at_s + each.lasts_s <= chaos_s for each in planned)
        assert network or not counts.keys() & NEEDS_NETWORK


def test_the_least_is_that_of_a_run_of_four_minutes() -> None:
    assert minimum(160.0, network=True) == {
        "kill": 20, "stop": 8, "fill disk": 3, "cut": 8, "cut one way": 4, "flap": 4
    }  # fmt: skip
    assert min(minimum(20.0, network=True).values()) == 1


def test_a_machine_has_one_trouble_at_a_time_and_so_has_the_network() -> None:
    for seed in range(50):
        planned = draw(seed, 160.0, MACHINES, network=True)
        between = [each for each in planned if CLASS_OF[each.kind] in NEEDS_NETWORK]
        for troubles in (
            between,
            *([each for each in planned if each.machine == name and each not in between] for name in MACHINES),
        ):
            assert all(ends(one) <= other.at_s for one, other in itertools.pairwise(troubles))


def ends(planned: Planned) -> float:
    return planned.at_s + planned.lasts_s


def test_the_same_seed_gives_the_same_plan_and_another_another() -> None:
    assert draw(1, 160.0, MACHINES, network=True) == draw(1, 160.0, MACHINES, network=True)
    assert draw(1, 160.0, MACHINES, network=True) != draw(2, 160.0, MACHINES, network=True)
    assert weathers(1, 160.0) == weathers(1, 160.0)
    assert len(weathers(1, 160.0)) == 16
