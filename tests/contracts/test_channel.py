"""What every channel promises, checked on the real one over TLS and on the one in memory."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from meshd.net.channel import MAX_QUEUED_BYTES, Channel, ChannelClosed
from meshd.net.dialer import Dialer
from meshd.net.listener import Listener
from meshd.trust.identity import load_or_create_identity
from meshd_protocol.errors import Code
from tests.support.memory_channel import memory_channel_pair

Ends = tuple[Channel, Channel]
MakeChannel = Callable[[Path], AbstractAsyncContextManager[Ends]]

CHUNK = bytes(128 << 10)


@asynccontextmanager
async def memory(folder: Path) -> AsyncGenerator[Ends, None]:
    yield memory_channel_pair()


@asynccontextmanager
async def websocket(folder: Path) -> AsyncGenerator[Ends, None]:
    identity = await asyncio.to_thread(load_or_create_identity, folder)
    accepted = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def serve(channel: Channel, authenticated: Callable[[], None]) -> None:
        accepted.set_result(channel)
        await over.wait()

    async def refuse(channel: Channel) -> None:
        await channel.close()

    listener = Listener(identity=identity, mesh=serve, pair=refuse)
    async with listener.open(port=0, host="127.0.0.1"), Dialer() as dialer:
        dialled = await dialer.connect([f"127.0.0.1:{listener.port}"], identity.fingerprint)
        yield dialled.channel, await accepted
        await dialled.channel.close()
        over.set()


@pytest.fixture(params=[memory, websocket])
def make_channel(request: pytest.FixtureRequest) -> MakeChannel:
    return request.param


@pytest.mark.asyncio
async def test_frames_arrive_whole_and_in_order_both_ways(make_channel: MakeChannel, tmp_path: Path) -> None:
    async with make_channel(tmp_path) as (left, right):
        frames = [bytes([number]) * (number * 1000) for number in range(1, 20)]
        for frame in frames:
            left.post(frame)
            right.post(frame[::-1])

        assert [await right.receive() for _ in frames] == frames
        assert [await left.receive() for _ in frames] == [frame[::-1] for frame in frames]


@pytest.mark.asyncio
async def test_a_close_delivers_what_was_sent_before_and_then_says_why(
    make_channel: MakeChannel, tmp_path: Path
) -> None:
    async with make_channel(tmp_path) as (left, right):
        left.post(b"last words")
        closing = asyncio.gather(left.close(Code.UNPAIRED, "gone fishing"))

        assert await right.receive() == b"last words"
        with pytest.raises(ChannelClosed) as closed:
            await right.receive()
        await closing

    assert (closed.value.code, closed.value.reason) == (Code.UNPAIRED, "gone fishing")


@pytest.mark.asyncio
async def test_a_closed_channel_takes_and_gives_nothing(make_channel: MakeChannel, tmp_path: Path) -> None:
    async with make_channel(tmp_path) as (left, right):
        receiving = asyncio.gather(right.receive(), return_exceptions=True)
        await left.close(Code.REPLACED)
        await left.close(Code.REPLACED)
        await receiving

        for channel in (left, right):
            with pytest.raises(ChannelClosed):
                channel.post(b"too late")
            with pytest.raises(ChannelClosed):
                await channel.send(b"too late")
            with pytest.raises(ChannelClosed):
                await channel.receive()


@pytest.mark.asyncio
async def test_closing_ends_a_receive_that_waits_on_the_same_side(make_channel: MakeChannel, tmp_path: Path) -> None:
    async with make_channel(tmp_path) as (left, right):
        waiting = asyncio.gather(left.receive(), return_exceptions=True)
        peer = asyncio.gather(right.receive(), return_exceptions=True)
        await asyncio.sleep(0)
        await left.close(Code.REPLACED)
        await peer

        (outcome,) = await waiting
        assert isinstance(outcome, ChannelClosed)
        assert outcome.code is Code.REPLACED


@pytest.mark.asyncio
async def test_a_sender_waits_for_a_slow_reader(make_channel: MakeChannel, tmp_path: Path) -> None:
    sent = 0

    async def keep_sending(channel: Channel) -> None:
        nonlocal sent
        for _ in range(200):
            await channel.send(CHUNK)
            sent += 1

    async with make_channel(tmp_path) as (left, right), asyncio.TaskGroup() as group:
        sending = group.create_task(keep_sending(left))
        _, pending = await asyncio.wait({sending}, timeout=0.3)
        held_back = sent
        for _ in range(200):
            await right.receive()

    assert pending, "nobody read, yet everything was sent"
    assert held_back < 200
    assert sent == 200


@pytest.mark.asyncio
async def test_a_reader_that_is_far_too_slow_loses_the_connection(make_channel: MakeChannel, tmp_path: Path) -> None:
    async with make_channel(tmp_path) as (left, _):
        for _ in range(MAX_QUEUED_BYTES // len(CHUNK)):
            left.post(CHUNK)
        with pytest.raises(ChannelClosed) as closed:
            left.post(CHUNK)

        assert closed.value.code is Code.BUSY
        with pytest.raises(ChannelClosed):
            await left.receive()
