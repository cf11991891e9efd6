"""What a peer has not fetched for a week goes, what is younger stays, and a person hears of it."""

from pathlib import Path

import pytest

from meshd.clock import SystemClock
from meshd.net.expiry import Expiry
from meshd.net.streams import Transaction
from meshd.store import streams as rows
from meshd.store.database import Connection
from meshd.trust.notice import Notice
from meshd_protocol.ids import DeviceId
from meshd_protocol.limits import MAX_OUTBOX_BYTES, OUTBOX_TTL_S
from meshd_protocol.messages import jobs
from tests.support.desk import Desk, is_running, joined, open_desk
from tests.support.eventually import eventually

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")


class LateClock(SystemClock):
    """The time of day as it will be."""

    def __init__(self, later_s: float) -> None:
        self._later_s = later_s

    def wall(self) -> float:
        return super().wall() + self._later_s


async def post(desk: Desk, number: int) -> None:
    message = jobs.Declined(job="aaaaaaaaaaaa", attempt=number, code="refused", reason="")
    await desk.streams.write(lambda transaction: transaction.post(PC, message))


async def expire(desk: Desk, later_s: float) -> list[Notice]:
    notices: list[Notice] = []
    await Expiry(
        streams=desk.streams,
        clock=LateClock(later_s),
        reopened=desk.courier.reopened,
        names=lambda _: "pc",
        notify=notices.append,
    ).apply()
    return notices


async def age(desk: Desk, seconds: float) -> None:
    def run(transaction: Transaction) -> None:
        transaction.connection.execute("UPDATE outbox SET created_at = created_at - ?", (seconds,))

    await desk.streams.write(run)


@pytest.mark.asyncio
async def test_messages_expire_after_a_week_and_the_younger_ones_still_arrive(tmp_path: Path) -> None:
    async with (
        open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop,
        open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}) as pc,
    ):
        heard: list[int] = []
        pc.origin.declined = lambda transaction, peer, message: heard.append(message.attempt)  # pyright: ignore[reportAttributeAccessIssue]
        await post(laptop, 1)
        async with joined(laptop, pc):
            await eventually(lambda: heard == [1])
            await eventually(lambda: nothing_waits(laptop))
        await post(laptop, 2)
        await post(laptop, 3)
        await age(laptop, 3600.0)
        await post(laptop, 4)
        assert await expire(laptop, OUTBOX_TTL_S - 3700.0) == []
        [notice] = await expire(laptop, OUTBOX_TTL_S - 3500.0)
        assert notice.code == "expired"
        assert "2 messages to pc expired" in notice.message
        async with joined(laptop, pc):
            await eventually(lambda: heard == [1, 4])


@pytest.mark.asyncio
async def test_a_result_that_nobody_fetched_is_forgotten_with_its_message(tmp_path: Path) -> None:
    async with (
        open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop,
        open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}) as pc,
    ):
        async with joined(laptop, pc):
            await laptop.submit("pc")
            await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].succeed()
        await eventually(lambda: not pc.pool.runs)
        await eventually(lambda: is_held(pc, 1))
        notices: list[Notice] = []
        await Expiry(
            streams=pc.streams,
            clock=LateClock(OUTBOX_TTL_S + 60),
            reopened=pc.courier.reopened,
            names=lambda _: "laptop",
            notify=notices.append,
        ).apply()
        assert len(notices) == 1
        assert await is_held(pc, 0)


async def nothing_waits(desk: Desk) -> bool:
    return not await desk.store.fetch("SELECT * FROM outbox")


async def is_held(desk: Desk, number: int) -> bool:
    return len(await desk.store.fetch("SELECT * FROM held WHERE state = 'finished'")) == number


@pytest.mark.asyncio
async def test_a_peer_for_whom_too_much_waits_is_offered_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(connection: Connection, peer: DeviceId) -> int:
        return MAX_OUTBOX_BYTES + 1

    monkeypatch.setattr(rows, "waiting_bytes", full)
    async with (
        open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop,
        open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}) as pc,
        joined(laptop, pc),
    ):
        job = await laptop.submit("pc")
        there = await laptop.submit("local")
        await eventually(lambda: len(laptop.pool.runs) == 1)
        assert (await laptop.view(job)).attempts == []
        assert not pc.pool.runs
        await eventually(lambda: is_running(laptop, there))
