"""The blobs behind checkpoints: written once, read by whoever goes on from them."""

import logging
from collections.abc import Iterable, Sequence

from meshd.errors import MeshdError
from meshd.jobs.pins import Pins
from meshd.kinds.base import PackedPartial
from meshd.store.blobs import BlobRef
from meshd_protocol.messages.jobs import PartialRef

log = logging.getLogger(__name__)


class Checkpoints:
    """Keeps partials as blobs. Identical ones share a blob, so each is pinned by whoever refers to it."""

    def __init__(self, *, pins: Pins) -> None:
        self._blobs = pins.blobs
        self._pins = pins

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
        self._pins.pin(ref.digest for ref in refs)

    def release(self, refs: Iterable[PartialRef]) -> None:
        """Let go of these blobs."""
        self._pins.release(ref.digest for ref in refs)


def blob_of(ref: PartialRef) -> BlobRef:
    """Return the blob behind a partial."""
    return BlobRef(ref.digest, ref.size)
