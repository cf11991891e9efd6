"""The blobs of one device: they outlive its daemon, take their time to be written, and rot."""

import random
from collections.abc import Collection

from meshd.store.blobs import BlobRef
from tests.simulation.disk import Disk
from tests.simulation.monitor import Monitor
from tests.support.memory_blobs import MemoryBlobs


class BlobDisk(MemoryBlobs):
    """Blobs in memory, on a disk that is slow at times, in the sight of the monitor."""

    def __init__(self, device: str, disk: Disk, rng: random.Random, monitor: Monitor) -> None:
        super().__init__()
        self._device = device
        self._disk = disk
        self._rng = rng
        self._monitor = monitor

    async def put(self, data: bytes) -> BlobRef:
        await self._disk.wait()
        return await super().put(data)

    async def delete(self, digests: Collection[str]) -> None:
        for digest in digests:
            if digest in self.blobs:
                self._monitor.checkpoints.dropped(self._device, digest)
        await super().delete(digests)

    def rot(self) -> bool:
        """Change one bit of one blob, and return whether there was one."""
        if not self.blobs:
            return False
        digest = self._rng.choice(sorted(self.blobs))
        data = bytearray(self.blobs[digest])
        data[self._rng.randrange(len(data))] ^= 1
        self.blobs[digest] = bytes(data)
        self._monitor.checkpoints.damaged(self._device, digest)
        return True
