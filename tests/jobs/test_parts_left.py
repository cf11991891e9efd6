"""What a part leaves besides its units, which nobody asks for."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meshd_protocol.limits import MAX_DOCUMENT_BYTES
from tests.jobs.test_spread import a_partial, ended_as, nothing_left, shared, two_desks
from tests.support.desk import joined
from tests.support.eventually import eventually


@pytest.mark.asyncio
async def test_what_a_part_has_left_besides_its_units_does_not_stay(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        job, runs, helps = await shared(laptop, pc)
        part, whole = helps.pool.runs[0], runs.pool.runs[0]
        part.on_partial(a_partial(60, 100))
        # Too long to be told, so that it is set apart.
        part.succeed(b"[" + b"1," * MAX_DOCUMENT_BYTES + b"1]")
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))
        whole.succeed()
        await eventually(lambda: nothing_left(laptop, pc))
        await eventually(lambda: not pc.blobs.blobs)
