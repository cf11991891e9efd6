"""What every session promises: the real one over a channel, the one in memory, and the one on a simulated line."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import pytest

from meshd.net.channel import ChannelClosed
from meshd.net.session import Session
from meshd.net.streams import Session as Talk
from meshd_protocol.errors import Code
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages.base import Message
from meshd_protocol.messages.session import Durable
from meshd_protocol.messages.status import Ping
from tests.simulation.line import Line, LineSession, open_line
from tests.simulation.monitor import Monitor
from tests.simulation.options import luck
from tests.simulation.virtual_time import simulate
from tests.support.memory_channel import MemoryChannel, memory_channel_pair
from tests.support.memory_session import session_pair

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")


@dataclass
class Ends:
    """Both ends of a session, and how it breaks off."""

    here: Talk
    there: Talk
    cut: Callable[[], None]


def over_a_channel() -> Ends:
    left, right = memory_channel_pair()

    def end(channel: MemoryChannel, peer: DeviceId) -> Session:
        return Session(channel, peer=peer, dialled=True, address="", version=1, opened_at=0.0)

    def cut() -> None:
        left.cut()
        right.cut()

    return Ends(end(left, PC), end(right, LAPTOP), cut)


def in_memory() -> Ends:
    here, there = session_pair(LAPTOP, PC)
    return Ends(here, there, here.cut)


def on_a_line() -> Ends:
    line = Line(luck("a line"))
    monitor = Monitor(asyncio.get_running_loop().time)
    monitor.paired(LAPTOP, PC, ())
    monitor.streams.numbered(LAPTOP, PC, "stream", 10)
    here, there = open_line(LAPTOP, PC, line, monitor, 1)
    return Ends(here, there, line.cut)


Fact = Callable[[Ends], Coroutine[object, object, None]]


@pytest.fixture(params=["channel", "memory", "line"])
def holds(request: pytest.FixtureRequest) -> Callable[[Fact], None]:
    """Return what tries a fact on a fresh session."""
    make = {"channel": over_a_channel, "memory": in_memory, "line": on_a_line}[request.param]

    async def main(fact: Fact) -> None:
        await fact(make())

    return lambda fact: simulate(main(fact)) if make is on_a_line else asyncio.run(main(fact))


def pings(first: int, count: int) -> list[Message]:
    return [Ping(number=number) for number in range(first, first + count)]


def test_each_end_knows_who_is_at_the_other(holds: Callable[[Fact], None]) -> None:
    async def fact(ends: Ends) -> None:
        assert (ends.here.peer, ends.there.peer) == (PC, LAPTOP)

    holds(fact)


def test_messages_arrive_whole_and_in_order_both_ways(holds: Callable[[Fact], None]) -> None:
    async def fact(ends: Ends) -> None:
        for message in pings(0, 50):
            ends.here.post(message)
        for message in pings(100, 50):
            await ends.there.send(message)
        ends.here.post(Durable(seq=1, frames=[bytes(1000)]))
        assert [await ends.there.receive() for _ in range(50)] == pings(0, 50)
        assert await ends.there.receive() == Durable(seq=1, frames=[bytes(1000)])
        assert [await ends.here.receive() for _ in range(50)] == pings(100, 50)

    holds(fact)


def test_a_receive_waits_for_what_comes(holds: Callable[[Fact], None]) -> None:
    async def fact(ends: Ends) -> None:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(ends.there.receive())
            await asyncio.sleep(0)
            assert not waiting.done()
            ends.here.post(Ping(number=7))
        assert waiting.result() == Ping(number=7)

    holds(fact)


def test_a_cut_ends_a_receive_that_waits_at_either_end(holds: Callable[[Fact], None]) -> None:
    async def fact(ends: Ends) -> None:
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(outcome(end)) for end in (ends.here, ends.there)]
            await asyncio.sleep(0)
            ends.cut()
        assert all(isinstance(task.result(), ChannelClosed) for task in waiting)

    holds(fact)


def test_a_session_that_was_cut_takes_and_gives_nothing(holds: Callable[[Fact], None]) -> None:
    async def fact(ends: Ends) -> None:
        ends.here.post(Ping(number=1))
        ends.cut()
        for end in (ends.here, ends.there):
            with pytest.raises(ChannelClosed):
                end.post(Ping(number=2))
            with pytest.raises(ChannelClosed):
                await end.send(Ping(number=3))
            with pytest.raises(ChannelClosed):
                await end.receive()

    holds(fact)


@pytest.mark.parametrize("make", [over_a_channel, on_a_line])
def test_a_close_delivers_what_was_sent_before_and_then_says_why(make: Callable[[], Ends]) -> None:
    async def main() -> None:
        ends = make()
        here, there = ends.here, ends.there
        assert isinstance(here, Session | LineSession)
        assert isinstance(there, Session | LineSession)
        here.post(Ping(number=1))
        await here.close(Code.UNPAIRED)
        assert await there.receive() == Ping(number=1)
        with pytest.raises(ChannelClosed):
            await there.receive()
        assert there.told is Code.UNPAIRED

    if make is on_a_line:
        simulate(main())
    else:
        asyncio.run(main())


async def outcome(end: Talk) -> BaseException | Message:
    try:
        return await end.receive()
    except ChannelClosed as closed:
        return closed
