"""What a part leaves besides its units, which nobody asks for."""

from pathlib import Path

import pytest

from meshd_protocol.limits import MAX_DOCUMENT_BYTES
from tests.support.eventually import eventually
from tests.support.shared_job import a_partial, a_shared_job, ended_as, nothing_left


@pytest.mark.asyncio
async def test_what_a_part_has_left_besides_its_units_does_not_stay(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (laptop, pc, job, whole, part):
        part.on_partial(a_partial(60, 100))
        # Too long to be told, so that it is set apart.
        part.succeed(b"[" + b"1," * MAX_DOCUMENT_BYTES + b"1]")
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))
        whole.succeed()
        await eventually(lambda: nothing_left(laptop, pc))
        await eventually(lambda: not pc.blobs.blobs)
