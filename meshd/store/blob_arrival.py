"""A blob that comes in: its file has another name until it is whole and on disk."""

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from meshd.errors import BadInput, Conflict
from meshd.store import blob_disk as disk
from meshd.store.blobs import CHUNK_BYTES, BlobRef

KEEP_ON_FULL_DISK_BYTES = 16 << 20
"""What an arrival may keep when the disk is full: a second of network. More is given back to those who need it."""

FLUSH_BYTES = 64 << 20
"""After so much, what has arrived is put on disk while the rest comes: the end waits for this much at most, not for
gigabytes, and the system holds no more of it in memory. 32 MiB made the writes wait for the disk more often."""


class FileArrival:
    """See `Arrival`. A caller that is cancelled leaves its thread behind, so that a lock keeps the order."""

    def __init__(self, part: Path, blob: Path, ref: BlobRef, flusher: threading.Lock) -> None:
        """Take up what an earlier arrival left in `part`; `flusher` is shared by all arrivals. Blocks."""
        self._part = part
        self._blob = blob
        self._ref = ref
        self._flusher = flusher
        self._offset = 0
        self._digest = hashlib.sha256()
        self._lock = threading.Lock()
        self._flushed = 0
        """How much is on disk, or on its way there."""

        self._flushing = threading.Lock()
        """Taken by whoever waits for the disk; nobody waits for it who holds `_lock`, except to end."""

        self._lost: OSError | None = None
        """What the disk said when it lost something; it says so once."""

        with disk.trouble(f"the arrival of the blob {ref} could not be opened"):
            self._file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | disk.O_BINARY, 0o600), "r+b", buffering=0)
            try:
                self._take_up()
            except BaseException:
                self._file.close()
                raise

    @property
    def offset(self) -> int:
        """See `Arrival.offset`."""
        return self._offset

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """See `Arrival.write`."""
        await asyncio.to_thread(self._write, chunks)
        if self._offset - self._flushed >= FLUSH_BYTES and not self._flushing.locked():
            self._flushed = self._offset
            # Nobody waits for it: what comes of it is met by the next write, or by the end.
            asyncio.get_running_loop().run_in_executor(None, self._flush)

    async def finish(self) -> None:
        """See `Arrival.finish`."""
        await asyncio.to_thread(self._finish)

    def close(self) -> None:
        """Let go of the file. Blocks."""
        with self._flushing, self._lock:
            if self._lost is not None and not self._file.closed:
                # Nobody has met it, and the next arrival would take up what is not on disk.
                with contextlib.suppress(OSError):
                    self._begin_again()
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

    def _write(self, chunks: Sequence[bytes | memoryview]) -> None:
        with self._lock, disk.trouble(f"the blob {self._ref} could not be written"):
            self._refuse_if_over()
            self._refuse_if_lost()
            size = sum(len(chunk) for chunk in chunks)
            if self._offset + size > self._ref.size:
                raise BadInput(f"more bytes arrive than the blob {self._ref} has")
            try:
                # What a failing disk took of an earlier write may still lie behind the offset.
                self._file.seek(self._offset)
                for chunk in chunks:
                    disk.append(self._file, chunk)
            except OSError:
                self._retreat()
                raise
            for chunk in chunks:
                self._digest.update(chunk)
            self._offset += size

    def _refuse_if_over(self) -> None:
        if self._file.closed:
            raise Conflict(f"the arrival of the blob {self._ref} is over")

    def _refuse_if_lost(self) -> None:
        if self._lost is not None:
            lost, self._lost = self._lost, None
            self._begin_again()
            raise lost

    def _flush(self) -> None:
        with self._flushing:
            # Skipped while another blob is being flushed: a slow disk must not take every thread there is.
            if not self._file.closed and self._flusher.acquire(blocking=False):
                try:
                    os.fsync(self._file.fileno())
                except OSError as error:
                    self._lost = error
                finally:
                    self._flusher.release()

    def _retreat(self) -> None:
        """Undo half a write; and give the room back, when it is so much that others miss it on a full disk."""
        if self._offset > KEEP_ON_FULL_DISK_BYTES:
            self._begin_again()
        else:
            self._file.truncate(self._offset)

    def _begin_again(self) -> None:
        self._offset = self._flushed = 0
        self._digest = hashlib.sha256()
        self._file.truncate(0)

    def _finish(self) -> None:
        with self._flushing, self._lock, disk.trouble(f"the blob {self._ref} could not be stored"):
            self._refuse_if_over()
            self._refuse_if_lost()
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
            disk.sync(self._blob.parent)
