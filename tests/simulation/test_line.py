"""The simulated line: ordered, silent when blocked, and found out by heartbeats."""

import asyncio

import pytest

from meshd.net.channel import ChannelClosed
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages.status import Ping
from tests.simulation.line import HEARTBEAT_NOTICES_S, Line, LineSession, open_line
from tests.simulation.monitor import Monitor
from tests.simulation.options import luck
from tests.simulation.virtual_time import simulate

HERE, THERE = DeviceId("here"), DeviceId("there")


def new_line() -> tuple[Line, LineSession, LineSession]:
    line = Line(luck("a line"))
    here, there = open_line(HERE, THERE, line, Monitor(asyncio.get_running_loop().time), 1)
    return line, here, there


def test_frames_arrive_in_the_order_in_which_they_were_posted() -> None:
    async def main() -> None:
        line, here, there = new_line()
        line.slow_s = 3.0
        for number in range(100):
            here.post(Ping(number=number))
        assert [await there.receive() for _ in range(100)] == [Ping(number=number) for number in range(100)]

    simulate(main())


def test_what_a_short_block_holds_up_arrives_after_it() -> None:
    async def main() -> None:
        line, here, there = new_line()
        line.block(HERE)
        here.post(Ping(number=1))
        there.post(Ping(number=2))
        assert await here.receive() == Ping(number=2)
        await asyncio.sleep(2.0)
        line.heal()
        assert await there.receive() == Ping(number=1)

    simulate(main())


def test_a_block_one_way_is_found_out_by_both_sides_heartbeats() -> None:
    async def main() -> None:
        line, here, there = new_line()
        line.block(HERE)
        for end in (here, there):
            with pytest.raises(ChannelClosed):
                await end.receive()
        assert HEARTBEAT_NOTICES_S[0] <= asyncio.get_running_loop().time() <= HEARTBEAT_NOTICES_S[1]

    simulate(main())


def test_a_cut_loses_what_is_under_way_and_ends_both_ends() -> None:
    async def main() -> None:
        line, here, there = new_line()
        here.post(Ping(number=1))
        line.cut()
        for end in (here, there):
            with pytest.raises(ChannelClosed):
                await end.receive()
        with pytest.raises(ChannelClosed):
            here.post(Ping(number=2))
        assert not line.ends

    simulate(main())


def test_a_machine_that_vanishes_is_missed_after_a_while_only() -> None:
    async def main() -> None:
        _, here, there = new_line()
        here.vanish()
        assert here.is_over
        assert not there.is_over
        with pytest.raises(ChannelClosed):
            await there.receive()
        assert asyncio.get_running_loop().time() >= HEARTBEAT_NOTICES_S[0]

    simulate(main())
