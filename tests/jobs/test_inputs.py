"""The files that a job needs: kept while it may be on disk, and missed before anything begins without them."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from meshd.kinds.base import Document
from meshd.kinds.workshop import InputFile
from meshd.net.streams import Transaction
from meshd_protocol.ids import DeviceId
from tests.support.desk import Desk, PlainKind, joined, open_desk
from tests.support.eventually import eventually
from tests.support.memory_exchange import MemoryExchange

T = TypeVar("T")

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")
NUMBERS = b"1 2 3"


@dataclass(frozen=True, slots=True)
class NeedingKind(PlainKind):
    """A kind whose jobs need one file."""

    def inputs(self, _: Document) -> Sequence[InputFile]:
        return [InputFile("numbers", hashlib.sha256(NUMBERS).hexdigest(), len(NUMBERS))]


async def declined(desk: Desk, job: str) -> bool:
    return any(attempt.state == "declined" for attempt in (await desk.history.job(job)).attempts)


@pytest.mark.asyncio
async def test_of_an_attempt_whose_input_nobody_has_nothing_stays_or_begins(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        kind, exchanges = NeedingKind(), dict[DeviceId, MemoryExchange]()
        laptop, pc = [
            await stack.enter_async_context(
                open_desk(tmp_path / name, device, {other: other_name}, kind=kind, exchanges=exchanges)
            )
            for name, device, other, other_name in (("laptop", LAPTOP, PC, "pc"), ("pc", PC, LAPTOP, "laptop"))
        ]
        await stack.enter_async_context(joined(laptop, pc))
        # Here no device lets another read its inputs.
        await laptop.blobs.put(NUMBERS)
        job = await laptop.submit("pc")
        await eventually(lambda: declined(laptop, job))
        assert pc.executor.busy + pc.executor.queued == 0
        assert not pc.pool.runs


@pytest.mark.asyncio
async def test_whoever_hangs_up_while_his_job_is_stored_does_not_take_its_inputs_along(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}, kind=NeedingKind()) as laptop:
        await laptop.blobs.put(NUMBERS)
        stored = laptop.streams.write
        reached = asyncio.Event()

        async def write(command: Callable[[Transaction], T]) -> T:
            reached.set()
            return await stored(command)

        laptop.streams.write = write
        asking = asyncio.ensure_future(laptop.submit("local"))  # noqa: TID251
        await reached.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await eventually(lambda: len(laptop.pool.runs) == 1)
        assert list(laptop.blobs.blobs.values()) == [NUMBERS]
