"""A blob that is here is whole, and is what its digest says; the disk may refuse, and nothing is left behind."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Generator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import pytest

from meshd.errors import BadInput, Conflict, Degraded, NotFound
from meshd.store import blob_arrival
from meshd.store import blob_disk as disk
from meshd.store.blob_files import FileBlobs
from meshd.store.blobs import BATCH_BYTES, CHUNK_BYTES, BlobRef, BlobStore
from meshd_protocol.messages.blobs import MAX_BLOB_BYTES
from tests.support.memory_blobs import MemoryBlobs

DATA = os.urandom(BATCH_BYTES * 2 + 12_345)
SIZES = [0, 1, CHUNK_BYTES, BATCH_BYTES, BATCH_BYTES + 1, len(DATA)]


def ref_of(data: bytes) -> BlobRef:
    return BlobRef(hashlib.sha256(data).hexdigest(), len(data))


@dataclass
class Case:
    """A store, and what a test does to it behind its back."""

    blobs: BlobStore
    damage: Callable[[BlobRef], None]
    fill: Callable[[], None]


@pytest.fixture(params=["file", "memory"])
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    if request.param == "memory":
        memory = MemoryBlobs()

        def damage(ref: BlobRef) -> None:
            memory.blobs[ref.digest] = flipped(memory.blobs[ref.digest])

        def fill() -> None:
            memory.full = True

        return Case(memory, damage, fill)

    def damage_file(ref: BlobRef) -> None:
        (tmp_path / ref.digest).write_bytes(flipped((tmp_path / ref.digest).read_bytes()))

    def fill_disk() -> None:
        monkeypatch.setattr(disk, "append", half_then_full)

    return Case(FileBlobs(tmp_path), damage_file, fill_disk)


def flipped(data: bytes) -> bytes:
    """Return `data` with one bit changed in its middle."""
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


def half_then_full(file: FileIO, data: bytes | memoryview) -> None:
    file.write(data[: len(data) // 2])
    raise OSError(28, "No space left on device")


async def arrive(blobs: BlobStore, ref: BlobRef, data: bytes) -> None:
    async with blobs.receive(ref) as arrival:
        await arrival.write([data])
        await arrival.finish()


async def drawn(blobs: BlobStore, ref: BlobRef, start: int = 0) -> bytes:
    async with aclosing(blobs.chunks(ref, start)) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.asyncio
@pytest.mark.parametrize("size", SIZES)
async def test_what_was_put_is_read_whole_and_by_ranges(case: Case, size: int) -> None:
    data = DATA[:size]
    ref = await case.blobs.put(data)

    assert ref == ref_of(data)
    assert await case.blobs.has(ref)
    assert await case.blobs.size(ref.digest) == size
    assert await case.blobs.read(ref) == data
    for start in {0, size // 3, size}:
        assert await drawn(case.blobs, ref, start) == data[start:]


@pytest.mark.asyncio
async def test_what_is_not_here_is_not_found(case: Case) -> None:
    ref = ref_of(b"elsewhere")

    assert not await case.blobs.has(ref)
    assert await case.blobs.size(ref.digest) is None
    with pytest.raises(NotFound):
        await case.blobs.read(ref)
    with pytest.raises(NotFound):
        await drawn(case.blobs, ref)


@pytest.mark.asyncio
async def test_a_blob_of_another_size_is_not_here(case: Case) -> None:
    ref = await case.blobs.put(DATA)

    assert not await case.blobs.has(BlobRef(ref.digest, ref.size - 1))
    with pytest.raises(NotFound):
        await drawn(case.blobs, BlobRef(ref.digest, ref.size - 1))


@pytest.mark.asyncio
async def test_a_damaged_blob_is_never_read_and_then_gone(case: Case) -> None:
    ref = await case.blobs.put(DATA)
    case.damage(ref)

    with pytest.raises(Degraded, match="damaged"):
        await case.blobs.read(ref)
    with pytest.raises(NotFound):
        await case.blobs.read(ref)


@pytest.mark.asyncio
async def test_a_damaged_blob_never_leaves_whole_and_is_then_gone(case: Case) -> None:
    ref = await case.blobs.put(DATA)
    case.damage(ref)
    sent = list[memoryview]()

    async def send() -> None:
        async for chunk in case.blobs.chunks(ref):
            sent.append(chunk)

    with pytest.raises(Degraded, match="damaged"):
        await send()

    assert sum(map(len, sent)) < ref.size
    assert not await case.blobs.has(ref)


@pytest.mark.asyncio
async def test_a_damaged_blob_is_mended_by_putting_it_again(case: Case) -> None:
    ref = await case.blobs.put(DATA)
    case.damage(ref)
    await case.blobs.put(DATA)

    assert await case.blobs.read(ref) == DATA


@pytest.mark.asyncio
async def test_an_arrival_goes_on_where_it_was_cut(case: Case) -> None:
    ref = ref_of(DATA)
    async with case.blobs.receive(ref) as arrival:
        assert arrival.offset == 0
        await arrival.write([DATA[:100], DATA[100:5000]])
    assert not await case.blobs.has(ref)

    async with case.blobs.receive(ref) as arrival:
        assert arrival.offset == 5000
        await arrival.write([DATA[5000:]])
        assert not await case.blobs.has(ref)
        await arrival.finish()

    assert await case.blobs.read(ref) == DATA


@pytest.mark.asyncio
async def test_the_first_byte_too_many_is_refused(case: Case) -> None:
    ref = ref_of(DATA)
    async with case.blobs.receive(ref) as arrival:
        await arrival.write([DATA[:-1]])
        with pytest.raises(BadInput, match="more bytes"):
            await arrival.write([DATA[-1:], b"x"])
        assert arrival.offset == ref.size - 1
        await arrival.write([DATA[-1:]])
        await arrival.finish()

    assert await case.blobs.read(ref) == DATA


@pytest.mark.asyncio
@pytest.mark.parametrize("arrived", [flipped(DATA), DATA[:-1]], ids=["changed", "short"])
async def test_what_does_not_fit_its_digest_is_never_visible(case: Case, arrived: bytes) -> None:
    ref = ref_of(DATA)
    async with case.blobs.receive(ref) as arrival:
        await arrival.write([arrived])
        with pytest.raises(BadInput, match=ref.digest[:12]):
            await arrival.finish()
        assert arrival.offset == 0
        assert not await case.blobs.has(ref)
        await arrival.write([DATA])
        await arrival.finish()

    assert await case.blobs.read(ref) == DATA


@pytest.mark.asyncio
async def test_a_blob_arrives_once_at_a_time(case: Case) -> None:
    ref = ref_of(DATA)
    async with case.blobs.receive(ref):
        with pytest.raises(Conflict):
            async with case.blobs.receive(ref):
                pass
    async with case.blobs.receive(ref):
        pass


@pytest.mark.asyncio
async def test_what_is_deleted_is_gone_and_so_is_what_had_arrived_of_it(case: Case) -> None:
    whole, half = await case.blobs.put(b"whole"), ref_of(DATA)
    async with case.blobs.receive(half) as arrival:
        await arrival.write([DATA[:100]])

    await case.blobs.delete([whole.digest, half.digest, ref_of(b"never here").digest])

    assert not await case.blobs.has(whole)
    async with case.blobs.receive(half) as arrival:
        assert arrival.offset == 0


@pytest.mark.asyncio
async def test_a_sweep_keeps_what_it_is_told_to_keep(case: Case) -> None:
    kept, gone = await case.blobs.put(b"kept"), await case.blobs.put(b"gone")

    assert await case.blobs.sweep({kept.digest, ref_of(b"never here").digest}) == 1
    assert await case.blobs.has(kept)
    assert not await case.blobs.has(gone)


@pytest.mark.asyncio
async def test_a_full_disk_is_said_and_what_was_here_stays(case: Case) -> None:
    before, ref = await case.blobs.put(b"before"), ref_of(DATA)
    async with case.blobs.receive(ref) as arrival:
        await arrival.write([DATA[:1000]])
        case.fill()
        with pytest.raises(Degraded, match="could not be"):
            await case.blobs.put(b"too much")
        with pytest.raises(Degraded, match="could not be"):
            await arrival.write([DATA[1000:]])
        assert arrival.offset == 1000

    assert await case.blobs.read(before) == b"before"
    assert not await case.blobs.has(ref_of(b"too much"))


# What only files can show


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@contextmanager
def disk_full() -> Generator[None]:
    """Let every write fail halfway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "append", half_then_full)
        yield


@pytest.mark.asyncio
async def test_a_put_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with disk_full(), pytest.raises(Degraded):
        await FileBlobs(tmp_path).put(DATA)

    assert names(tmp_path) == []


@pytest.mark.asyncio
async def test_after_a_full_disk_an_arrival_goes_on_with_what_it_had(tmp_path: Path) -> None:
    blobs, ref = FileBlobs(tmp_path), ref_of(DATA)
    async with blobs.receive(ref) as arrival:
        await arrival.write([DATA[:1000]])
        with disk_full(), pytest.raises(Degraded):
            await arrival.write([DATA[1000:]])
        assert (tmp_path / f"{ref.digest}.part").stat().st_size == 1000
        await arrival.write([DATA[1000:]])
        await arrival.finish()

    assert await blobs.read(ref) == DATA


@pytest.mark.asyncio
async def test_a_large_arrival_gives_its_room_back_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_arrival, "KEEP_ON_FULL_DISK_BYTES", 999)
    ref = ref_of(DATA)
    async with FileBlobs(tmp_path).receive(ref) as arrival:
        await arrival.write([DATA[:1000]])
        with disk_full(), pytest.raises(Degraded):
            await arrival.write([DATA[1000:]])
        assert arrival.offset == 0
        assert (tmp_path / f"{ref.digest}.part").stat().st_size == 0


@pytest.mark.asyncio
@pytest.mark.skipif(os.name != "posix", reason="no data: only POSIX limits the size of a file")
async def test_a_limit_of_the_system_is_a_clear_error_and_leaves_no_file(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BATCH_BYTES, hard))
    try:
        with pytest.raises(Degraded, match="File too large"):
            await FileBlobs(tmp_path).put(DATA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert names(tmp_path) == []


@pytest.mark.asyncio
async def test_a_blob_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[list[str]]()
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        seen.append(names(tmp_path))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    put = await FileBlobs(tmp_path).put(b"one")
    arrived = ref_of(b"two")
    await arrive(FileBlobs(tmp_path), arrived, b"two")

    if os.name == "posix":
        # The file under another name, then the folder with the name; and the same again.
        assert [put.digest in listed for listed in seen] == [False, True, True, True]
        assert [arrived.digest in listed for listed in seen] == [False, False, False, True]
    else:
        assert [put.digest in listed for listed in seen] == [False, True]
        assert [arrived.digest in listed for listed in seen] == [False, False]


@pytest.mark.asyncio
async def test_blobs_outlive_the_process_and_are_nobody_elses_to_read(tmp_path: Path) -> None:
    ref = await FileBlobs(tmp_path).put(DATA)

    assert await FileBlobs(tmp_path).read(ref) == DATA
    if os.name == "posix":
        assert (tmp_path / ref.digest).stat().st_mode & 0o777 == 0o600


@pytest.mark.asyncio
async def test_a_sweep_forgets_drafts_and_the_arrivals_of_what_nobody_wants_and_leaves_what_is_not_ours(
    tmp_path: Path,
) -> None:
    blobs, wanted, other = FileBlobs(tmp_path), ref_of(b"wanted"), ref_of(b"other")
    for ref in (wanted, other):
        async with blobs.receive(ref) as arrival:
            await arrival.write([b"x"])
    (tmp_path / f"{wanted.digest}.7.new").write_bytes(b"draft of a process that was killed")
    (tmp_path / "notes.txt").write_bytes(b"somebody else's")

    assert await blobs.sweep([wanted.digest]) == 2
    assert names(tmp_path) == sorted([f"{wanted.digest}.part", "notes.txt"])


@pytest.mark.asyncio
async def test_a_caller_that_gives_up_leaves_an_arrival_that_can_be_taken_up(tmp_path: Path) -> None:
    blobs, ref = FileBlobs(tmp_path), ref_of(DATA)

    async def write_and_hang() -> None:
        async with blobs.receive(ref) as arrival:
            await arrival.write([DATA[:1000]])
            written.set()
            await asyncio.Event().wait()

    written = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(write_and_hang())
        await written.wait()
        task.cancel()
        await asyncio.wait({task})
    async with blobs.receive(ref) as arrival:
        assert arrival.offset == 1000
        await arrival.write([DATA[1000:]])
        await arrival.finish()

    assert await blobs.read(ref) == DATA


@pytest.mark.parametrize(
    ("digest", "size"),
    [
        ("../../etc/passwd", 1),
        ("a" * 63, 1),
        ("A" * 64, 1),
        ("a" * 64 + "\n", 1),
        ("a" * 64, -1),
        ("a" * 64, MAX_BLOB_BYTES + 1),
    ],
)
def test_what_is_no_digest_or_no_size_names_no_blob(digest: str, size: int) -> None:
    with pytest.raises(BadInput):
        BlobRef(digest, size)


@pytest.mark.asyncio
async def test_nothing_outside_the_folder_can_be_deleted(case: Case) -> None:
    with pytest.raises(BadInput):
        await case.blobs.delete(["../identity"])
