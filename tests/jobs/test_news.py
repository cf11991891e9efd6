"""That an attempt runs is on disk soon, or together with its end; where running twice does harm, it is first."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from meshd.errors import Degraded
from meshd.jobs import news
from meshd.net import streams
from meshd.store import database
from meshd.store.database import Connection
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
        assert await story(desk, job) == ["queued"]
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


async def test_a_job_that_may_run_again_begins_here_before_its_placing_is_on_disk_and_is_not_shown_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "NEWS_S", 3600.0)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        job = await desk.submit()
        await eventually(lambda: len(desk.pool.runs) == 1)
        view = await desk.view(job)
        assert (view.state, view.attempts) == ("queued", [])
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        await eventually(lambda: len(desk.pool.runs) == 1)
        desk.pool.runs[0].succeed()
        await eventually(lambda: is_completed(desk, job))
        assert await story(desk, job) == ["queued", "offered", "running", "succeeded", "completed"]


async def test_what_has_effects_is_on_disk_as_placed_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "NEWS_S", 3600.0)
    kind = PlainKind(deterministic=False, retry_safe=False)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}, kind=kind) as desk:
        job = await desk.submit()
        await eventually(lambda: len(desk.pool.runs) == 1)
        assert [attempt.state for attempt in (await desk.view(job)).attempts] == ["running"]


async def test_a_job_that_is_cancelled_before_its_placing_is_on_disk_ends_with_that_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "NEWS_S", 3600.0)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        job = await desk.submit()
        await eventually(lambda: len(desk.pool.runs) == 1)
        await desk.origin.cancel(job, reason="enough")
        assert await story(desk, job) == ["queued", "offered", "running", "cancelled", "cancelled"]
        assert await desk.state(job) == "cancelled"


async def test_a_disk_that_refuses_the_end_at_first_takes_all_of_it_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "NEWS_S", 3600.0)
    monkeypatch.setattr(streams, "INSIST_S", 0.01)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        job = await desk.submit()
        await eventually(lambda: len(desk.pool.runs) == 1)
        refusals = iter([True])

        def commit(connection: Connection, batch: Sequence[database.Command]) -> None:
            if not next(refusals, False):
                kept(connection, batch)
                return
            connection.execute("BEGIN IMMEDIATE")
            for command in batch:
                command.execute(connection)
                command.error = Degraded("the disk is full")
            connection.execute("ROLLBACK")

        kept = database.commit
        monkeypatch.setattr(database, "commit", commit)
        desk.pool.runs[0].succeed()
        await eventually(lambda: is_completed(desk, job))
        assert next(refusals, None) is None
        assert await story(desk, job) == ["queued", "offered", "running", "succeeded", "completed"]
