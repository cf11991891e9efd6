"""Blobs in a folder: one file each, which has its name only when it is whole and on disk.

`<digest>` is a blob, `<digest>.part` one that is arriving, `<digest>.<n>.new` one that is being put.
"""

import asyncio
import contextlib
import errno
import functools
import hashlib
import itertools
import os
import re
import stat
import threading
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from meshd.errors import BadInput, Conflict
from meshd.store import blob_disk as disk
from meshd.store.blob_arrival import FileArrival
from meshd.store.blob_departure import FileDeparture
from meshd.store.blobs import CHUNK_BYTES, Arrival, BlobRef
from meshd_protocol.messages.blobs import DIGEST_PATTERN, MAX_BLOB_BYTES

_FILE = re.compile(rf"({DIGEST_PATTERN})(\.part|\.\d+\.new|)")

_O_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_O_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
"""So that a named pipe without a writer does not hold up its reader."""


class FileBlobs:
    """The real store: a file a blob in one folder, which must exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arriving: set[str] = set()
        self._drafts = itertools.count()
        self._flusher = threading.Lock()

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
        return await asyncio.to_thread(disk.size_of, self._blob(digest))

    async def check(self, ref: BlobRef) -> None:
        """See `BlobStore.check`."""
        await asyncio.to_thread(self._check, ref)

    async def chunks(self, ref: BlobRef, start: int = 0, *, checked: bool = True) -> AsyncGenerator[memoryview]:
        """See `BlobStore.chunks`."""
        loop = asyncio.get_running_loop()
        departure = FileDeparture(self._blob(ref.digest), ref, start, checked=checked)
        batch = loop.run_in_executor(None, departure.next)
        try:
            while data := await asyncio.shield(batch):
                # The disk and the digest work on what follows while this is sent.
                batch = loop.run_in_executor(None, departure.next)
                for at in range(0, len(data), CHUNK_BYTES):
                    yield data[at : at + CHUNK_BYTES]
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
        opening = loop.run_in_executor(
            None, FileArrival, self._part(ref.digest), self._blob(ref.digest), ref, self._flusher
        )
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
        await asyncio.to_thread(disk.forget, files)

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

    def _drop(self, digest: str, opening: asyncio.Future[FileArrival]) -> None:
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
        with disk.trouble(f"the blob {ref} could not be stored"):
            if not disk.is_intact(blob, ref):
                try:
                    with disk.create(draft) as file:
                        disk.append(file, data)
                        os.fsync(file.fileno())
                    draft.replace(blob)
                except BaseException:
                    draft.unlink(missing_ok=True)
                    raise
            # Also for a blob that was here: whoever put it may not have come this far yet.
            disk.sync(self._folder)
        return ref

    def _adopt(self, file: Path) -> BlobRef:
        with disk.trouble(f"{file.name} could not be kept"):
            try:
                descriptor = os.open(file, os.O_RDONLY | _O_NOFOLLOW | disk.O_BINARY | _O_NONBLOCK)
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
            disk.sync(self._folder)
        return ref

    def _used(self) -> int:
        used = 0
        with disk.trouble("the blobs could not be counted"), os.scandir(self._folder) as entries:
            for entry in entries:
                # One that goes meanwhile takes no room any more.
                with contextlib.suppress(FileNotFoundError):
                    used += entry.stat(follow_symlinks=False).st_size
        return used

    def _check(self, ref: BlobRef) -> None:
        blob = self._blob(ref.digest)
        if disk.size_of(blob) is None:
            raise disk.absent(ref)
        with disk.trouble(f"the blob {ref} could not be read"):
            intact = disk.is_intact(blob, ref)
        if not intact:
            raise disk.damaged(blob, ref)

    def _read(self, ref: BlobRef) -> bytes:
        blob = self._blob(ref.digest)
        if disk.size_of(blob) is None:
            raise disk.absent(ref)
        with disk.trouble(f"the blob {ref} could not be read"):
            data = blob.read_bytes()
        if len(data) != ref.size or hashlib.sha256(data).hexdigest() != ref.digest:
            raise disk.damaged(blob, ref)
        return data

    def _sweep(self, keep: frozenset[str]) -> int:
        found = list[Path]()
        with disk.trouble(f"{self._folder} could not be cleared up"):
            for file in self._folder.iterdir():
                match = _FILE.fullmatch(file.name)
                if match is None:
                    # Not ours to delete.
                    continue
                digest, suffix = match.groups()
                if digest not in keep or suffix not in {"", ".part"}:
                    found.append(file)
        return disk.forget(found)
