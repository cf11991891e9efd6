"""A blob that goes out: read in batches, and compared with its digest if nobody else does it."""

import asyncio
import hashlib
from io import FileIO
from pathlib import Path

from meshd.errors import Degraded
from meshd.store import blob_disk as disk
from meshd.store.blobs import BATCH_BYTES, BlobRef


class FileDeparture:
    """A blob that is read in batches, from any thread. Blocks."""

    def __init__(self, blob: Path, ref: BlobRef, start: int, *, checked: bool) -> None:
        self._blob = blob
        self._ref = ref
        self._start = start
        self._left = ref.size - start
        # A part proves nothing about the whole: whoever puts it together does.
        self._digest = hashlib.sha256() if checked and not start else None
        self._file: FileIO | None = None

    def next(self) -> memoryview:
        """Return what follows, nothing at the end."""
        file = self._file = self._file or self._open()
        with disk.trouble(f"the blob {self._ref} could not be read"):
            data = file.read(min(BATCH_BYTES, self._left))
        if not data and self._left:
            raise self._damage()
        self._left -= len(data)
        if self._digest is not None:
            self._digest.update(data)
            if self._left == 0 and self._digest.hexdigest() != self._ref.digest:
                raise self._damage()
        return memoryview(data)

    def close(self, last: asyncio.Future[memoryview]) -> None:
        """Let go of the file, once the last batch is read."""
        if not last.cancelled():
            # Asked for, so that nobody complains: a damage that is found after the caller has gone is found again.
            last.exception()
        if self._file is not None:
            self._file.close()

    def _open(self) -> FileIO:
        if disk.size_of(self._blob) != self._ref.size:
            raise disk.absent(self._ref)
        with disk.trouble(f"the blob {self._ref} could not be read"):
            file = self._blob.open("rb", buffering=0)
            file.seek(self._start)
        return file

    def _damage(self) -> Degraded:
        if self._file is not None:
            # Windows does not delete an open file.
            self._file.close()
        return disk.damaged(self._blob, self._ref)
