"""Jobs that wait are placed with each other in mind: no device idles while all queue for the fast one."""

import heapq

from hypothesis import given
from hypothesis import strategies as st

from meshd.scheduling.placement import AHEAD_S, Decision, Run, Wait, decide
from meshd.scheduling.planning import LOOKAHEAD, Coming, plan
from meshd.scheduling.queueing import UNKNOWN_S
from meshd.scheduling.snapshot import CPU, DeviceSnapshot, KindSnapshot, MeshSnapshot
from meshd.scheduling.work import Work
from meshd_protocol.ids import DeviceId
from tests.scheduling.devices import BOX, LAPTOP, PC, a_device, a_gpu_device, mesh, work


def started(decisions: list[Decision]) -> list[DeviceId]:
    return [decision.device for decision in decisions if isinstance(decision, Run)]


def test_one_job_is_placed_as_if_it_were_alone() -> None:
    devices = mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", rate=10e9))
    assert plan([work()], devices) == [decide(work(), devices)]


def test_a_slot_is_given_away_once() -> None:
    decisions = plan([work(placement="pc")] * 3, mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", free=2)))
    assert started(decisions) == [PC, PC]
    assert decisions[2] == Wait("waiting for a free slot on pc")


def test_those_who_would_have_to_queue_too_long_for_the_fast_device_start_on_a_slow_one() -> None:
    # 20 s here, 2 s there: the first goes there, the next ones wait for it, until one is as soon done here.
    devices = mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", rate=10e9))
    decisions = plan([work()] * 9, devices)
    assert started(decisions) == [PC, LAPTOP]
    assert isinstance(decisions[-1], Run)
    assert isinstance(decisions[-2], Wait)


def test_many_jobs_fill_every_device() -> None:
    peers = [a_device(DeviceId(f"{n:016d}"), f"peer{n}", rate=1e9 * n, free=2) for n in range(1, 6)]
    decisions = plan([work()] * 60, mesh(a_device(LAPTOP, "laptop"), *peers))
    assert len(started(decisions)) == 11


def test_kinds_that_use_the_same_slots_count_on_each_other() -> None:
    slots = KindSnapshot(1, 0.0, 1e9)
    devices = MeshSnapshot((DeviceSnapshot(LAPTOP, "laptop", True, True, {"lineups": slots, "echo": slots}),))
    decisions = plan([work(), work(kind="echo")], devices)
    assert started(decisions) == [LAPTOP]
    assert isinstance(decisions[1], Wait)


def test_a_kind_of_short_jobs_is_sent_ahead_though_other_kinds_are_not() -> None:
    kinds = {"command": KindSnapshot(1, 0.0, 1e9), "echo": KindSnapshot(5, 0.0, 1e9)}
    devices = MeshSnapshot((DeviceSnapshot(LAPTOP, "laptop", True, True, kinds),))
    assert started(plan([work(kind="echo")] * 6, devices)) == [LAPTOP] * 5


def test_a_gpu_and_the_processors_of_a_device_are_two_places() -> None:
    decisions = plan([work()] * 3, mesh(a_gpu_device(LAPTOP, "laptop", rate=2e9)))
    assert [decision.where.accelerator for decision in decisions if decision.where] == ["GPU A", "GPU A", CPU]
    assert started(decisions) == [LAPTOP, LAPTOP]


def test_what_has_lost_a_device_does_not_hold_up_equal_jobs() -> None:
    devices = mesh(a_device(LAPTOP, "laptop", free=0, wait_s=99.0), a_device(PC, "pc", rate=10e9))
    decisions = plan([work(avoid=(PC,)), work()], devices)
    assert isinstance(decisions[0], Wait)
    assert started(decisions) == [PC]
    decisions = plan([work(placement="pc", avoid=(PC,)), work(placement="pc")], devices)
    assert decisions[0] == Wait("waiting for pc")
    assert started(decisions) == [PC]


def test_jobs_of_unknown_length_fill_the_slots_and_the_rest_waits() -> None:
    devices = mesh(a_device(LAPTOP, "laptop", free=2), a_device(BOX, "box", free=3))
    decisions = plan([work(None)] * 8, devices)
    assert started(decisions) == [LAPTOP, LAPTOP, BOX, BOX, BOX]
    assert all(decision.why.startswith("every device that could run it is busy") for decision in decisions[5:])


def test_a_long_queue_is_not_looked_at_to_its_end() -> None:
    # Everybody waits for a device that is named, while others are free: no reason to think of each one anew.
    devices = mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", free=0, wait_s=1.0))
    decisions = plan([work(placement="pc")] * (10 * LOOKAHEAD), devices)
    assert len(decisions) == 10 * LOOKAHEAD
    assert decisions[-1] is decisions[LOOKAHEAD]


WORKS = st.lists(
    st.builds(
        work,
        st.none() | st.floats(1e8, 1e12),
        st.sampled_from(["auto", "auto", "local", "pc", "gpu"]),
        kind=st.sampled_from(["lineups", "echo"]),
    ),
    max_size=30,
)


@given(WORKS, st.integers(0, 3), st.integers(0, 3), st.floats(1e6, 1e12))
def test_no_device_is_given_more_than_it_has_room_for_by_the_time_it_arrives(
    works: list[Work], here: int, there: int, rate: float
) -> None:
    slots = {"lineups": KindSnapshot(here, 0.0, 1e9, slots=3), "echo": KindSnapshot(here, 0.0, 1.0, slots=3)}
    laptop = DeviceSnapshot(LAPTOP, "laptop", True, True, slots)
    decisions = plan(works, mesh(laptop, a_device(PC, "pc", rate=rate, free=there)))
    assert len(decisions) == len(works)
    assert started(decisions).count(LAPTOP) <= here
    free_at = [0.0] * there
    for wanted, decision in zip(works, decisions, strict=True):
        if isinstance(decision, Run) and decision.device == PC:
            assert free_at, "it has no slot at all"
            starts_at = heapq.heappop(free_at)
            assert starts_at <= AHEAD_S
            heapq.heappush(free_at, starts_at + (UNKNOWN_S if wanted.cost is None else wanted.cost / rate))


def test_a_peer_is_sent_its_next_job_a_moment_before_a_slot_is_free_there_and_this_device_is_not() -> None:
    soon = a_device(PC, "pc", rate=10e9, free=0, wait_s=AHEAD_S)
    assert started(plan([work()] * 2, mesh(a_device(LAPTOP, "laptop", free=0, wait_s=90.0), soon))) == [PC]
    later = a_device(PC, "pc", rate=10e9, free=0, wait_s=AHEAD_S + 0.1)
    assert started(plan([work()], mesh(a_device(LAPTOP, "laptop"), later))) == []
    here = a_device(LAPTOP, "laptop", free=0, wait_s=0.1)
    assert started(plan([work()], mesh(here))) == []


def test_what_is_on_its_way_takes_the_slots_of_its_accelerator_and_no_others() -> None:
    devices = mesh(a_device(LAPTOP, "laptop", free=0, wait_s=90.0), a_gpu_device(PC, "pc", rate=10e9, cpu_rate=8e9))
    alone = plan([work(placement="pc")], devices)
    assert [decision.where.accelerator for decision in alone if decision.where] == ["GPU A"]
    behind = plan([work(placement="pc")], devices, [Coming(PC, "GPU A", 5.0)])
    assert [decision.where.accelerator for decision in behind if decision.where] == [CPU]
    gone = plan([work(placement="pc")], devices, [Coming(PC, "GPU that it no longer has", 5.0)])
    assert gone == alone
