"""A blob arrives whole on a disk that fails on the way: what the disk took and lost is not believed."""
# pyright: reportPrivateUsage=false

import asyncio
import errno
import hashlib
import os
import threading
from io import FileIO
from pathlib import Path

import pytest

from meshd.errors import Conflict, Degraded
from meshd.store import blob_arrival
from meshd.store import blob_disk as disk
from meshd.store.blob_arrival import FileArrival
from meshd.store.blob_files import FileBlobs
from meshd.store.blobs import Arrival, BlobRef

DATA = os.urandom(12_345)
REF = BlobRef(hashlib.sha256(DATA).hexdigest(), len(DATA))


def broken(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


def half_broken(file: FileIO, data: bytes | memoryview) -> None:
    file.write(data[: len(data) // 2])
    broken()


async def end(arrival: Arrival, rest: bytes) -> None:
    await arrival.write([rest])
    await arrival.finish()


@pytest.mark.asyncio
async def test_what_a_failing_disk_took_of_a_write_is_not_part_of_the_blob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FileBlobs(tmp_path)
    async with blobs.receive(REF) as arrival:
        await arrival.write([DATA[:1000]])
        with monkeypatch.context() as patch:
            # The disk takes half, and then does not even let go of it.
            patch.setattr(disk, "append", half_broken)
            patch.setattr(FileArrival, "_retreat", broken)
            with pytest.raises(Degraded):
                await arrival.write([DATA[1000:]])
        assert arrival.offset == 1000
        await arrival.write([DATA[1000:]])
        await arrival.finish()

    assert await blobs.read(REF) == DATA


@pytest.mark.asyncio
async def test_after_a_failed_fsync_an_arrival_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FileBlobs(tmp_path)
    async with blobs.receive(REF) as arrival:
        await arrival.write([DATA])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", broken)
            with pytest.raises(Degraded, match="Input/output") as caught:
                await arrival.finish()
        # The kernel tells of lost pages once: another fsync would succeed without them.
        assert arrival.offset == 0
        assert (tmp_path / f"{REF.digest}.part").stat().st_size == 0
        await arrival.write([DATA])
        await arrival.finish()

    assert "check the disk" in caught.value.hint
    assert await blobs.read(REF) == DATA


@pytest.mark.asyncio
@pytest.mark.parametrize("then", ["write", "finish", "leave"])
async def test_what_a_failing_disk_lost_while_the_rest_came_is_not_part_of_the_blob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    blobs = FileBlobs(tmp_path)
    monkeypatch.setattr(blob_arrival, "FLUSH_BYTES", 1000)
    met = threading.Event()

    def lost(_: int) -> None:
        met.set()
        broken()

    async with blobs.receive(REF) as arrival:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lost)
            await arrival.write([DATA[:1000]] if then == "write" else [DATA])
            await asyncio.to_thread(met.wait)
        # From here on the disk does not mention it any more.
        if then != "leave":
            with pytest.raises(Degraded, match="Input/output"):
                await (end(arrival, DATA[1000:]) if then == "write" else arrival.finish())
            assert arrival.offset == 0
    async with blobs.receive(REF) as arrival:
        assert arrival.offset == 0
        await arrival.write([DATA])
        await arrival.finish()

    assert await blobs.read(REF) == DATA


@pytest.mark.asyncio
async def test_a_large_blob_is_put_on_disk_while_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_arrival, "FLUSH_BYTES", 1000)
    fsync, flushed = os.fsync, threading.Event()

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        flushed.set()

    monkeypatch.setattr(os, "fsync", watched)
    async with FileBlobs(tmp_path).receive(REF) as arrival:
        await arrival.write([DATA[:999]])
        assert not flushed.is_set()
        await arrival.write([DATA[999:1000]])

        assert await asyncio.to_thread(flushed.wait, 10)


@pytest.mark.asyncio
async def test_an_arrival_that_could_not_be_named_is_over_and_can_be_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FileBlobs(tmp_path)
    async with blobs.receive(REF) as arrival:
        await arrival.write([DATA])
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", broken)
            with pytest.raises(Degraded):
                await arrival.finish()
        with pytest.raises(Conflict, match="is over"):
            await arrival.finish()
    async with blobs.receive(REF) as arrival:
        assert arrival.offset == len(DATA)
        await arrival.finish()

    assert await blobs.read(REF) == DATA
