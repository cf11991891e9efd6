"""Blobs in a folder: one file each, which has its name only when it is whole and on disk.

`<digest>` is a blob, `<digest>.part` one that is arriving, `<digest>.<n>.new` one that is being put.
"""

import asyncio
import contextlib
import errno
import functools
import hashlib
import itertools
import logging
import os
import re
import stat
import threading
from collections.abc import AsyncGenerator, Collection, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from io import FileIO
from pathlib import Path

from meshd.errors import BadInput, Conflict, Degraded, NotFound
from meshd.store.blobs import BATCH_BYTES, CHUNK_BYTES, Arrival, BlobRef
from meshd_protocol.messages.blobs import DIGEST_PATTERN, MAX_BLOB_BYTES

log = logging.getLogger(__name__)

KEEP_ON_FULL_DISK_BYTES = 16 << 20
"""What an arrival may keep when the disk is full: a second of network. More is given back to those who need it."""

_FILE = re.compile(rf"({DIGEST_PATTERN})(\.part|\.\d+\.new|)")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_O_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_O_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
"""So that a named pipe without a writer does not hold up its reader."""

_O_BINARY: int = getattr(os, "O_BINARY", 0)
"""Windows alone has it, and changes line ends without it."""


class FileBlobs:
    """The real store: a file a blob in one folder, which must exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arriving: set[str] = set()
        self._drafts = itertools.count()

    async def put(self, data: bytes) -> BlobRef:
        """See `BlobStore.put`."""
        return await asyncio.to_thread(self._put, data)

    async def read(self, ref: BlobRef) -> bytes:
        """See `BlobStore.read`."""
        return await asyncio.to_thread(self._read, ref)

    async def has(self, ref: BlobRef) -> bool:
        """See `BlobStore.has`."""
        return await self.size(ref.digest) == ref.size

    async def size(self, digest: str) -> int | None:
        """See `BlobStore.size`."""
        return await asyncio.to_thread(_size, self._blob(digest))

    async def chunks(self, ref: BlobRef, start: int = 0) -> AsyncGenerator[bytes]:
        """See `BlobStore.chunks`."""
        loop = asyncio.get_running_loop()
        departure = _Departure(self._blob(ref.digest), ref, start)
        batch = loop.run_in_executor(None, departure.next)
        try:
            while chunks := await asyncio.shield(batch):
                # The disk and the digest work on what follows while this is sent.
                batch = loop.run_in_executor(None, departure.next)
                for chunk in chunks:
                    yield chunk
        finally:
            # Not awaited: a caller that is cancelled leaves its thread behind, and must not close under its hands.
            batch.add_done_callback(departure.close)

    @asynccontextmanager
    async def receive(self, ref: BlobRef) -> AsyncGenerator[Arrival]:
        """See `BlobStore.receive`."""
        if ref.digest in self._arriving:
            raise Conflict(f"the blob {ref} is arriving already")
        loop = asyncio.get_running_loop()
        self._arriving.add(ref.digest)
        opening = loop.run_in_executor(None, _FileArrival, self._part(ref.digest), self._blob(ref.digest), ref)
        # A caller that is cancelled leaves its threads behind: the next arrival begins when the last has ended,
        # or two would write one file.
        try:
            arrival = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(functools.partial(self._drop, ref.digest))
            raise
        except BaseException:
            self._arriving.discard(ref.digest)
            raise
        try:
            yield arrival
        finally:
            closing = loop.run_in_executor(None, arrival.close)
            closing.add_done_callback(lambda _: self._arriving.discard(ref.digest))
            await asyncio.shield(closing)

    async def delete(self, digests: Collection[str]) -> None:
        """See `BlobStore.delete`."""
        files = [self._blob(digest) for digest in digests]
        files += [self._part(digest) for digest in digests if digest not in self._arriving]
        await asyncio.to_thread(_forget, files)

    def path(self, ref: BlobRef) -> Path:
        """Return where the blob is, or would be; its file is to be read, and never changed."""
        return self._blob(ref.digest)

    async def adopt(self, file: Path) -> BlobRef:
        """Take a file of the same disk away and keep what is in it; the blob is on disk when this returns.

        Raises:
            BadInput: it is not an ordinary file, or too large for a blob.
            Degraded: the disk refuses.
        """
        return await asyncio.to_thread(self._adopt, file)

    async def used(self) -> int:
        """Return how many bytes all blobs have, those that arrive included."""
        return await asyncio.to_thread(self._used)

    async def sweep(self, keep: Collection[str]) -> int:
        """See `BlobStore.sweep`."""
        return await asyncio.to_thread(self._sweep, frozenset(keep))

    def _drop(self, digest: str, opening: asyncio.Future["_FileArrival"]) -> None:
        """Close an arrival whose caller had gone before it was open."""
        self._arriving.discard(digest)
        if opening.exception() is None:
            opening.result().close()

    def _blob(self, digest: str) -> Path:
        return self._folder / BlobRef(digest, 0).digest

    def _part(self, digest: str) -> Path:
        return self._blob(digest).with_suffix(".part")

    def _put(self, data: bytes) -> BlobRef:
        ref = BlobRef(hashlib.sha256(data).hexdigest(), len(data))
        blob = self._blob(ref.digest)
        draft = blob.with_suffix(f".{next(self._drafts)}.new")
        with _disk(f"the blob {ref} could not be stored"):
            if not _is_intact(blob, ref):
                try:
                    with _create(draft) as file:
                        _append(file, data)
                        os.fsync(file.fileno())
                    draft.replace(blob)
                except BaseException:
                    draft.unlink(missing_ok=True)
                    raise
            # Also for a blob that was here: whoever put it may not have come this far yet.
            _sync(self._folder)
        return ref

    def _adopt(self, file: Path) -> BlobRef:
        with _disk(f"{file.name} could not be kept"):
            try:
                descriptor = os.open(file, os.O_RDONLY | _O_NOFOLLOW | _O_BINARY | _O_NONBLOCK)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise BadInput(f"{file.name} is a symbolic link") from error
                raise
            with open(descriptor, "rb", buffering=0) as opened:  # noqa: PTH123 - a descriptor
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise BadInput(f"{file.name} is not an ordinary file")
                if found.st_size > MAX_BLOB_BYTES:
                    raise BadInput(
                        f"a file of {found.st_size:,} bytes is more than {MAX_BLOB_BYTES:,} that may be kept"
                    )
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
                os.fsync(descriptor)
                ref = BlobRef(digest, os.fstat(descriptor).st_size)
            file.chmod(0o600)
            file.replace(self._blob(digest))
            _sync(self._folder)
        return ref

    def _used(self) -> int:
        used = 0
        with _disk("the blobs could not be counted"), os.scandir(self._folder) as entries:
            for entry in entries:
                # One that goes meanwhile takes no room any more.
                with contextlib.suppress(FileNotFoundError):
                    used += entry.stat(follow_symlinks=False).st_size
        return used

    def _read(self, ref: BlobRef) -> bytes:
        blob = self._blob(ref.digest)
        if _size(blob) is None:
            raise _absent(ref)
        with _disk(f"the blob {ref} could not be read"):
            data = blob.read_bytes()
        if len(data) != ref.size or hashlib.sha256(data).hexdigest() != ref.digest:
            raise _damaged(blob, ref)
        return data

    def _sweep(self, keep: frozenset[str]) -> int:
        found = list[Path]()
        with _disk(f"{self._folder} could not be cleared up"):
            for file in self._folder.iterdir():
                match = _FILE.fullmatch(file.name)
                if match is None:
                    # Not ours to delete.
                    continue
                digest, suffix = match.groups()
                if digest not in keep or suffix not in {"", ".part"}:
                    found.append(file)
        return _forget(found)


class _Departure:
    """A blob that is read in batches, from any thread. Blocks."""

    def __init__(self, blob: Path, ref: BlobRef, start: int) -> None:
        self._blob = blob
        self._ref = ref
        self._start = start
        self._left = ref.size - start
        # A part proves nothing about the whole: whoever puts it together does.
        self._digest = None if start else hashlib.sha256()
        self._file: FileIO | None = None

    def next(self) -> list[bytes]:
        """Return what follows, nothing at the end."""
        file = self._file = self._file or self._open()
        chunks = list[bytes]()
        room = min(BATCH_BYTES, self._left)
        while room > 0:
            with _disk(f"the blob {self._ref} could not be read"):
                chunk = file.read(min(CHUNK_BYTES, room))
            if not chunk:
                raise self._damage()
            if self._digest is not None:
                self._digest.update(chunk)
            chunks.append(chunk)
            room -= len(chunk)
            self._left -= len(chunk)
        if self._left == 0 and self._digest is not None and self._digest.hexdigest() != self._ref.digest:
            raise self._damage()
        return chunks

    def close(self, last: asyncio.Future[list[bytes]]) -> None:
        """Let go of the file, once the last batch is read."""
        if not last.cancelled():
            # Asked for, so that nobody complains: a damage that is found after the caller has gone is found again.
            last.exception()
        if self._file is not None:
            self._file.close()

    def _open(self) -> FileIO:
        if _size(self._blob) != self._ref.size:
            raise _absent(self._ref)
        with _disk(f"the blob {self._ref} could not be read"):
            file = self._blob.open("rb", buffering=0)
            file.seek(self._start)
        return file

    def _damage(self) -> Degraded:
        if self._file is not None:
            # Windows does not delete an open file.
            self._file.close()
        return _damaged(self._blob, self._ref)


class _FileArrival:
    """See `Arrival`. A caller that is cancelled leaves its thread behind, so that a lock keeps the order."""

    def __init__(self, part: Path, blob: Path, ref: BlobRef) -> None:
        self._part = part
        self._blob = blob
        self._ref = ref
        self._offset = 0
        self._digest = hashlib.sha256()
        self._lock = threading.Lock()
        with _disk(f"the arrival of the blob {ref} could not be opened"):
            self._file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | _O_BINARY, 0o600), "r+b", buffering=0)
            try:
                self._take_up()
            except BaseException:
                self._file.close()
                raise

    @property
    def offset(self) -> int:
        """See `Arrival.offset`."""
        return self._offset

    async def write(self, chunks: Sequence[bytes]) -> None:
        """See `Arrival.write`."""
        await asyncio.to_thread(self._write, chunks)

    async def finish(self) -> None:
        """See `Arrival.finish`."""
        await asyncio.to_thread(self._finish)

    def close(self) -> None:
        """Let go of the file. Blocks."""
        with self._lock:
            self._file.close()

    def _take_up(self) -> None:
        """Go to the end of what an earlier arrival left."""
        while self._offset < self._ref.size and (
            chunk := self._file.read(min(CHUNK_BYTES, self._ref.size - self._offset))
        ):
            self._digest.update(chunk)
            self._offset += len(chunk)
        if self._file.seek(0, os.SEEK_END) > self._offset:
            self._file.truncate(self._offset)

    def _write(self, chunks: Sequence[bytes]) -> None:
        with self._lock, _disk(f"the blob {self._ref} could not be written"):
            self._refuse_if_over()
            size = sum(len(chunk) for chunk in chunks)
            if self._offset + size > self._ref.size:
                raise BadInput(f"more bytes arrive than the blob {self._ref} has")
            try:
                # What a failing disk took of an earlier write may still lie behind the offset.
                self._file.seek(self._offset)
                for chunk in chunks:
                    _append(self._file, chunk)
            except OSError:
                self._retreat()
                raise
            for chunk in chunks:
                self._digest.update(chunk)
            self._offset += size

    def _refuse_if_over(self) -> None:
        if self._file.closed:
            raise Conflict(f"the arrival of the blob {self._ref} is over")

    def _retreat(self) -> None:
        """Undo half a write; and give the room back, when it is so much that others miss it on a full disk."""
        if self._offset > KEEP_ON_FULL_DISK_BYTES:
            self._begin_again()
        else:
            self._file.truncate(self._offset)

    def _begin_again(self) -> None:
        self._offset = 0
        self._digest = hashlib.sha256()
        self._file.truncate(0)

    def _finish(self) -> None:
        with self._lock, _disk(f"the blob {self._ref} could not be stored"):
            self._refuse_if_over()
            arrived = f"{self._offset} bytes with the digest {self._digest.hexdigest()}"
            if self._offset != self._ref.size or self._digest.hexdigest() != self._ref.digest:
                self._begin_again()
                raise BadInput(f"{arrived} arrived instead of the blob {self._ref}")
            try:
                os.fsync(self._file.fileno())
            except OSError:
                # The kernel tells of lost pages once: another fsync would succeed without them.
                self._begin_again()
                raise
            # Closed before: Windows does not rename an open file.
            self._file.close()
            self._part.replace(self._blob)
            _sync(self._blob.parent)


def _append(file: FileIO, data: bytes) -> None:
    """Write all of `data`; an unbuffered file may take less at a time, when the disk is nearly full."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _create(path: Path) -> FileIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _O_BINARY, 0o600), "wb", buffering=0)


def _sync(folder: Path) -> None:
    """Wait until the names in `folder` are on disk, where the system can tell."""
    if os.name == "posix":
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def _size(blob: Path) -> int | None:
    try:
        return blob.stat().st_size
    except OSError:
        return None


def _is_intact(blob: Path, ref: BlobRef) -> bool:
    if _size(blob) != ref.size:
        return False
    with blob.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == ref.digest


def _forget(files: Collection[Path]) -> int:
    """Delete the files and return how many that were; what Windows holds open stays for the next sweep."""
    gone = 0
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
            gone += 1
    return gone


def _absent(ref: BlobRef) -> NotFound:
    return NotFound(f"the blob {ref} is not here")


def _damaged(blob: Path, ref: BlobRef) -> Degraded:
    """Delete what is no longer the blob, so that it is fetched anew, and return the error that says so."""
    _forget([blob])
    log.error("the blob %s was damaged on this disk and is deleted", ref)
    return Degraded(f"the blob {ref} was damaged on this disk", hint="check the disk; the blob is fetched or made anew")


@contextmanager
def _disk(trouble: str) -> Generator[None]:
    """Turn what the disk says into what a person reads."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in _FULL
        raise Degraded(
            f"{trouble}: {error.strerror or error}",
            hint="free some disk space, then try again" if is_full else "check the disk, then try again",
        ) from error
