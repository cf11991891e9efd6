"""A machine that sleeps does nothing: its timers stand still, the world's go on, and what came meanwhile is there."""

import asyncio
import contextvars
from collections.abc import Coroutine

import pytest

from meshd.net.channel import ChannelClosed
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages.status import Ping
from tests.simulation.line import HEARTBEAT_NOTICES_S, Line, open_line
from tests.simulation.machine import MACHINE, Machine
from tests.simulation.monitor import Monitor
from tests.simulation.options import luck
from tests.simulation.virtual_time import simulate

HERE, THERE = DeviceId("here"), DeviceId("there")


def run_on(machine: Machine, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    context = contextvars.copy_context()
    context.run(MACHINE.set, machine)
    return asyncio.get_running_loop().create_task(work, context=context)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_what_is_due_while_a_machine_sleeps_comes_as_much_later_as_it_slept() -> None:
    done: dict[str, float] = {}

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        done[name] = now()

    async def main() -> None:
        machine = Machine()
        tasks = [
            run_on(machine, wait(name, seconds)) for name, seconds in (("before", 1.0), ("in", 5.0), ("after", 30.0))
        ]
        await asyncio.sleep(2.0)
        machine.sleep()
        await asyncio.sleep(10.0)
        assert machine.wake() == pytest.approx(10.0)
        await asyncio.wait(tasks)
        later = run_on(machine, wait("then", 1.0))
        await later

    simulate(main())
    assert done == {"before": 1.0, "in": 15.0, "after": 40.0, "then": 41.0}


def test_a_timer_that_is_cancelled_in_its_sleep_never_rings() -> None:
    rung: list[float] = []

    async def set_timer(handles: list[asyncio.TimerHandle]) -> None:
        handles.append(asyncio.get_running_loop().call_later(5.0, lambda: rung.append(now())))

    async def main() -> None:
        machine, handles = Machine(), list[asyncio.TimerHandle]()
        await run_on(machine, set_timer(handles))
        machine.sleep()
        await asyncio.sleep(10.0)
        handles[0].cancel()
        machine.wake()
        await asyncio.sleep(10.0)

    simulate(main())
    assert rung == []


def test_a_timeout_on_a_machine_does_not_count_its_sleep() -> None:
    async def wait() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await asyncio.Event().wait()

    async def main() -> None:
        machine = Machine()
        task = run_on(machine, wait())
        await asyncio.sleep(1.0)
        machine.sleep()
        await asyncio.sleep(100.0)
        machine.wake()
        await task
        assert now() == pytest.approx(105.0)

    simulate(main())


def test_after_a_nap_what_has_come_is_there() -> None:
    async def main() -> None:
        line = Line(luck("a line"))
        here, there = open_line(HERE, THERE, line, Monitor(now), 1)
        line.sleep(THERE)
        here.post(Ping(number=1))
        await asyncio.sleep(3.0)
        line.wake(THERE)
        assert await there.receive() == Ping(number=1)
        assert now() == pytest.approx(3.0)

    simulate(main())


def test_a_machine_that_sleeps_for_long_finds_its_sessions_dead_when_it_wakes() -> None:
    async def main() -> None:
        line = Line(luck("a line"))
        here, there = open_line(HERE, THERE, line, Monitor(now), 1)
        line.sleep(THERE)
        with pytest.raises(ChannelClosed):
            await here.receive()
        assert HEARTBEAT_NOTICES_S[0] <= now() <= HEARTBEAT_NOTICES_S[1]
        await asyncio.sleep(60.0)
        assert not there.is_over
        line.wake(THERE)
        woke_at = now()
        with pytest.raises(ChannelClosed):
            await there.receive()
        assert now() - woke_at <= 5.0

    simulate(main())
