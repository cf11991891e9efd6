"""Blobs between devices without a network: copied if the other side lets them be read and a session is open."""

from collections.abc import Callable
from dataclasses import dataclass, field

from meshd.errors import PeerUnreachable
from meshd.store.blobs import BlobRef
from meshd_protocol.ids import DeviceId
from tests.support.memory_blobs import MemoryBlobs


@dataclass
class MemoryExchange:
    """One device's way to its peers' blobs."""

    device: DeviceId
    blobs: MemoryBlobs
    may_read: Callable[[DeviceId, str], bool]
    is_open: Callable[[DeviceId], bool]
    others: "dict[DeviceId, MemoryExchange]"
    fetched: list[str] = field(default_factory=list[str])

    def hear(self, peer: DeviceId, message: object) -> None:
        """No session says anything about blobs here."""

    def opened(self, peer: DeviceId) -> None:
        """Nothing to agree on."""

    def closed(self, peer: DeviceId) -> None:
        """Nothing to end."""

    async def fetch(self, peer: DeviceId, ref: BlobRef) -> None:
        if await self.blobs.has(ref):
            return
        other = self.others.get(peer)
        if other is None or not self.is_open(peer) or not other.may_read(self.device, ref.digest):
            raise PeerUnreachable(f"{peer} does not give the blob {ref}")
        await self.blobs.put(await other.blobs.read(ref))
        self.fetched.append(ref.digest)
