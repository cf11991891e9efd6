"""Files that users hand over wait for the jobs that name them: not for ever, and not in any number."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from meshd.jobs import files
from meshd.store.blobs import BlobRef
from meshd_protocol.ids import DeviceId
from tests.support.desk import Desk, open_desk
from tests.support.eventually import eventually

LAPTOP = DeviceId("laptoplaptoplapt")

pytestmark = pytest.mark.asyncio


async def handed_over(desk: Desk, text: str) -> str:
    ref = await desk.blobs.put(text.encode())
    desk.origin.files.uploaded(ref)
    return ref.digest


async def test_of_too_many_uploads_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_TAKEN", 2)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        one, two = await handed_over(laptop, "one"), await handed_over(laptop, "two")
        assert await handed_over(laptop, "one") == one
        three = await handed_over(laptop, "three")
        await eventually(lambda: laptop.blobs.blobs.keys() == {one, three})
        assert two not in laptop.blobs.blobs


async def test_an_upload_that_no_job_has_named_goes_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        kept = await handed_over(laptop, "kept for an hour")
        await asyncio.sleep(0)
        assert kept in laptop.blobs.blobs
    monkeypatch.setattr(files, "TAKEN_S", 0.0)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        for text in ("one", "two"):
            await handed_over(laptop, text)
        await eventually(lambda: not laptop.blobs.blobs)


async def test_an_upload_that_is_repeated_is_pinned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "TAKEN_S", 0.0)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        ref = BlobRef(hashlib.sha256(b"again").hexdigest(), 5)
        await laptop.blobs.put(b"again")
        for _ in range(3):
            laptop.origin.files.uploaded(ref)
        await eventually(lambda: not laptop.blobs.blobs)
