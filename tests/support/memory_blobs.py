"""Blobs without a disk."""

import hashlib
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager

from meshd.errors import BadInput, Conflict, Degraded, NotFound
from meshd.store.blobs import CHUNK_BYTES, Arrival, BlobRef


class MemoryBlobs:
    """See `meshd.store.blobs.BlobStore`."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.parts: dict[str, bytearray] = {}
        self.full = False
        """Whether it refuses what comes from now on."""

        self._arriving: set[str] = set()

    async def put(self, data: bytes) -> BlobRef:
        if self.full:
            raise Degraded("the blob could not be stored: no space left")
        ref = BlobRef(hashlib.sha256(data).hexdigest(), len(data))
        self.blobs[ref.digest] = bytes(data)
        return ref

    async def read(self, ref: BlobRef) -> bytes:
        data = self.blobs.get(ref.digest)
        if data is None:
            raise NotFound(f"the blob {ref} is not here")
        self._check(ref, data)
        return data

    async def has(self, ref: BlobRef) -> bool:
        return await self.size(ref.digest) == ref.size

    async def size(self, digest: str) -> int | None:
        data = self.blobs.get(BlobRef(digest, 0).digest)
        return None if data is None else len(data)

    async def check(self, ref: BlobRef) -> None:
        await self.read(ref)

    async def chunks(self, ref: BlobRef, start: int = 0, *, checked: bool = True) -> AsyncGenerator[memoryview]:
        data = self.blobs.get(ref.digest)
        if data is None or len(data) != ref.size:
            raise NotFound(f"the blob {ref} is not here")
        if checked and start == 0:
            self._check(ref, data)
        for offset in range(start, ref.size, CHUNK_BYTES):
            yield memoryview(data)[offset : offset + CHUNK_BYTES]

    @asynccontextmanager
    async def receive(self, ref: BlobRef) -> AsyncGenerator[Arrival]:
        if ref.digest in self._arriving:
            raise Conflict(f"the blob {ref} is arriving already")
        self._arriving.add(ref.digest)
        try:
            self.parts[ref.digest] = self.parts.get(ref.digest, bytearray())[: ref.size]
            yield _MemoryArrival(self, ref)
        finally:
            self._arriving.discard(ref.digest)

    async def delete(self, digests: Collection[str]) -> None:
        for digest in digests:
            self.blobs.pop(BlobRef(digest, 0).digest, None)
            if digest not in self._arriving:
                self.parts.pop(digest, None)

    async def sweep(self, keep: Collection[str]) -> int:
        """Forget all but `keep`; what has arrived in part does not survive its daemon here."""
        gone = [digest for digest in self.blobs if digest not in keep]
        await self.delete(gone)
        return len(gone)

    def _check(self, ref: BlobRef, data: bytes) -> None:
        if len(data) != ref.size or hashlib.sha256(data).hexdigest() != ref.digest:
            del self.blobs[ref.digest]
            raise Degraded(f"the blob {ref} was damaged")


class _MemoryArrival:
    def __init__(self, blobs: MemoryBlobs, ref: BlobRef) -> None:
        self._blobs = blobs
        self._ref = ref

    @property
    def offset(self) -> int:
        return len(self._blobs.parts[self._ref.digest])

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        data = b"".join(chunks)
        if self.offset + len(data) > self._ref.size:
            raise BadInput(f"more bytes arrive than the blob {self._ref} has")
        if self._blobs.full:
            raise Degraded("the blob could not be written: no space left")
        self._blobs.parts[self._ref.digest] += data

    async def finish(self) -> None:
        data = self._blobs.parts[self._ref.digest]
        if hashlib.sha256(data).hexdigest() != self._ref.digest:
            self._blobs.parts[self._ref.digest] = bytearray()
            raise BadInput(f"{len(data)} other bytes arrived instead of the blob {self._ref}")
        self._blobs.blobs[self._ref.digest] = bytes(self._blobs.parts.pop(self._ref.digest))
