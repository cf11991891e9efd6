"""What attempts have printed is kept with what is known of them."""

from pathlib import Path

import pytest

from meshd.jobs.outputs import PEERS, Outputs
from meshd.store.files import attempts_of_open_jobs
from meshd_protocol.ids import DeviceId, JobId
from tests.support.desk import Desk, is_running, open_desk
from tests.support.eventually import eventually

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")


@pytest.mark.asyncio
async def test_a_start_removes_what_was_printed_by_attempts_of_which_nothing_is_known(tmp_path: Path) -> None:
    outputs = Outputs(device=LAPTOP, folder=tmp_path)
    printed = [f"{PEERS}/some", "gone/1", "open/1", "open/2", "fresh/1", "ended/1"]
    for name in printed:
        (tmp_path / name).mkdir(parents=True)
    await outputs.sweep(["open", "fresh", "ended"], {"open": {1}, "fresh": set()})
    assert [name for name in printed if (tmp_path / name).exists()] == ["open/1", "ended/1"]


@pytest.mark.asyncio
async def test_the_attempts_of_open_jobs_are_known_and_those_of_others_are_not_asked_for(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as desk:
        done = await desk.submit("local")
        await eventually(lambda: len(desk.pool.runs) == 1)
        desk.pool.runs[0].succeed()
        await eventually(lambda: has_ended(desk, done))
        runs, waits = await desk.submit("local"), await desk.submit("pc")
        await eventually(lambda: is_running(desk, runs))
        assert await attempts_of_open_jobs(desk.store) == {runs: {1}, waits: set()}


async def has_ended(desk: Desk, job: JobId) -> bool:
    return await desk.state(job) == "completed"
