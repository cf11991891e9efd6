"""What an attempt needs, and nobody has any more: the attempt goes back to its origin, and nothing of it stays."""

import hashlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from meshd.kinds.base import Document
from meshd.kinds.workshop import InputFile
from meshd_protocol.ids import DeviceId
from tests.support.desk import Desk, PlainKind, joined, open_desk
from tests.support.eventually import eventually
from tests.support.memory_exchange import MemoryExchange

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
