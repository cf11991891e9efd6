"""Who takes over units, from whom and how many: so that all are done at once, and nothing that is not worth it."""

import pytest

from meshd.scheduling.snapshot import DeviceSnapshot
from meshd.scheduling.spread import MIN_GAIN_S, Participant, expected_s, idle, steal, steal_back
from meshd.scheduling.work import Work
from meshd_protocol.ids import AttemptNumber
from tests.scheduling.devices import BOX, LAPTOP, PC, a_device, mesh

WORK = Work("lineups", "auto", 20e9, may_fall_back=True)
WHOLE = AttemptNumber(1)


def whole(left_s: float | None) -> Participant:
    return Participant(WHOLE, LAPTOP, left_s)


def devices(**of_pc: object) -> list[DeviceSnapshot]:
    return [a_device(LAPTOP, "laptop", free=0), a_device(PC, "pc", **of_pc)]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("rate", "keep"), [(1e9, 0.5), (3e9, 0.25), (None, 0.5)])
def test_an_idle_device_takes_as_much_as_lets_both_be_done_at_once(rate: float | None, keep: float) -> None:
    chosen = steal(WORK, mesh(*devices(rate=rate)), [whole(20.0)])
    assert chosen is not None
    assert (chosen.victim, chosen.thief, chosen.keep) == (WHOLE, PC, pytest.approx(keep))


def test_a_worker_that_has_to_start_first_gets_so_much_less() -> None:
    chosen = steal(WORK, mesh(*devices(start_s=2.0)), [whole(5.0)])
    assert chosen is not None
    # 3.5 s here; there 2 s until it computes, and 1.5 s of work.
    assert chosen.keep == pytest.approx(0.7)
    assert steal(WORK, mesh(*devices(start_s=2.0)), [whole(2.4)]) is None


def test_under_half_a_second_of_work_is_left_where_it_is() -> None:
    assert steal(WORK, mesh(*devices()), [whole(1.9 * MIN_GAIN_S)]) is None
    assert steal(WORK, mesh(*devices()), [whole(2.1 * MIN_GAIN_S)]) is not None


@pytest.mark.parametrize("changes", [{"online": False}, {"paused": True}, {"permitted": False}, {"free": 0}])
def test_a_device_that_could_not_take_a_job_takes_no_part_of_one(changes: dict[str, object]) -> None:
    assert steal(WORK, mesh(*devices(**changes)), [whole(20.0)]) is None
    assert idle(WORK, mesh(*devices(**changes)), [whole(20.0)]) is None


def test_whoever_would_be_done_last_gives_and_the_fastest_that_is_idle_takes() -> None:
    several = mesh(*devices(free=0), a_device(BOX, "box", rate=2e9), a_device(BOX, "slow box", rate=1e8))
    part = Participant(AttemptNumber(2), PC, 30.0)
    chosen = steal(WORK, several, [whole(20.0), part])
    assert chosen is not None
    assert (chosen.victim, chosen.thief) == (part.attempt, BOX)


def test_who_computes_already_or_says_nothing_neither_takes_nor_gives() -> None:
    assert steal(WORK, mesh(*devices()), [whole(20.0), Participant(AttemptNumber(2), PC, 1.0)]) is None
    assert steal(WORK, mesh(*devices()), [whole(None)]) is None


def test_the_whole_attempt_takes_back_from_a_slow_part_whatever_its_worker_would_take_to_start() -> None:
    both = mesh(a_device(LAPTOP, "laptop", free=0, start_s=2.0), a_device(PC, "pc", free=0))
    chosen = steal_back(WORK, both, [Participant(AttemptNumber(2), PC, 4.0)], LAPTOP)
    assert chosen is not None
    assert (chosen.thief, chosen.keep) == (LAPTOP, pytest.approx(0.5))


def test_what_a_device_takes_for_all_of_it_follows_from_its_rate() -> None:
    assert expected_s(WORK, mesh(*devices()), LAPTOP) == pytest.approx(20.0)
    assert expected_s(WORK, mesh(*devices(rate=None)), PC) is None
