"""Work runs where it is finished first, and a person can read why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.scheduling.order import next_up
from meshd.scheduling.placement import Run, Wait, Work, decide
from meshd.scheduling.rates import MAX_STEP, KindRate, learn
from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot, MeshSnapshot
from meshd_protocol.ids import DeviceId

LAPTOP, PC, BOX = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc"), DeviceId("boxboxboxboxboxb")


def a_device(
    device: DeviceId,
    name: str,
    *,
    rate: float | None = 1e9,
    free: int = 1,
    wait_s: float = 0.0,
    online: bool = True,
    paused: bool = False,
    kind: str = "lineups",
) -> DeviceSnapshot:
    kinds = {kind: KindSnapshot(free, wait_s, rate)}
    return DeviceSnapshot(device, name, device == LAPTOP, online, kinds, rtt_s=0.001, paused=paused)


def mesh(*devices: DeviceSnapshot) -> MeshSnapshot:
    return MeshSnapshot(devices)


def work(cost: float | None = 20e9, placement: str = "auto", **fields: object) -> Work:
    return Work("lineups", placement, cost, fields.get("fall_back", False) is True, fields.get("avoid", ()))  # pyright: ignore[reportArgumentType]


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
        assert chosen.kinds["lineups"].free > 0
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


def test_a_declared_rate_is_its_owners_word() -> None:
    declared = KindRate(5e10, "declared")
    assert learn(declared, 1e12, 1.0) == declared


def test_one_odd_run_moves_a_rate_only_so_far() -> None:
    known = KindRate(100.0, "measured", 3)
    slow = learn(known, cost=1.0, duration_s=1000.0)
    assert slow is not None
    assert 100.0 / MAX_STEP < slow.rate < 100.0


def test_short_runs_say_nothing_about_the_rate() -> None:
    assert learn(None, cost=5.0, duration_s=0.01) is None
