"""Blobs between devices without a network: they travel in pieces, as long as a session is open and the giver lets them.

The same promises as `meshd.net.blobs.BlobExchange`, held against it by the tests of contracts.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from meshd.errors import BadInput, Degraded, NotFound, PeerUnreachable
from meshd.net import blobs as real
from meshd.net.blob_line import Absent, Given
from meshd.net.blob_stream import Cut, Stalled
from meshd.store.blobs import CHUNK_BYTES, Arrival, BlobRef
from meshd_protocol.ids import DeviceId
from tests.support.memory_blobs import MemoryBlobs

Carry = Callable[[DeviceId, BlobRef, bytes], Awaitable[bytes]]
"""Brings a piece of a blob from a peer. May take its time, change what it carries, or raise `Cut` or `Stalled`."""


async def carry_at_once(_: DeviceId, __: BlobRef, piece: bytes) -> bytes:
    """Bring it, without delay and as it is."""
    await asyncio.sleep(0)
    return piece


def _no_patience() -> dict[DeviceId, set[asyncio.Timeout]]:
    return {}


@dataclass
class MemoryExchange:
    """One device's way to its peers' blobs."""

    device: DeviceId
    blobs: MemoryBlobs
    may_read: Callable[[DeviceId, str], bool]
    is_open: Callable[[DeviceId], bool]
    others: "Mapping[DeviceId, MemoryExchange]"
    fetched: list[str] = field(default_factory=list[str])
    carry: Carry = carry_at_once
    piece_bytes: int = CHUNK_BYTES
    carried: int = 0
    """Bytes that have arrived here."""

    _turns: "WeakValueDictionary[str, asyncio.Lock]" = field(default_factory=WeakValueDictionary["str", "asyncio.Lock"])
    _given: dict[DeviceId, Given] = field(default_factory=dict[DeviceId, Given])
    _patience: dict[DeviceId, set[asyncio.Timeout]] = field(default_factory=_no_patience)

    def given(self, peer: DeviceId) -> Given:
        """Return what `peer` has had whole in this session."""
        return self._given.setdefault(peer, Given())

    def hear(self, peer: DeviceId, message: object) -> None:
        """No session says anything about blobs here."""

    def opened(self, peer: DeviceId) -> None:
        """End what belongs to an older session."""
        self.closed(peer)

    def closed(self, peer: DeviceId) -> None:
        """End the transfers from a peer, whose session is over."""
        self._given.pop(peer, None)
        now = asyncio.get_running_loop().time()
        for patience in self._patience.pop(peer, set()):
            patience.reschedule(now)

    async def fetch(self, peer: DeviceId, ref: BlobRef) -> None:
        """See `BlobExchange.fetch`."""
        turn = self._turns.setdefault(ref.digest, asyncio.Lock())
        async with turn:
            if not await self.blobs.has(ref):
                await self._bring(peer, ref)
                self.fetched.append(ref.digest)

    async def _bring(self, peer: DeviceId, ref: BlobRef) -> None:
        async with self._session(peer, ref), self.blobs.receive(ref) as arrival:
            refused = False
            while True:
                from_zero = arrival.offset == 0
                await self._fill(peer, ref, arrival)
                try:
                    await arrival.finish()
                except BadInput as wrong:
                    if from_zero and refused:
                        raise NotFound(f"{peer} has sent something else than the blob {ref}") from wrong
                    refused = from_zero
                else:
                    return

    @asynccontextmanager
    async def _session(self, peer: DeviceId, ref: BlobRef) -> AsyncGenerator[None]:
        """Run the block for as long as the session with a peer lasts."""
        if not self.is_open(peer):
            raise PeerUnreachable(f"there is no session with {peer}")
        try:
            async with asyncio.timeout(None) as patience:
                self._patience.setdefault(peer, set()).add(patience)
                try:
                    yield
                finally:
                    self._patience.get(peer, set()).discard(patience)
        except TimeoutError as error:
            raise PeerUnreachable(f"the session with {peer} ended while the blob {ref} was coming") from error

    async def _fill(self, peer: DeviceId, ref: BlobRef, arrival: Arrival) -> None:
        fruitless = absences = 0
        while (before := arrival.offset) < ref.size:
            try:
                await self._copy(peer, ref, arrival)
            except Stalled as stalled:
                raise PeerUnreachable(f"{peer} does not send the blob {ref}: {stalled}") from stalled
            except Absent as absent:
                absences += 1
                if absences > 1:
                    raise NotFound(f"{peer} does not have the blob {ref} for this device") from absent
            except Cut as cut:
                fruitless = fruitless + 1 if arrival.offset <= before else 0
                if fruitless >= real.TRIES:
                    raise PeerUnreachable(f"{peer} does not send the blob {ref}: {cut}") from cut
            else:
                continue
            await asyncio.sleep(real.PAUSE_S)

    async def _copy(self, peer: DeviceId, ref: BlobRef, arrival: Arrival) -> None:
        """Take what the peer gives, until it is all here or the way breaks."""
        giver = self.others.get(peer)
        if giver is None or not giver.is_open(self.device):
            raise Cut(f"{peer} does not answer")
        if not giver.may_read(self.device, ref.digest) or not await giver.blobs.has(ref):
            raise Absent
        given = giver.given(self.device)
        if given.take(ref.digest):
            try:
                await giver.blobs.check(ref)
            except (NotFound, Degraded) as damaged:
                raise Absent from damaged
        async with aclosing(giver.blobs.chunks(ref, arrival.offset, checked=False)) as chunks:
            while chunk := await _next(chunks, peer):
                for start in range(0, len(chunk), self.piece_bytes):
                    piece = await self.carry(peer, ref, bytes(chunk[start : start + self.piece_bytes]))
                    self.carried += len(piece)
                    await arrival.write([piece])
        given.note(ref.digest)


async def _next(chunks: AsyncGenerator[memoryview], peer: DeviceId) -> memoryview:
    """Return the next chunk, nothing at the end; a giver that cannot read on breaks off."""
    try:
        return await anext(chunks, memoryview(b""))
    except (NotFound, Degraded) as error:
        raise Cut(f"{peer} has broken off: {error.message}") from error
