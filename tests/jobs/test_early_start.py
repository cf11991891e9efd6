"""What may run again begins while it goes to disk: an attempt of a peer, and the first one of an own job."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from meshd.errors import Degraded
from meshd.jobs.executor import MAX_UNSETTLED
from meshd.kinds.base import Document
from meshd.kinds.workshop import InputFile
from meshd.store import database
from meshd.store.database import Command, Connection
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.messages import jobs
from tests.support.desk import Desk, PlainKind, joined, open_desk
from tests.support.eventually import eventually
from tests.support.memory_blobs import MemoryBlobs

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")
EFFECTFUL = PlainKind(deterministic=False, retry_safe=False)


async def two_desks(stack: AsyncExitStack, folder: Path, kind: PlainKind | None = None) -> tuple[Desk, Desk]:
    laptop = await stack.enter_async_context(open_desk(folder / "laptop", LAPTOP, {PC: "pc"}, kind=kind))
    pc = await stack.enter_async_context(open_desk(folder / "pc", PC, {LAPTOP: "laptop"}, kind=kind))
    return laptop, pc


class SlowDisk:
    """A disk that takes no row of a table before it is told to, or refuses the first one."""

    def __init__(self, table: str) -> None:
        self._table = table
        self.may_take = threading.Event()
        self.asked = threading.Event()
        self.refuses = False
        self._commit = database.commit

    def commit(self, connection: Connection, batch: Sequence[Command]) -> None:
        """See `database.commit`."""
        if self.may_take.is_set() or not self._brings_row(connection, batch):
            self._commit(connection, batch)
            return
        self.asked.set()
        self.may_take.wait(20.0)
        connection.execute("ROLLBACK" if self.refuses else "COMMIT")
        for command in batch if self.refuses else ():
            command.error = Degraded("the disk is full")

    def _brings_row(self, connection: Connection, batch: Sequence[Command]) -> bool:
        """Run the commands; undo it all when they bring no such row."""
        connection.execute("BEGIN IMMEDIATE")
        for command in batch:
            command.execute(connection)
        if connection.execute(f"SELECT 1 FROM {self._table}").fetchone() is not None:  # noqa: S608
            return True
        connection.execute("ROLLBACK")
        for command in batch:
            command.result = command.error = None
        return False


@contextmanager
def a_slow_disk(monkeypatch: pytest.MonkeyPatch, table: str = "held") -> Generator[SlowDisk]:
    disk = SlowDisk(table)
    monkeypatch.setattr(database, "commit", disk.commit)
    try:
        yield disk
    finally:
        disk.may_take.set()


async def is_completed(desk: Desk, job: str) -> bool:
    return (await desk.history.job(job)).state == "completed"


async def do_one(laptop: Desk, pc: Desk) -> None:
    """Have a job done on the pc."""
    job = await laptop.submit("pc")
    await eventually(lambda: len(pc.pool.runs) == 1)
    pc.pool.runs[0].succeed()
    await eventually(lambda: is_completed(laptop, job))


async def is_held(desk: Desk) -> bool:
    return bool(await desk.store.fetch("SELECT * FROM held"))


@pytest.mark.asyncio
async def test_an_attempt_that_may_run_again_begins_while_its_offer_goes_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        with a_slow_disk(monkeypatch) as disk:
            job = await laptop.submit("pc")
            await eventually(lambda: len(pc.pool.runs) == 1)
            assert disk.asked.is_set()
            assert not await pc.store.fetch("SELECT * FROM held")
            pc.pool.runs[0].succeed()
        await eventually(lambda: is_completed(laptop, job))


@pytest.mark.asyncio
async def test_an_attempt_that_has_effects_begins_when_its_offer_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path, EFFECTFUL)
        await stack.enter_async_context(joined(laptop, pc))
        with a_slow_disk(monkeypatch) as disk:
            await laptop.submit("pc")
            await eventually(disk.asked.is_set)
            assert not pc.pool.runs
        await eventually(lambda: len(pc.pool.runs) == 1)


@pytest.mark.asyncio
async def test_an_attempt_that_the_disk_refused_while_it_ran_is_taken_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        with a_slow_disk(monkeypatch) as disk:
            disk.refuses = True
            line = joined(laptop, pc)
            await line.__aenter__()
            job = await laptop.submit("pc")
            await eventually(lambda: len(pc.pool.runs) == 1)
            disk.may_take.set()
            await eventually(lambda: not pc.streams.is_open(LAPTOP))
            with pytest.raises(Degraded):
                await line.__aexit__(None, None, None)
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: is_held(pc))
        (run,) = pc.pool.runs
        run.succeed()
        await eventually(lambda: is_completed(laptop, job))


def answer_no_more(desk: Desk) -> None:
    """Let a desk hear no more what others hold."""
    desk.origin.holding = lambda peer, message: None  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.asyncio
async def test_an_offer_of_the_open_session_brings_its_lease(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        await do_one(laptop, pc)
        answer_no_more(laptop)
        await do_one(laptop, pc)


@pytest.mark.asyncio
async def test_an_attempt_that_has_effects_asks_for_its_lease(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path, EFFECTFUL)
        await stack.enter_async_context(joined(laptop, pc))
        await do_one(laptop, pc)
        await eventually(lambda: is_nothing_held(pc))
        heard = asyncio.Event()
        laptop.origin.holding = lambda peer, message: heard.set()  # pyright: ignore[reportAttributeAccessIssue]
        await laptop.submit("pc")
        await asyncio.wait_for(heard.wait(), 10)
        assert await is_held(pc)
        assert not pc.pool.runs


async def is_nothing_held(desk: Desk) -> bool:
    return not await is_held(desk)


@pytest.mark.asyncio
async def test_a_short_attempt_that_came_with_its_lease_needs_no_word_until_its_end(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        await do_one(laptop, pc)
        told: list[object] = []
        tell = pc.streams.tell
        pc.streams.tell = lambda peer, message, *, key="": (told.append(message), tell(peer, message, key=key))[0]  # pyright: ignore[reportAttributeAccessIssue]
        for _ in range(5):
            await do_one(laptop, pc)
        assert sum(isinstance(message, jobs.Holding) for message in told) < 5


@pytest.mark.asyncio
async def test_the_first_attempt_of_a_job_begins_while_the_job_goes_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        with a_slow_disk(monkeypatch, "job") as disk:
            submitting = asyncio.ensure_future(laptop.submit())  # noqa: TID251
            await eventually(lambda: len(laptop.pool.runs) == 1)
            assert not await laptop.store.fetch("SELECT * FROM job")
            # Its end comes before the disk has it, too.
            laptop.pool.runs[0].succeed()
            await eventually(lambda: not laptop.pool.runs)
            assert not submitting.done()
            disk.may_take.set()
            job = await submitting
        await eventually(lambda: is_completed(laptop, job))
        story = (await laptop.view(job)).story or ()
        assert [line.state for line in story] == ["queued", "offered", "running", "succeeded", "completed"]


@pytest.mark.asyncio
async def test_a_job_with_effects_begins_when_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}, kind=EFFECTFUL) as laptop:
        with a_slow_disk(monkeypatch, "job") as disk:
            submitting = asyncio.ensure_future(laptop.submit())  # noqa: TID251
            await eventually(disk.asked.is_set)
            assert not laptop.pool.runs
            disk.may_take.set()
            await submitting
        await eventually(lambda: len(laptop.pool.runs) == 1)


@pytest.mark.asyncio
async def test_of_a_job_that_the_disk_refuses_nothing_is_left_and_nobody_hears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop, laptop.history.changes() as changes:
        with a_slow_disk(monkeypatch, "job") as disk:
            disk.refuses = True
            submitting = asyncio.ensure_future(laptop.submit())  # noqa: TID251
            await eventually(lambda: len(laptop.pool.runs) == 1)
            refused = JobId(laptop.pool.runs[0].job.partition("@")[0])
            disk.may_take.set()
            with pytest.raises(Degraded):
                await submitting
        await eventually(lambda: not laptop.pool.runs)
        assert laptop.origin.job(refused) is None
        job = await laptop.submit()
        await eventually(lambda: len(laptop.pool.runs) == 1)
        laptop.pool.runs[0].succeed()
        await eventually(lambda: is_completed(laptop, job))
        assert (await anext(changes)).id == job
        assert [row["id"] for row in await laptop.store.fetch("SELECT id FROM job")] == [job]


@pytest.mark.asyncio
async def test_an_attempt_of_a_refused_job_has_nothing_to_store_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(connection: Connection, batch: Sequence[Command]) -> None:
        connection.execute("BEGIN")
        for command in batch:
            command.execute(connection)
            command.error = Degraded("the disk is full")
        connection.execute("ROLLBACK")

    async with open_desk(tmp_path / "laptop", LAPTOP, {}, slots=1) as laptop:
        commit = database.commit
        for _ in range(MAX_UNSETTLED + 1):
            monkeypatch.setattr(database, "commit", refuse)
            with pytest.raises(Degraded):
                await laptop.submit()
            await eventually(lambda: not laptop.pool.runs)
        assert "what must be kept" not in caplog.text
        monkeypatch.setattr(database, "commit", commit)
        job = await laptop.submit()
        await eventually(lambda: len(laptop.pool.runs) == 1)
        laptop.pool.runs[0].succeed()
        await eventually(lambda: is_completed(laptop, job))


@dataclass(frozen=True)
class Filed(PlainKind):
    """A kind whose jobs need a file."""

    digest: str = ""

    def inputs(self, resolved: Document) -> Sequence[InputFile]:
        return (InputFile("a.txt", self.digest, 5),)


@pytest.mark.asyncio
async def test_the_manifest_of_a_job_that_ended_before_it_was_on_disk_names_its_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = MemoryBlobs()
    kind = Filed(digest=hashlib.sha256(b"hello").hexdigest())
    async with open_desk(tmp_path / "laptop", LAPTOP, {}, kind=kind, blobs=blobs) as laptop:
        await blobs.put(b"hello")
        with a_slow_disk(monkeypatch, "job") as disk:
            submitting = asyncio.ensure_future(laptop.submit())  # noqa: TID251
            await eventually(lambda: len(laptop.pool.runs) == 1)
            laptop.pool.runs[0].succeed()
            await eventually(lambda: not laptop.pool.runs)
            await asyncio.sleep(0)
            disk.may_take.set()
            job = await submitting
        await eventually(lambda: is_completed(laptop, job))
        manifest = json.loads(bytes((await laptop.view(job)).manifest))
        assert [file["name"] for file in manifest["inputs"]] == ["a.txt"]
