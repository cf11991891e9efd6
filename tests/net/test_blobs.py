"""How blobs travel over real connections, whichever side could dial; what every exchange promises is in contracts."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from meshd.errors import PeerUnreachable
from meshd.net import blobs as exchange
from meshd.net.blob_line import MAX_TRANSFERS
from meshd.store.blobs import BlobRef
from meshd_protocol.ids import DeviceId
from tests.support.blob_device import open_blob_device
from tests.support.blob_pair import Two, expect, open_two, size_of
from tests.support.eventually import eventually

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PAUSE_S", 0.02)


@pytest.fixture
def stall_s() -> float:
    return 20.0


@pytest_asyncio.fixture(params=["GET", "PUT"])
async def two(request: pytest.FixtureRequest, tmp_path: Path, stall_s: float) -> AsyncGenerator[Two]:
    """Who wants the blob has dialled (and GETs), or was dialled (and is PUT)."""
    async with open_two(tmp_path, stall_s=stall_s) as opened:
        yield opened if request.param == "GET" else opened.turned()


@pytest.mark.asyncio
async def test_a_large_blob_does_not_hold_up_the_loop(two: Two, capsys: pytest.CaptureFixture[str]) -> None:
    loop, lags = asyncio.get_running_loop(), list[float]()

    def tick(due: float) -> None:
        lags.append(loop.time() - due)
        ticking.append(loop.call_at(loop.time() + 0.002, tick, loop.time() + 0.002))
        del ticking[:-1]

    ref = await two.offer(os.urandom(64 * MIB))
    ticking = list[asyncio.TimerHandle]()
    began = loop.time()
    tick(began)
    await two.fetch(ref)
    took = loop.time() - began
    ticking[0].cancel()

    lags.sort()
    p99 = lags[len(lags) * 99 // 100]
    with capsys.disabled():
        print(f"\n64 MiB in {took:.2f} s through a proxy; loop lag p99 {p99 * 1e3:.1f} ms, max {lags[-1] * 1e3:.1f} ms")
    assert await two.wants.blobs.has(ref)
    assert p99 < 0.05


@pytest.mark.asyncio
@pytest.mark.parametrize("stall_s", [0.3])
async def test_a_transfer_that_stands_still_is_given_up(two: Two) -> None:
    ref = await two.offer(os.urandom(16 * MIB))
    two.line.holds_after = 4 * MIB

    assert "does not send" in await expect(PeerUnreachable, two.fetch(ref))
    assert 0 < size_of(two.wants.part(ref.digest)) < ref.size


@pytest.mark.asyncio
async def test_what_was_damaged_while_it_waited_here_is_fetched_anew(two: Two) -> None:
    data = os.urandom(3 * MIB)
    ref = await two.offer(data)
    two.wants.part(ref.digest).write_bytes(os.urandom(MIB))

    await two.fetch(ref)

    assert await two.wants.blobs.read(ref) == data


@pytest.mark.asyncio
async def test_what_fails_with_one_peer_is_tried_with_the_other_who_was_asked_meanwhile(two: Two) -> None:
    ref, other = await two.offer(os.urandom(8 * MIB)), DeviceId("a" * 16)
    two.line.holds_after = 2 * MIB
    async with asyncio.TaskGroup() as group:
        first = group.create_task(expect(PeerUnreachable, two.fetch(ref)))
        await eventually(lambda: size_of(two.wants.part(ref.digest)) > 0)
        second = group.create_task(expect(PeerUnreachable, two.wants.exchange.fetch(other, ref)))
        await eventually(lambda: two.wants.sharing(ref.digest) == 2)
        two.line.cut()

    assert two.gives.device in first.result()
    assert f"no session with {other}" in second.result()


@pytest.mark.asyncio
async def test_few_blobs_are_under_way_at_a_time(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = [await two.offer(os.urandom(MIB)) for _ in range(3 * MAX_TRANSFERS)]
    under_way, most, chunks = set[BlobRef](), list[int](), two.gives.blobs.chunks
    full = asyncio.Event()

    async def counted(ref: BlobRef, start: int = 0, *, checked: bool) -> AsyncGenerator[memoryview]:
        under_way.add(ref)
        most.append(len(under_way))
        try:
            if len(under_way) == MAX_TRANSFERS:
                full.set()
            await full.wait()
            async for chunk in chunks(ref, start, checked=checked):
                yield chunk
        finally:
            under_way.discard(ref)

    monkeypatch.setattr(two.gives.blobs, "chunks", counted)
    await asyncio.gather(*(two.fetch(ref) for ref in refs))

    assert max(most) == MAX_TRANSFERS


@pytest.mark.asyncio
async def test_no_byte_goes_to_another_device_at_the_same_address(
    two: Two, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (tmp_path / "third").mkdir()
    async with open_blob_device(tmp_path / "third") as third:
        ref = await two.offer(b"data")
        two.line.lead_to(third.listener.port)

        if two.wants is two.dials:
            assert "another device" in await expect(PeerUnreachable, two.fetch(ref))
        else:
            async with asyncio.TaskGroup() as group:
                fetching = group.create_task(two.fetch(ref))
                await eventually(lambda: "another device" in caplog.text)
                fetching.cancel()
