"""Results that no message can carry come home as blobs, once, whatever happens to the devices meanwhile."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meshd.execution.outcome import Cancelled, Failed, Outcome, Succeeded
from meshd.jobs import files
from meshd.jobs.ends import told
from meshd.jobs.executor import AttemptKey
from meshd.jobs.file_refs import read_refs
from meshd.net.blob_stream import Cut
from meshd.store.blobs import BlobRef
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.limits import MAX_DOCUMENT_BYTES
from meshd_protocol.messages.jobs import FileRef
from tests.support.desk import Desk, PlainKind, joined, open_desk
from tests.support.eventually import eventually
from tests.support.memory_blobs import MemoryBlobs
from tests.support.memory_exchange import MemoryExchange

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")
LOG = FileRef(role="log", name="log", digest="0" * 64, size=6)
LONG = b'{"lineups":"' + b"x" * 2 * MAX_DOCUMENT_BYTES + b'"}'


class Line:
    """Two desks with blobs between them, which do not travel before they may."""

    def __init__(self, stack: AsyncExitStack, folder: Path, kind: PlainKind | None = None) -> None:
        self._stack = stack
        self._folder = folder
        self._kind = kind
        self._exchanges: dict[DeviceId, MemoryExchange] = {}
        self.blobs = {LAPTOP: MemoryBlobs(), PC: MemoryBlobs()}
        self.may_travel = asyncio.Event()

    async def open(self, device: DeviceId, stack: AsyncExitStack | None = None) -> Desk:
        peers = {PC: "pc"} if device == LAPTOP else {LAPTOP: "laptop"}
        desk = await (stack or self._stack).enter_async_context(
            open_desk(
                self._folder / device,
                device,
                peers,
                kind=self._kind,
                blobs=self.blobs[device],
                exchanges=self._exchanges,
            )
        )
        self._exchanges[device].carry = self._carry
        return desk

    async def _carry(self, peer: DeviceId, ref: BlobRef, piece: bytes) -> bytes:
        await self.may_travel.wait()
        if not await self.blobs[peer].has(ref):
            raise Cut("it is gone")
        return piece


async def state_is(desk: Desk, job: str, state: str) -> bool:
    return (await desk.history.job(job)).state == state


async def is_told(laptop: Desk) -> bool:
    return bool(await laptop.store.fetch("SELECT * FROM file WHERE role = 'result' AND source <> ''"))


async def nothing_is_left(line: Line, *desks: Desk) -> bool:
    for desk in desks:
        for table in ("outbox", "held", "file", "delivery"):
            if await desk.store.fetch(f"SELECT * FROM {table}"):  # noqa: S608
                return False
    return not any(store.blobs for store in line.blobs.values())


@pytest.mark.asyncio
async def test_a_result_that_is_too_long_for_a_message_comes_home_all_the_same(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        line = Line(stack, tmp_path)
        laptop, pc = await line.open(LAPTOP), await line.open(PC)
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        await eventually(lambda: state_is(laptop, job, "running"))
        pc.pool.runs[0].succeed(LONG)
        await eventually(lambda: is_told(laptop))
        assert await state_is(laptop, job, "running")
        line.may_travel.set()
        await eventually(lambda: state_is(laptop, job, "completed"))
        view = await laptop.view(job)
        assert bytes(view.result or b"") == LONG
        assert [attempt.state for attempt in view.attempts] == ["succeeded"]
        await eventually(lambda: nothing_is_left(line, laptop, pc))


@pytest.mark.asyncio
async def test_a_result_on_its_way_survives_the_daemons_of_both_sides(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        line = Line(stack, tmp_path)
        async with AsyncExitStack() as first:
            laptop, pc = await line.open(LAPTOP, first), await line.open(PC, first)
            await first.enter_async_context(joined(laptop, pc))
            job = await laptop.submit("pc")
            await eventually(lambda: len(pc.pool.runs) == 1)
            pc.pool.runs[0].succeed(LONG)
            await eventually(lambda: is_told(laptop))
        line.may_travel.set()
        laptop, pc = await line.open(LAPTOP), await line.open(PC)
        assert not await state_is(laptop, job, "completed")
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: state_is(laptop, job, "completed"))
        assert bytes((await laptop.view(job)).result or b"") == LONG
        assert [attempt.state for attempt in (await laptop.view(job)).attempts] == ["succeeded"]
        await eventually(lambda: nothing_is_left(line, laptop, pc))


@pytest.mark.asyncio
async def test_a_result_that_is_gone_at_its_device_lets_the_job_run_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        line = Line(stack, tmp_path)
        laptop, pc = await line.open(LAPTOP), await line.open(PC)
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].succeed(LONG)
        await eventually(lambda: is_told(laptop))
        line.blobs[PC].blobs.clear()
        line.may_travel.set()
        await eventually(lambda: attempts_are(laptop, job, 2))
        (lost, *_) = (await laptop.view(job)).attempts
        assert (lost.state, "its result did not come" in lost.reason) == ("lost", True)


@pytest.mark.asyncio
async def test_a_result_that_does_not_come_in_so_many_tries_lets_the_job_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "TRY_AGAIN_S", 0.0)
    async with AsyncExitStack() as stack:
        line = Line(stack, tmp_path)
        laptop, pc = await line.open(LAPTOP), await line.open(PC)
        await stack.enter_async_context(joined(laptop, pc))
        line.blobs[LAPTOP].full = True
        line.may_travel.set()
        job = await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].succeed(LONG)
        await eventually(lambda: attempts_are(laptop, job, 2))
        assert (await laptop.view(job)).attempts[0].reason.startswith("pc: its result did not come")


async def attempts_are(desk: Desk, job: str, number: int) -> bool:
    return len((await desk.history.job(job)).attempts) == number


@pytest.mark.asyncio
async def test_what_is_cancelled_while_its_result_is_on_the_way_stays_cancelled(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        line = Line(stack, tmp_path)
        laptop, pc = await line.open(LAPTOP), await line.open(PC)
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].succeed(LONG)
        await eventually(lambda: is_told(laptop))
        await laptop.origin.cancel(job, reason="enough")
        line.may_travel.set()
        await eventually(lambda: nothing_is_left(line, laptop, pc))
        assert await state_is(laptop, job, "cancelled")


@pytest.mark.asyncio
async def test_a_long_result_that_the_disk_there_does_not_take_is_one_clear_error(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        line = Line(stack, tmp_path, PlainKind(deterministic=False))
        laptop, pc = await line.open(LAPTOP), await line.open(PC)
        await stack.enter_async_context(joined(laptop, pc))
        line.blobs[PC].full = True
        job = await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].succeed(LONG)
        await eventually(lambda: state_is(laptop, job, "failed"))
        error = (await laptop.view(job)).error
        assert error is not None
        assert (error.kind, "cannot be kept" in error.message) == ("disk_full", True)


@pytest.mark.parametrize(
    "outcome", [Succeeded(b"{}", 1.0, files=(LOG,)), Failed("crashed", "it broke", files=(LOG,)), Cancelled((LOG,))]
)
def test_whatever_becomes_of_an_attempt_its_origin_hears_of_its_files(outcome: Outcome) -> None:
    message = told(AttemptKey(LAPTOP, JobId("aaaaaaaaaaaa"), AttemptNumber(1)), outcome, outcome.files)
    assert read_refs(message.files) == (LOG,)
