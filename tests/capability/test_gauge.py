"""The gauge looks beside the event loop, and tells others only what matters."""

import asyncio
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.capability.gauge import Gauge
from meshd.capability.reading import Battery, Reading, is_news
from tests.support.eventually import eventually
from tests.support.manual_machine import GIB, ManualMachine, a_gpu, a_machine


@pytest.mark.asyncio
async def test_looks_happen_outside_the_event_loop_and_do_not_hold_it_up() -> None:
    release, looking = threading.Event(), threading.Event()

    class Slow(ManualMachine):
        def look(self) -> Reading:
            assert threading.current_thread() is not threading.main_thread()
            looking.set()
            assert release.wait(10)
            return super().look()

    gauge = Gauge(probe=Slow(a_machine(free_gib=3)))
    async with asyncio.TaskGroup() as tasks:
        look = tasks.create_task(gauge.look())
        await eventually(looking.is_set)
        assert gauge.reading == Reading()
        assert not look.done()
        release.set()
    assert gauge.reading == a_machine(free_gib=3)


@pytest.mark.asyncio
async def test_a_driver_that_hangs_keeps_nobody_from_ending() -> None:
    release = threading.Event()

    class Hanging(ManualMachine):
        def look(self) -> Reading:
            release.wait(10)
            return super().look()

    gauge = Gauge(probe=Hanging())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await gauge.look()
    others = [thread for thread in threading.enumerate() if thread.name == "look at the machine"]
    release.set()
    assert [thread.daemon for thread in others] == [True]


@pytest.mark.asyncio
async def test_an_error_of_the_probe_reaches_whoever_supervises_the_gauge() -> None:
    class Broken(ManualMachine):
        def look(self) -> Reading:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Gauge(probe=Broken()).run()


@pytest.mark.asyncio
async def test_it_looks_no_more_often_than_it_should() -> None:
    machine = ManualMachine()
    gauge = Gauge(probe=machine, every_s=3600)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(gauge.run())
        await eventually(lambda: machine.looks == 1)
        await asyncio.sleep(0)
        assert machine.looks == 1
        running.cancel()


@pytest.mark.asyncio
async def test_news_is_told_once_and_every_look_to_those_who_wait() -> None:
    machine, told = ManualMachine(a_machine(free_gib=8)), list[str]()
    gauge = Gauge(probe=machine)
    gauge.watch(on_look=lambda: told.append("look"), on_news=lambda: told.append("news"))
    for free_gib in (8.0, 8.1, 8.2, 5.0):
        machine.reading = a_machine(free_gib=free_gib)
        await gauge.look()

    assert told == ["news", "look", "look", "look", "news", "look"]


BEFORE = a_machine(a_gpu(), charge=0.5)


@pytest.mark.parametrize(
    "now",
    [
        replace(BEFORE, battery=Battery(0.5, plugged=True)),
        replace(BEFORE, battery=Battery(0.4, plugged=False)),
        replace(BEFORE, free_bytes=4 * GIB),
        replace(BEFORE, free_bytes=None),
        replace(BEFORE, cpu=0.9),
        replace(BEFORE, gpus=()),
        replace(BEFORE, gpus=(a_gpu(2),)),
        replace(BEFORE, gpus=(a_gpu(free_gib=2),)),
        replace(BEFORE, gpus=(a_gpu(busy=1.0),)),
    ],
)
def test_what_decides_where_a_job_runs_is_news(now: Reading) -> None:
    assert is_news(BEFORE, now)


def test_what_moves_all_the_time_is_no_news() -> None:
    now = replace(
        BEFORE,
        free_bytes=int(8.2 * GIB),
        cpu=0.15,
        gpus=(a_gpu(free_gib=20.5, busy=0.05),),
        battery=Battery(0.49, plugged=False),
    )
    assert not is_news(BEFORE, now)


@given(st.lists(st.floats(0, 1), min_size=20, max_size=20))
def test_a_slow_drift_is_told_before_it_is_large(charges: list[float]) -> None:
    told = BEFORE
    for charge in sorted(charges):
        now = replace(BEFORE, battery=Battery(charge, plugged=False))
        if is_news(told, now):
            told = now
        assert told.battery is not None
        assert abs(told.battery.share - charge) < 0.05 + 1e-9
