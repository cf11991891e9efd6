"""Whoever was unpaired a moment ago, and is still thought to be there, gets nothing more; and nobody is the worse."""

import logging
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meshd.execution.outcome import ProgressReport
from meshd.kinds.base import Part
from meshd_protocol.ids import DeviceId
from tests.support.desk import Desk, is_running, joined
from tests.support.eventually import eventually
from tests.support.shared_job import PHASE, two_desks

pytestmark = pytest.mark.asyncio


async def unpair(desk: Desk, peer: DeviceId) -> None:
    """Take a peer from the disk, of which the job side has not heard yet."""
    await desk.store.write(lambda connection: connection.execute("DELETE FROM peer WHERE device = ?", (peer,)))


async def test_units_that_were_for_a_device_which_is_unpaired_meanwhile_go_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("local", spread=True)
        await eventually(lambda: is_running(laptop, job))
        whole = laptop.pool.runs[0]
        whole.on_progress(ProgressReport(0.1, "", "", 60.0))
        await eventually(lambda: whole.told == ["shrink 0.50"])
        await unpair(laptop, pc.device)
        whole.on_shrunk(Part(PHASE, 60, 100))

        def has_them_back() -> bool:
            whole.on_waiting(0, 100, [(60, 100)])
            return "extend 0 60-100" in whole.told

        await eventually(has_them_back)
        assert [attempt.units for attempt in (await laptop.view(job)).attempts] == [None]
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_job_for_a_device_which_is_unpaired_meanwhile_is_taken_and_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: is_heard(laptop, pc))
        await unpair(laptop, pc.device)
        job = await laptop.submit("pc")
        assert await laptop.state(job) == "queued"
        await eventually(lambda: "pc is no longer paired" in caplog.messages)
        assert await laptop.state(job) == "queued"
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


async def is_heard(desk: Desk, peer: Desk) -> bool:
    return any(device.device == peer.device and device.kinds for device in desk.roster.snapshot({}).devices)
