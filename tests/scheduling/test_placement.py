"""Work runs where it is finished first, and a person can read why there and why not elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from meshd.scheduling.order import next_up
from meshd.scheduling.placement import AHEAD_S, Run, Wait, decide
from meshd.scheduling.snapshot import CPU, DeviceSnapshot
from meshd_protocol.ids import DeviceId
from tests.scheduling.devices import BOX, LAPTOP, PC, a_device, a_gpu_device, mesh, work


def test_a_long_job_goes_to_the_faster_device() -> None:
    decision = decide(work(), mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", rate=10e9)))
    assert decision == Run(PC, "earliest finish on pc (2.0 s); laptop 20.0 s")


def test_half_a_second_of_work_stays_here() -> None:
    decision = decide(work(0.5e9), mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", rate=1000e9)))
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP


def test_a_gain_of_less_than_a_tenth_is_no_reason_to_move() -> None:
    decision = decide(work(100e9), mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", rate=1.1e9)))
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP


def test_a_busy_fast_device_loses_against_a_free_slow_one() -> None:
    decision = decide(work(), mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", rate=10e9, wait_s=60.0)))
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP


def test_waiting_for_a_fast_device_can_be_the_earliest_finish() -> None:
    busy = a_device(PC, "pc", rate=10e9, wait_s=3.0, free=0)
    decision = decide(work(), mesh(a_device(LAPTOP, "laptop"), busy))
    assert isinstance(decision, Wait)
    assert "waiting for a free slot on pc" in decision.why


def test_work_of_unknown_cost_takes_a_free_local_slot_first() -> None:
    decision = decide(work(None), mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", free=8)))
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP
    full = mesh(a_device(LAPTOP, "laptop", free=0), a_device(PC, "pc", free=2), a_device(BOX, "box", free=3))
    decision = decide(work(None), full)
    assert isinstance(decision, Run)
    assert decision.device == BOX


def test_work_of_unknown_cost_takes_the_peer_with_most_free_slots_on_all_its_accelerators() -> None:
    box = a_gpu_device(BOX, "box", rate=1e9)
    full = mesh(a_device(LAPTOP, "laptop", free=0), a_device(PC, "pc", free=1), box)
    decision = decide(work(None), full)
    assert isinstance(decision, Run)
    assert decision.device == BOX


def test_a_device_of_unknown_rate_is_not_guessed_about() -> None:
    decision = decide(work(), mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", rate=None)))
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP


def test_local_never_leaves() -> None:
    decision = decide(work(placement="local"), mesh(a_device(LAPTOP, "laptop", free=0), a_device(PC, "pc")))
    assert decision == Wait("waiting for a free slot on laptop")


@pytest.mark.parametrize("name", ["pc", "PC", PC])
def test_a_named_device_is_taken_whatever_it_costs(name: str) -> None:
    decision = decide(work(placement=name), mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", rate=1.0)))
    assert decision == Run(PC, "placed on pc by its user")


@pytest.mark.parametrize(
    ("device", "why"),
    [
        (a_device(PC, "pc", online=False), "pc is offline"),
        (a_device(PC, "pc", paused=True), "pc is paused"),
        (a_device(PC, "pc", kind="echo"), "pc does not run lineups jobs"),
        (a_device(PC, "pc", free=0), "waiting for a free slot on pc"),
    ],
)
def test_a_named_device_that_cannot_is_waited_for_with_the_reason(device: DeviceSnapshot, why: str) -> None:
    assert decide(work(placement="pc"), mesh(a_device(LAPTOP, "laptop"), device)) == Wait(why)


def test_of_two_devices_of_one_name_none_is_guessed() -> None:
    devices = mesh(a_device(LAPTOP, "vm"), a_device(PC, "vm"))
    why = f"'vm' can be any of vm ({LAPTOP}), vm ({PC}): submit it again with the id"
    assert decide(work(placement="vm"), devices) == Wait(why)
    assert decide(work(placement=PC), devices) == Run(PC, "placed on vm by its user")


def test_a_job_that_lost_its_named_device_falls_back_only_if_it_may() -> None:
    devices = mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", online=False))
    assert decide(work(placement="pc", avoid=(PC,)), devices) == Wait("waiting for pc")
    decision = decide(work(placement="pc", avoid=(PC,), fall_back=True), devices)
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP


RATES = st.none() | st.floats(1e6, 1e12)
PEERS = st.builds(
    a_device,
    st.sampled_from([PC, BOX]),
    st.sampled_from(["pc", "box"]),
    rate=RATES,
    free=st.integers(0, 3),
    wait_s=st.floats(0, 100),
    online=st.booleans(),
    paused=st.booleans(),
)
LOCAL = st.builds(a_device, st.just(LAPTOP), st.just("laptop"), rate=RATES, free=st.integers(0, 3))


@given(LOCAL, st.lists(PEERS, max_size=2, unique_by=lambda peer: peer.device), st.none() | st.floats(0, 1e13))
def test_nothing_is_ever_given_to_a_device_that_cannot_take_it(
    local: DeviceSnapshot, peers: list[DeviceSnapshot], cost: float | None
) -> None:
    decision = decide(work(cost), mesh(local, *peers))
    if isinstance(decision, Run):
        chosen = next(device for device in (local, *peers) if device.device == decision.device)
        assert chosen.is_online
        assert not chosen.paused
        where = chosen.kinds["lineups"]
        # A peer is sent its next attempt a moment before the last one ends.
        assert where.free > 0 or (not chosen.is_local and 0 < where.wait_s <= AHEAD_S)
        assert decision.why


def test_the_next_is_the_most_urgent_then_the_least_served_origin_then_the_oldest() -> None:
    waiting = [("a", 0, LAPTOP, 1), ("b", 5, LAPTOP, 2), ("c", 5, PC, 3), ("d", 5, PC, 4)]
    order: list[str] = []
    running: dict[DeviceId, int] = {}
    while waiting:
        chosen = next_up(
            waiting,
            priority=lambda item: item[1],
            origin=lambda item: item[2],
            age=lambda item: item[3],
            running=running,
        )
        assert chosen is not None
        waiting.remove(chosen)
        running[chosen[2]] = running.get(chosen[2], 0) + 1
        order.append(chosen[0])
    assert order == ["b", "c", "d", "a"]


# What makes a device ineligible


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_online": False}, "pc is offline"),
        ({"paused": True}, "pc is paused"),
        ({"reluctance": "on battery at 34%"}, "pc takes no jobs of others now: on battery at 34%"),
        ({"free_bytes": 300_000_000}, "pc: 0.3 GB of memory are free, 0.8 GB are needed"),
        ({"kinds": {}}, "pc does not run lineups jobs"),
    ],
)
def test_a_faster_device_that_cannot_is_passed_over_with_the_reason(changes: dict[str, object], why: str) -> None:
    pc = replace(a_device(PC, "pc", rate=100e9), **changes)  # pyright: ignore[reportArgumentType]
    decision = decide(work(memory_bytes=800_000_000), mesh(a_device(LAPTOP, "laptop"), pc))
    assert decision == Run(LAPTOP, f"earliest finish on laptop (20.0 s); {why}")


def test_a_device_that_does_not_permit_a_kind_is_passed_over_with_the_reason() -> None:
    pc = a_device(PC, "pc", rate=100e9, permitted=False)
    decision = decide(work(), mesh(a_device(LAPTOP, "laptop"), pc))
    assert decision.why.endswith("pc does not let this device run lineups jobs")
    assert decide(work(placement="pc"), mesh(a_device(LAPTOP, "laptop"), pc)) == Wait(
        "pc does not let this device run lineups jobs"
    )


def test_a_warm_worker_holds_its_memory_already() -> None:
    pc = replace(a_device(PC, "pc", rate=100e9, is_warm=True), free_bytes=1)
    decision = decide(work(memory_bytes=800_000_000), mesh(a_device(LAPTOP, "laptop"), pc))
    assert isinstance(decision, Run)
    assert decision.device == PC


def test_a_device_that_does_not_tell_its_memory_is_not_held_to_it() -> None:
    decision = decide(work(memory_bytes=1 << 60), mesh(a_device(LAPTOP, "laptop")))
    assert isinstance(decision, Run)


def test_on_battery_own_jobs_run_elsewhere_if_they_can_and_here_if_not() -> None:
    laptop = replace(a_device(LAPTOP, "laptop"), reluctance="on battery at 20%")
    decision = decide(work(), mesh(laptop, a_device(PC, "pc", rate=0.5e9)))
    assert decision == Run(PC, "earliest finish on pc (40.0 s); laptop is on battery at 20%")
    assert decide(work(placement="local"), mesh(laptop)) == Run(LAPTOP, "placed here by its user")
    decision = decide(work(), mesh(laptop, a_device(PC, "pc", online=False)))
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP


def test_a_paused_device_runs_nothing_new_not_even_its_own() -> None:
    laptop = a_device(LAPTOP, "laptop", paused=True)
    assert decide(work(), mesh(laptop)) == Wait("laptop is paused")
    assert decide(work(placement="local"), mesh(laptop)) == Wait("laptop is paused")
    decision = decide(work(), mesh(laptop, a_device(PC, "pc", rate=1.0)))
    assert isinstance(decision, Run)
    assert decision.device == PC


def test_nobody_who_can_is_told_with_all_reasons() -> None:
    devices = mesh(a_device(LAPTOP, "laptop", paused=True), a_device(PC, "pc", online=False))
    assert decide(work(), devices) == Wait("laptop is paused; pc is offline")


# GPUs


def test_a_gpu_is_not_chosen_because_it_is_one() -> None:
    box = a_gpu_device(BOX, "box", rate=1e12)
    decision = decide(work(0.4e9), mesh(a_device(LAPTOP, "laptop"), box))
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP


def test_gpu_takes_the_gpu_that_is_done_first_though_a_processor_here_would_be_sooner() -> None:
    devices = mesh(
        a_device(LAPTOP, "laptop", rate=1e15),
        a_gpu_device(BOX, "box", rate=1e12),
        a_gpu_device(PC, "pc", rate=5e11, model="GPU B"),
    )
    decision = decide(work(placement="gpu"), devices)
    assert decision == Run(BOX, "fastest GPU: GPU A on box (0.0 s); pc 0.0 s")
    assert decision.where is not None
    assert decision.where.accelerator == "GPU A"


def test_gpu_may_be_this_devices_own() -> None:
    decision = decide(work(placement="gpu"), mesh(a_gpu_device(LAPTOP, "laptop", rate=1e12), a_device(PC, "pc")))
    assert decision == Run(LAPTOP, "fastest GPU: GPU A on laptop (0.0 s)")


def test_gpu_waits_for_a_busy_one_rather_than_leave_it() -> None:
    box = a_gpu_device(BOX, "box", rate=1e12, gpu_free=0, gpu_wait_s=500.0)
    decision = decide(work(placement="gpu"), mesh(a_device(LAPTOP, "laptop"), box))
    assert isinstance(decision, Wait)
    assert decision.why.startswith("waiting for a free slot on box: fastest GPU: GPU A on box")


@pytest.mark.parametrize(
    ("box", "why"),
    [
        (None, "no GPU for lineups jobs can be had"),
        (a_device(BOX, "box", rate=0.1e9), "no GPU for lineups jobs can be had"),
        (replace(a_gpu_device(BOX, "box"), is_online=False), "no GPU for lineups jobs can be had (box is offline)"),
        (replace(a_gpu_device(BOX, "box"), paused=True), "no GPU for lineups jobs can be had (box is paused)"),
    ],
)
def test_gpu_is_auto_at_once_when_there_is_none_and_says_why(box: DeviceSnapshot | None, why: str) -> None:
    devices = mesh(a_device(LAPTOP, "laptop"), *([] if box is None else [box]))
    decision = decide(work(placement="gpu"), devices)
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP
    assert decision.why.startswith(f"{why}; earliest finish on laptop")


def test_a_gpu_whose_memory_others_use_is_not_used_and_the_reason_is_told() -> None:
    box = a_gpu_device(BOX, "box", rate=1e12, gpu_free_bytes=100_000_000)
    decision = decide(work(placement="gpu", gpu_memory_bytes=1_000_000_000), mesh(a_device(LAPTOP, "laptop"), box))
    missing = "box: 0.1 GB of GPU A's memory are free, 1.0 GB are needed"
    assert decision == Run(
        LAPTOP, f"no GPU for lineups jobs can be had ({missing}); earliest finish on laptop (20.0 s); box 20.0 s"
    )


def test_a_gpu_of_which_nobody_knows_how_fast_it_is_is_used_if_it_is_free() -> None:
    busy = a_gpu_device(PC, "pc", rate=None, gpu_free=0)
    decision = decide(
        work(placement="gpu"), mesh(a_device(LAPTOP, "laptop"), busy, a_gpu_device(BOX, "box", rate=None))
    )
    assert decision == Run(BOX, "GPU A on box; how long it takes is not known")


def test_of_a_devices_accelerators_the_one_that_is_done_first_counts() -> None:
    # Its GPU is held by others for a long time, its processors are free.
    box = a_gpu_device(BOX, "box", rate=1e12, gpu_free=0, gpu_wait_s=500.0, cpu_rate=10e9)
    decision = decide(work(), mesh(a_device(LAPTOP, "laptop"), box))
    assert isinstance(decision, Run)
    assert decision.device == BOX
    assert decision.where is not None
    assert decision.where.accelerator == CPU


# What a forecast is made of


def test_a_cold_worker_and_a_long_way_count() -> None:
    cold = a_device(PC, "pc", rate=10e9, start_s=3.0)
    decision = decide(work(), mesh(a_device(LAPTOP, "laptop"), cold))
    assert decision.why == "earliest finish on pc (5.0 s); laptop 20.0 s"
    far = replace(a_device(PC, "pc", rate=10e9), rtt_s=1.0)
    decision = decide(work(), mesh(a_device(LAPTOP, "laptop"), far))
    assert decision.why == "earliest finish on pc (5.0 s); laptop 20.0 s"


def test_a_checkpoint_has_to_travel_before_a_peer_can_go_on_from_it() -> None:
    pc = replace(a_device(PC, "pc", rate=10e9), bytes_per_s=1e6)
    decision = decide(work(input_bytes=5_000_000), mesh(a_device(LAPTOP, "laptop"), pc))
    assert decision.why == "earliest finish on pc (7.0 s); laptop 20.0 s"
    decision = decide(work(input_bytes=50_000_000), mesh(a_device(LAPTOP, "laptop"), pc))
    assert isinstance(decision, Run)
    assert decision.device == LAPTOP


def test_a_peer_of_unknown_rate_does_not_keep_the_others_from_being_compared() -> None:
    devices = mesh(a_device(LAPTOP, "laptop"), a_device(PC, "pc", rate=10e9), a_device(BOX, "box", rate=None))
    decision = decide(work(), devices)
    assert isinstance(decision, Run)
    assert decision.device == PC


def test_a_peer_of_unknown_rate_is_tried_before_anybody_waits() -> None:
    busy = [a_device(LAPTOP, "laptop", free=0, wait_s=9.0), a_device(PC, "pc", rate=10e9, free=0, wait_s=1.0)]
    decision = decide(work(), mesh(*busy, a_device(BOX, "box", rate=None)))
    assert isinstance(decision, Run)
    assert decision.device == BOX
    decision = decide(work(), mesh(*busy, a_device(BOX, "box", rate=None, free=0)))
    assert isinstance(decision, Wait)


def test_a_reason_stays_a_line_however_many_devices_there_are() -> None:
    many = [a_device(DeviceId(f"{n:016d}"), f"peer{n}", rate=1e9 + n) for n in range(50)]
    away = [a_device(DeviceId(f"{n:016d}"), f"away{n}", online=False) for n in range(50, 100)]
    decision = decide(work(), mesh(a_device(LAPTOP, "laptop"), *many, *away))
    assert len(decision.why) < 250
