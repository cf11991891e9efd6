"""The next attempt of a job goes on where the last one was lost, and no unit is counted twice."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshd.execution.outcome import Failed
from meshd.kinds.base import PackedPartial
from meshd.net.blob_stream import Stalled
from meshd.store.blobs import BlobRef
from meshd_protocol.ids import DeviceId
from tests.support.desk import Desk, Run, joined, open_desk
from tests.support.eventually import eventually
from tests.support.memory_blobs import MemoryBlobs
from tests.support.memory_exchange import MemoryExchange

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")


@dataclass
class Pair:
    """The disks of two devices, whose daemons come and go."""

    folder: Path
    exchanges: dict[DeviceId, MemoryExchange] = field(default_factory=dict[DeviceId, MemoryExchange])
    blobs: dict[DeviceId, MemoryBlobs] = field(default_factory=lambda: {LAPTOP: MemoryBlobs(), PC: MemoryBlobs()})

    @asynccontextmanager
    async def laptop(self, slots: int = 2) -> AsyncGenerator[Desk]:
        async with open_desk(
            self.folder / "laptop",
            LAPTOP,
            {PC: "pc"},
            slots=slots,
            blobs=self.blobs[LAPTOP],
            exchanges=self.exchanges,
        ) as desk:
            yield desk

    @asynccontextmanager
    async def pc(self) -> AsyncGenerator[Desk]:
        async with open_desk(
            self.folder / "pc", PC, {LAPTOP: "laptop"}, blobs=self.blobs[PC], exchanges=self.exchanges
        ) as desk:
            yield desk


def a_partial(stop: int, start: int = 0, phase: int = 0) -> PackedPartial:
    return PackedPartial(phase, 20, start, stop, f"units {start} to {stop} of phase {phase}".encode())


async def only_run(desk: Desk) -> Run:
    await eventually(lambda: len(desk.pool.runs) == 1)
    return desk.pool.runs[0]


async def units(desk: Desk, job: str) -> int:
    rows = await desk.store.fetch("SELECT sum(stop - start) AS n FROM partial WHERE job = ?", (job,))
    return rows[0]["n"] or 0


async def covers(desk: Desk, job: str, wanted: int) -> bool:
    return await units(desk, job) == wanted


@pytest.mark.asyncio
async def test_a_job_that_loses_its_executor_goes_on_here_from_its_checkpoint(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with pair.laptop() as laptop:
        async with pair.pc() as pc, joined(laptop, pc):
            job = await laptop.submit("pc")
            run = await only_run(pc)
            run.on_partial(a_partial(5))
            run.on_partial(a_partial(9))
            await eventually(lambda: covers(laptop, job, 9))
        async with pair.pc() as pc, joined(laptop, pc):
            here = await only_run(laptop)
            assert list(here.partials) == [a_partial(9)]
            assert (await laptop.view(job)).attempts[0].checkpoint_units == 9
            here.on_partial(a_partial(15, start=9))
            await eventually(lambda: covers(laptop, job, 15))
            here.succeed()
            await eventually(lambda: covers(laptop, job, 0))
        assert (await laptop.view(job)).state == "completed"
        await eventually(lambda: not pair.blobs[LAPTOP].blobs)


@pytest.mark.asyncio
async def test_checkpoints_of_several_phases_all_come_home(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(pair.laptop())
        pc = await stack.enter_async_context(pair.pc())
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        run = await only_run(pc)
        run.on_partial(a_partial(20))
        run.on_partial(a_partial(4, phase=1))
        await eventually(lambda: covers(laptop, job, 24))
        run.end.set_result(Failed("lost", "its worker was killed"))
        here = await only_run(laptop)
        assert list(here.partials) == [a_partial(20), a_partial(4, phase=1)]
        here.succeed()


@pytest.mark.asyncio
async def test_a_peer_fetches_what_was_done_here_before_it_starts(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(pair.laptop(slots=1))
        job = await laptop.submit("auto")
        run = await only_run(laptop)
        run.on_partial(a_partial(7))
        await eventually(lambda: covers(laptop, job, 7))
        urgent = await laptop.submit("local", priority=10)
        pc = await stack.enter_async_context(pair.pc())
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: pc.streams.is_open(LAPTOP))
        run.end.set_result(Failed("lost", "its worker was killed"))
        there = await only_run(pc)
        assert list(there.partials) == [a_partial(7)]
        assert len(pair.exchanges[PC].fetched) == 1
        there.succeed()
        await eventually(lambda: is_completed(laptop, job))
        (await only_run(laptop)).succeed()
        await eventually(lambda: is_completed(laptop, urgent))


@pytest.mark.asyncio
async def test_an_origin_that_is_restarted_still_has_the_checkpoint(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with pair.laptop() as laptop:
        job = await laptop.submit("local")
        run = await only_run(laptop)
        run.on_partial(a_partial(11))
        await eventually(lambda: covers(laptop, job, 11))
    async with pair.laptop() as laptop:
        run = await only_run(laptop)
        assert list(run.partials) == [a_partial(11)]
        run.succeed()


@pytest.mark.asyncio
async def test_a_checkpoint_told_while_the_line_was_cut_is_told_again(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(pair.laptop())
        pc = await stack.enter_async_context(pair.pc())
        async with joined(laptop, pc):
            job = await laptop.submit("pc")
            run = await only_run(pc)
        run.on_partial(a_partial(6))
        await eventually(lambda: len(pair.blobs[PC].blobs) == 1)
        assert await units(laptop, job) == 0
        async with joined(laptop, pc):
            await eventually(lambda: covers(laptop, job, 6))
            run.succeed()
            await eventually(lambda: not pair.blobs[PC].blobs and not pair.blobs[LAPTOP].blobs)


@pytest.mark.asyncio
async def test_a_checkpoint_that_cannot_be_used_is_dropped_and_the_job_begins_anew(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with pair.laptop() as laptop:
        job = await laptop.submit("local")
        run = await only_run(laptop)
        run.on_partial(a_partial(11))
        await eventually(lambda: covers(laptop, job, 11))
        run.end.set_result(Failed("bad_checkpoint", "it is of another version"))
        await eventually(lambda: bool(laptop.pool.runs) and laptop.pool.runs[0].attempt == 2)
        assert list(laptop.pool.runs[0].partials) == []
        assert any("begins anew" in line.cause for line in (await laptop.view(job)).story or ())
        laptop.pool.runs[0].succeed()


@pytest.mark.asyncio
async def test_a_damaged_checkpoint_costs_work_and_nothing_else(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with pair.laptop() as laptop:
        job = await laptop.submit("local")
        run = await only_run(laptop)
        run.on_partial(a_partial(11))
        await eventually(lambda: covers(laptop, job, 11))
    for digest in pair.blobs[LAPTOP].blobs:
        pair.blobs[LAPTOP].blobs[digest] = b"rotten"
    async with pair.laptop() as laptop:
        run = await only_run(laptop)
        assert list(run.partials) == []
        run.succeed()
        await eventually(lambda: covers(laptop, job, 0))


@pytest.mark.asyncio
async def test_a_full_disk_costs_a_checkpoint_and_not_the_job(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with pair.laptop() as laptop:
        job = await laptop.submit("local")
        run = await only_run(laptop)
        pair.blobs[LAPTOP].full = True
        run.on_partial(a_partial(5))
        pair.blobs[LAPTOP].full = False
        run.on_partial(a_partial(8))
        await eventually(lambda: covers(laptop, job, 8))
        run.succeed()
        await eventually(lambda: is_completed(laptop, job))


@pytest.mark.parametrize("how", ["the job ends", "a newer one comes"])
@pytest.mark.asyncio
async def test_what_came_of_a_checkpoint_whose_way_broke_is_not_kept_for_ever(tmp_path: Path, how: str) -> None:
    pair = Pair(tmp_path)
    breaks = True

    async def carry(peer: DeviceId, ref: BlobRef, piece: bytes) -> bytes:
        if breaks:
            raise Stalled("nothing moves")
        return piece

    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(pair.laptop())
        pc = await stack.enter_async_context(pair.pc())
        pair.exchanges[LAPTOP].carry = carry
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        run = await only_run(pc)
        run.on_partial(a_partial(5))
        await eventually(lambda: bool(pair.blobs[LAPTOP].parts))
        breaks = False
        if how == "a newer one comes":
            run.on_partial(a_partial(9))
            await eventually(lambda: covers(laptop, job, 9))
            await eventually(lambda: not pair.blobs[LAPTOP].parts)
        run.succeed()
        await eventually(lambda: is_completed(laptop, job))
        await eventually(lambda: not pair.blobs[LAPTOP].parts and not pair.blobs[LAPTOP].blobs)


async def is_completed(desk: Desk, job: str) -> bool:
    return (await desk.history.job(job)).state == "completed"
