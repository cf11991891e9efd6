"""That an attempt runs is on disk soon, or together with its end; where running twice does harm, it is first."""

import asyncio
from pathlib import Path

import pytest

from meshd.jobs import news
from meshd_protocol.ids import DeviceId, JobId
from tests.support.desk import Desk, PlainKind, is_running, open_desk
from tests.support.eventually import eventually

pytestmark = pytest.mark.asyncio
LAPTOP = DeviceId("laptoplaptoplapt")


async def story(desk: Desk, job: JobId) -> list[str]:
    rows = await desk.store.fetch("SELECT state FROM transition WHERE job = ? ORDER BY number", (job,))
    return [row["state"] for row in rows]


async def test_a_short_attempt_is_stored_as_started_and_ended_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "NEWS_S", 3600.0)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        job = await desk.submit()
        await eventually(lambda: len(desk.pool.runs) == 1)
        assert await story(desk, job) == ["queued", "offered"]
        desk.pool.runs[0].succeed()
        await eventually(lambda: is_completed(desk, job))
        assert await story(desk, job) == ["queued", "offered", "running", "succeeded", "completed"]
        view = await desk.view(job)
        assert view.started_at is not None
        assert view.ended_at is not None


async def test_a_longer_one_is_seen_to_run(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        job = await desk.submit()
        await eventually(lambda: is_running(desk, job))
        assert await story(desk, job) == ["queued", "offered", "running"]


async def test_what_has_effects_is_on_disk_as_running_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "NEWS_S", 3600.0)
    kind = PlainKind(deterministic=False, retry_safe=False)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}, kind=kind) as desk:
        job = await desk.submit()
        await eventually(lambda: len(desk.pool.runs) == 1)
        assert await story(desk, job) == ["queued", "offered", "running"]


async def is_completed(desk: Desk, job: JobId) -> bool:
    await asyncio.sleep(0)
    return await desk.state(job) == "completed"
