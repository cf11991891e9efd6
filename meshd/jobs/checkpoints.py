"""The blobs behind checkpoints: written once, kept while somebody refers to them, removed after."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from meshd.errors import MeshdError
from meshd.kinds.base import PackedPartial
from meshd.store.blobs import BlobRef, BlobStore
from meshd.tasks import TaskSet
from meshd_protocol.messages.jobs import PartialRef

log = logging.getLogger(__name__)


class Checkpoints:
    """Keeps partials as blobs. Identical ones share a blob, so each is counted by who refers to it."""

    def __init__(self, *, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._pins: Counter[str] = Counter()
        self._tasks = TaskSet()

    async def load(self, refs: Iterable[PartialRef]) -> None:
        """Keep the blobs of these partials, and remove every other that an earlier run has left."""
        self.pin(refs)
        await self._blobs.sweep(set(self._pins))

    async def close(self) -> None:
        """Stop removing; what is left goes at the next start."""
        await self._tasks.close()

    async def write(self, partial: PackedPartial) -> PartialRef:
        """Store a partial and pin it.

        Raises:
            Degraded: the disk does not take it.
        """
        blob = await self._blobs.put(partial.data)
        ref = PartialRef(
            phase=partial.phase,
            units=partial.units,
            start=partial.start,
            stop=partial.stop,
            digest=blob.digest,
            size=blob.size,
        )
        self.pin([ref])
        return ref

    async def read(self, refs: Sequence[PartialRef]) -> tuple[PackedPartial, ...]:
        """Return the partials; none at all when one of them cannot be read.

        Their work is then done again: slower, and as right.
        """
        found: list[PackedPartial] = []
        for ref in refs:
            try:
                data = await self._blobs.read(blob_of(ref))
            except MeshdError as error:
                log.warning("a checkpoint cannot be read: %s", error.message, extra={"blob": ref.digest})
                return ()
            found.append(PackedPartial(ref.phase, ref.units, ref.start, ref.stop, data))
        return tuple(found)

    def pin(self, refs: Iterable[PartialRef]) -> None:
        """Keep these blobs until they are released as often."""
        self._pins.update(ref.digest for ref in refs)

    def release(self, refs: Iterable[PartialRef]) -> None:
        """Remove the blobs to which nobody refers any more."""
        gone: list[str] = []
        for ref in refs:
            self._pins[ref.digest] -= 1
            if self._pins[ref.digest] <= 0:
                del self._pins[ref.digest]
                gone.append(ref.digest)
        if gone:
            self._tasks.start("remove checkpoints", self._remove(gone))

    async def _remove(self, digests: list[str]) -> None:
        # Somebody may have pinned one again since.
        await self._blobs.delete([digest for digest in digests if digest not in self._pins])


def blob_of(ref: PartialRef) -> BlobRef:
    """Return the blob behind a partial."""
    return BlobRef(ref.digest, ref.size)
