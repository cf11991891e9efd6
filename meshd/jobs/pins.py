"""Which blobs are kept: those to which somebody refers, as often as they do."""

from collections import Counter
from collections.abc import Iterable

from meshd.store.blobs import BlobStore
from meshd.tasks import TaskSet


class Pins:
    """Counts by whom each blob is wanted, and removes those that nobody wants any more."""

    def __init__(self, *, blobs: BlobStore) -> None:
        self.blobs = blobs
        self._pins: Counter[str] = Counter()
        self._tasks = TaskSet()

    async def sweep(self) -> None:
        """Remove every blob that is not pinned, as an earlier run may have left some. Once, when all have pinned."""
        await self.blobs.sweep(set(self._pins))

    async def close(self) -> None:
        """Stop removing; what is left goes at the next start."""
        await self._tasks.close()

    def pin(self, digests: Iterable[str]) -> None:
        """Keep these blobs until they are released as often."""
        self._pins.update(digests)

    def release(self, digests: Iterable[str]) -> None:
        """Remove the blobs to which nobody refers any more."""
        gone: list[str] = []
        for digest in digests:
            self._pins[digest] -= 1
            if self._pins[digest] <= 0:
                del self._pins[digest]
                gone.append(digest)
        if gone:
            self._tasks.start("remove blobs", self._remove(gone))

    def refresh(self, digests: Iterable[str]) -> None:
        """Remove those of these blobs that nobody wants, though they have come."""
        digests = list(digests)
        self.pin(digests)
        self.release(digests)

    async def _remove(self, digests: list[str]) -> None:
        # Somebody may have pinned one again since.
        await self.blobs.delete([digest for digest in digests if digest not in self._pins])
