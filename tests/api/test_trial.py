"""The test of a connection says what works, and explains what does not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from meshd.api import trial
from meshd.api.trial import Findings, Trial
from meshd.clock import SystemClock
from meshd.execution.outcome import Failed
from meshd.jobs import roster
from meshd_protocol.ids import DeviceId
from tests.support.desk import Desk, PlainKind, joined, open_desk
from tests.support.eventually import eventually

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")
pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def two(folder: Path) -> AsyncGenerator[tuple[Desk, Desk]]:
    async with AsyncExitStack() as stack:
        echo = PlainKind(name="echo")
        laptop = await stack.enter_async_context(open_desk(folder / "laptop", LAPTOP, {PC: "pc"}, kind=echo))
        pc = await stack.enter_async_context(open_desk(folder / "pc", PC, {LAPTOP: "laptop"}, kind=echo))
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: laptop.roster.impression(PC).status is not None)
        yield laptop, pc


def deaf(peer: DeviceId, message: object) -> None:
    """Hear nothing."""


def denied(peer: DeviceId, kind: str) -> bool:
    return False


async def run(desk: Desk, *, is_online: bool = True, trouble: str = "") -> Findings:
    tested = Trial(roster=desk.roster, history=desk.history, clock=SystemClock())
    return await tested.run(PC, "pc", is_online=is_online, trouble=trouble)


async def test_a_good_connection_has_a_round_trip_and_does_a_job(tmp_path: Path) -> None:
    async with two(tmp_path) as (laptop, pc), asyncio.TaskGroup() as group:
        testing = group.create_task(run(laptop))
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].succeed()
        found = await testing

        assert (found.problem, found.message) == (None, "")
        assert found.round_trip_s is not None
        assert 0 < found.round_trip_s < 5
        assert found.job_s is not None
        assert 0 < found.job_s < 5
        assert laptop.pool.runs == []
        await eventually(lambda: has_no_jobs(laptop))


async def has_no_jobs(desk: Desk) -> bool:
    return await desk.store.fetch("SELECT id FROM job") == []


async def test_a_peer_that_is_away_is_told_with_what_is_known(tmp_path: Path) -> None:
    async with two(tmp_path) as (laptop, _):
        found = await run(laptop, is_online=False, trouble="it took too long")

        assert (found.problem, found.message) == ("offline", "pc is not connected: it took too long")
        assert "meshd status" in found.hint
        assert found.round_trip_s is None
        assert await has_no_jobs(laptop)


async def test_a_peer_that_does_not_answer_is_told_so_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "ANSWER_S", 0.05)
    async with two(tmp_path) as (laptop, pc):
        monkeypatch.setattr(pc.roster, "hear", deaf)
        found = await run(laptop)

        assert (found.problem, found.message) == ("silent", "pc has not answered for 0.05 s")
        assert await has_no_jobs(laptop)


async def test_a_connection_that_is_lost_while_it_is_tested_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}))
        pc = await stack.enter_async_context(open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}))
        line = await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: laptop.roster.impression(PC).latency_s is not None)
        monkeypatch.setattr(pc.roster, "hear", deaf)
        async with asyncio.TaskGroup() as group:
            testing = group.create_task(run(laptop))
            await eventually(lambda: len(laptop.roster._waiting) == 1)  # pyright: ignore[reportPrivateUsage]
            line.cut()
            found = await testing

        assert (found.problem, found.message) == ("silent", "the connection to pc was lost while it was asked")
        assert laptop.roster._waiting == {}  # pyright: ignore[reportPrivateUsage]


async def test_a_peer_that_may_not_be_used_is_told_and_no_other_device_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(tmp_path) as (laptop, pc):
        monkeypatch.setattr(pc.courier._holdings, "_may", denied)  # pyright: ignore[reportPrivateUsage]
        found = await run(laptop)

        assert found.problem == "refused"
        assert "not allowed there" in found.message
        assert found.round_trip_s is not None
        assert await has_no_jobs(laptop)


async def test_a_job_that_goes_wrong_is_told_with_its_reason(tmp_path: Path) -> None:
    async with two(tmp_path) as (laptop, pc), asyncio.TaskGroup() as group:
        testing = group.create_task(run(laptop))
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].end.set_result(Failed("crashed", "the worker died", ""))
        found = await testing

        assert found.problem == "failed"
        assert "the worker died" in found.message
        assert await has_no_jobs(laptop)


async def test_a_job_that_takes_too_long_is_ended_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "JOB_S", 0.2)
    async with two(tmp_path) as (laptop, pc):
        found = await run(laptop)

        assert found.problem == "silent"
        assert "has not done the test job" in found.message
        assert await has_no_jobs(laptop)
        await eventually(lambda: pc.pool.runs == [])
