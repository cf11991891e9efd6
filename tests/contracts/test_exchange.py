"""What every exchange of blobs promises: the real one, whichever side has dialled, and the one in memory."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from meshd.errors import Degraded, NotFound, PeerUnreachable
from meshd.net import blobs as exchange
from meshd.store.blobs import BlobRef
from tests.contracts.trade import Trade, open_trade
from tests.support.blob_pair import expect
from tests.support.eventually import eventually

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PAUSE_S", 0.02)


@pytest_asyncio.fixture(params=["GET", "PUT", "memory"])
async def trade(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Trade]:
    async with open_trade(request.param, tmp_path) as opened:
        yield opened


async def offer(trade: Trade, data: bytes) -> BlobRef:
    """Let the giver have a blob that the other side may read."""
    ref = await trade.gives.put(data)
    trade.grant(ref)
    return ref


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [0, 1, 300_000, 5 * MIB])
async def test_a_blob_that_may_be_read_comes_whole(trade: Trade, size: int) -> None:
    data = os.urandom(size)
    ref = await offer(trade, data)

    await trade.fetch(ref)

    assert await trade.wants.read(ref) == data
    assert trade.arrived(ref) == 0


@pytest.mark.asyncio
async def test_a_blob_that_is_here_is_not_asked_for(trade: Trade) -> None:
    ref = await trade.wants.put(b"here")
    await trade.end_session()

    await trade.fetch(ref)


@pytest.mark.asyncio
async def test_without_a_session_a_peer_is_unreachable(trade: Trade) -> None:
    ref = await offer(trade, b"data")
    await trade.end_session()

    assert "no session" in await expect(PeerUnreachable, trade.fetch(ref))


@pytest.mark.asyncio
async def test_a_blob_that_is_not_granted_is_not_found_and_does_not_travel(trade: Trade) -> None:
    ref = await trade.gives.put(os.urandom(MIB))

    assert "does not have" in await expect(NotFound, trade.fetch(ref))
    assert trade.carried < MIB
    assert not await trade.wants.has(ref)


@pytest.mark.asyncio
async def test_a_blob_that_the_peer_has_lost_is_not_found(trade: Trade) -> None:
    ref = await offer(trade, b"data")
    await trade.gives.delete([ref.digest])

    assert "does not have" in await expect(NotFound, trade.fetch(ref))


@pytest.mark.asyncio
async def test_a_blob_that_was_damaged_at_the_peer_is_not_found_and_gone_there(trade: Trade) -> None:
    ref = await offer(trade, os.urandom(3 * MIB))
    trade.damage(ref)

    assert "does not have" in await expect(NotFound, trade.fetch(ref))
    assert not await trade.wants.has(ref)
    assert not await trade.gives.has(ref)


@pytest.mark.asyncio
async def test_a_connection_that_is_cut_goes_on_where_it_was(trade: Trade) -> None:
    ref = await offer(trade, os.urandom(16 * MIB))
    trade.cut_after(12 * MIB)

    await trade.fetch(ref)

    assert await trade.wants.has(ref)
    # From the beginning it would have been 28.
    assert trade.carried < 22 * MIB


@pytest.mark.asyncio
async def test_a_transfer_ends_with_the_session_and_goes_on_in_the_next(trade: Trade) -> None:
    ref = await offer(trade, os.urandom(16 * MIB))
    trade.hold_after(12 * MIB)
    async with asyncio.TaskGroup() as group:
        fetching = group.create_task(expect(PeerUnreachable, trade.fetch(ref)))
        await eventually(lambda: trade.arrived(ref) > 8 * MIB)
        await trade.end_session()
        assert "the session with" in await fetching
    before, carried = trade.arrived(ref), trade.carried
    assert not await trade.wants.has(ref)

    trade.let_go()
    await trade.open_session()
    await trade.fetch(ref)

    assert before > 8 * MIB
    assert trade.carried - carried < ref.size - before + 2 * MIB


@pytest.mark.asyncio
async def test_a_full_disk_ends_the_transfer_and_the_next_try_succeeds(trade: Trade) -> None:
    ref = await offer(trade, os.urandom(3 * MIB))
    trade.fill_disk()
    assert "no space left" in (await expect(Degraded, trade.fetch(ref))).lower()
    assert not await trade.wants.has(ref)

    trade.empty_disk()
    await trade.fetch(ref)
    assert await trade.wants.has(ref)


@pytest.mark.asyncio
async def test_those_who_want_the_same_blob_share_its_transfer(trade: Trade) -> None:
    ref = await offer(trade, os.urandom(4 * MIB))

    await asyncio.gather(*(trade.fetch(ref) for _ in range(5)))

    assert trade.carried < 5 * MIB


@pytest.mark.asyncio
async def test_a_transfer_goes_on_for_as_long_as_anybody_waits_for_it(trade: Trade) -> None:
    ref = await offer(trade, os.urandom(8 * MIB))
    trade.hold_after(2 * MIB)
    async with asyncio.TaskGroup() as group:
        leaves, stays = group.create_task(trade.fetch(ref)), group.create_task(trade.fetch(ref))
        await eventually(lambda: trade.arrived(ref) > 0)
        leaves.cancel()
        await asyncio.wait({leaves})
        trade.let_go()
        await stays
    assert await trade.wants.has(ref)


@pytest.mark.asyncio
async def test_a_transfer_for_which_nobody_waits_any_more_ends_and_can_be_taken_up(trade: Trade) -> None:
    ref = await offer(trade, os.urandom(8 * MIB))
    trade.hold_after(2 * MIB)
    async with asyncio.TaskGroup() as group:
        leaves = group.create_task(trade.fetch(ref))
        await eventually(lambda: trade.arrived(ref) > 0)
        leaves.cancel()
    assert not await trade.wants.has(ref)

    trade.let_go()
    await trade.fetch(ref)
    assert await trade.wants.has(ref)
