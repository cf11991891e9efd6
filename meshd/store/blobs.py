"""Blobs: bytes at rest under their digest. What has a name here is whole, and is what the name says."""

import re
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from meshd.errors import BadInput
from meshd_protocol.messages.blobs import DIGEST_PATTERN, MAX_BLOB_BYTES

CHUNK_BYTES = 256 << 10
"""What is handed on at a time: larger chunks hold up the event loop, smaller ones cost throughput."""

BATCH_BYTES = 1 << 21
"""What one trip to a thread reads or writes: about two milliseconds of disk and digest, against 0.1 ms for the trip."""

_DIGEST = re.compile(DIGEST_PATTERN)


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Which blob: nobody can make another one that fits.

    Raises:
        BadInput: it is no digest, or no size that a blob may have.
    """

    digest: str
    """64 hexadecimal digits of SHA-256."""

    size: int

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise BadInput(f"{self.digest[:80]!r} is not the digest of a blob", field="digest")
        if not 0 <= self.size <= MAX_BLOB_BYTES:
            raise BadInput(f"a blob cannot have {self.size} bytes", field="size")

    def __str__(self) -> str:
        """Return what tells it from others in a log."""
        return f"{self.digest[:12]} ({self.size} bytes)"


class Arrival(Protocol):
    """A blob that is on its way in. What was written stays for the next try, unless it is finished."""

    @property
    def offset(self) -> int:
        """Return how many bytes are here."""
        ...

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Append the chunks.

        Raises:
            BadInput: they go beyond the size of the blob; none of them is kept.
            Degraded: the disk refuses; `offset` stays as it was, or falls to 0.
        """
        ...

    async def finish(self) -> None:
        """Make the blob visible; it is on disk when this returns.

        Raises:
            BadInput: what arrived is not that blob. It is gone, and `offset` is 0.
            Degraded: the disk refuses. What arrived may be lost then, and `offset` 0; or the arrival is over.
            Conflict: the arrival is over.
        """
        ...


class BlobStore(Protocol):
    """What the rest of meshd sees of the blobs."""

    async def put(self, data: bytes) -> BlobRef:
        """Keep `data`; it is on disk when this returns.

        Raises:
            Degraded: the disk refuses; nothing is left behind.
        """
        ...

    async def read(self, ref: BlobRef) -> bytes:
        """Return the blob, its digest checked.

        Raises:
            NotFound: it is not here.
            Degraded: it was damaged; it is deleted.
        """
        ...

    async def has(self, ref: BlobRef) -> bool:
        """Return whether the blob is here."""
        ...

    async def size(self, digest: str) -> int | None:
        """Return the size of the blob, or None when it is not here."""
        ...

    async def check(self, ref: BlobRef) -> None:
        """Read the blob through.

        Raises:
            NotFound: it is not here.
            Degraded: it was damaged, and is deleted; or the disk refuses.
        """
        ...

    def chunks(self, ref: BlobRef, start: int = 0, *, checked: bool = True) -> AsyncGenerator[memoryview]:
        """Yield the blob from byte `start` on.

        Read `checked` and from its beginning, it never ends well unless it is intact. Without, it is for somebody who
        compares it with its digest.

        Raises:
            NotFound: it is not here.
            Degraded: it was damaged, and is deleted; or the disk refuses.
        """
        ...

    def receive(self, ref: BlobRef) -> AbstractAsyncContextManager[Arrival]:
        """Take up the arrival of a blob where the last one ended.

        Raises:
            Conflict: this blob is arriving already.
            Degraded: the disk refuses.
        """
        ...

    async def delete(self, digests: Collection[str]) -> None:
        """Forget these blobs, and what has arrived of them."""
        ...

    async def sweep(self, keep: Collection[str]) -> int:
        """Forget all blobs but these, and what has arrived of others; return how many files that were.

        For the start of a device, before anything else uses the blobs.
        """
        ...
