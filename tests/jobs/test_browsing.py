"""What a job prints can be followed from its submission on."""

from pathlib import Path

import pytest
from msgspec import structs

from meshd.errors import NotFound
from meshd.jobs import news
from meshd.jobs.browsing import FileBrowser
from meshd.jobs.model import Job
from meshd.jobs.outputs import Outputs
from meshd.store.blob_files import FileBlobs
from meshd_protocol.ids import DeviceId, JobId
from tests.support.desk import Desk, is_running, open_desk
from tests.support.eventually import eventually

LAPTOP = DeviceId("laptoplaptoplapt")

pytestmark = pytest.mark.asyncio


def browser_of(desk: Desk, folder: Path) -> FileBrowser:
    return FileBrowser(
        history=desk.history,
        origin=desk.origin,
        store=desk.store,
        blobs=FileBlobs(folder / "blobs"),
        device=desk.device,
        outputs=Outputs(device=desk.device, folder=folder / "logs"),
        quota_bytes=1,
        names=lambda device: device,
    )


async def test_the_log_of_an_attempt_that_is_about_to_be_told_is_empty_and_not_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "NEWS_S", 3600.0)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        browser = browser_of(desk, tmp_path)
        job = await desk.submit()
        await eventually(lambda: len(desk.pool.runs) == 1)
        page = await browser.log(job, attempt=1, after=0, hold_s=0.0)
        assert (page.attempt, page.data, page.done) == (0, b"", False)
        with pytest.raises(NotFound, match="has no attempt 2"):
            await browser.log(job, attempt=2, after=0, hold_s=0.0)


async def test_there_is_no_log_of_an_attempt_that_nobody_waits_for(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        browser = browser_of(desk, tmp_path)
        job = await desk.submit()
        await eventually(lambda: is_running(desk, job))
        with pytest.raises(NotFound, match="has no attempt 2"):
            await browser.log(job, attempt=2, after=0, hold_s=0.0)
        desk.pool.runs[0].succeed()
        await eventually(lambda: is_completed(desk, job))
        with pytest.raises(NotFound, match="has no attempt 2"):
            await browser.log(job, attempt=2, after=0, hold_s=0.0)


async def test_the_log_of_an_attempt_that_has_only_just_come_to_disk_is_not_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        browser = browser_of(desk, tmp_path)
        job = await desk.submit()
        await eventually(lambda: is_running(desk, job))
        found = desk.origin.job(job)
        assert found is not None
        untold = structs.replace(found[0], state="queued", attempts=())

        def as_told(_: JobId) -> tuple[Job, None]:
            return untold, None

        monkeypatch.setattr(desk.origin, "job", as_told)
        page = await browser.log(job, attempt=1, after=0, hold_s=0.0)
        assert (page.attempt, page.data, page.done) == (1, b"", False)


async def is_completed(desk: Desk, job: str) -> bool:
    return (await desk.history.job(job)).state == "completed"
