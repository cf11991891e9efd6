"""Two devices, one of which wants the blobs of the other: over real sockets, either way round, and in memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Protocol

import pytest

from meshd.net.blob_stream import Cut
from meshd.store import blob_disk
from meshd.store.blobs import BlobRef, BlobStore
from meshd_protocol.ids import DeviceId
from tests.support.blob_device import talking
from tests.support.blob_pair import Two, open_two, size_of
from tests.support.eventually import eventually
from tests.support.memory_blobs import MemoryBlobs
from tests.support.memory_exchange import MemoryExchange

PC, LAPTOP = DeviceId("pcpcpcpcpcpcpcpc"), DeviceId("laptoplaptoplapt")
PIECE_BYTES = 64 << 10


class Trade(Protocol):
    """What a test can do to both sides, and to what lies between them."""

    @property
    def gives(self) -> BlobStore:
        """Return the blobs of the side that gives."""
        ...

    @property
    def wants(self) -> BlobStore:
        """Return the blobs of the side that wants."""
        ...

    @property
    def carried(self) -> int:
        """Return how many bytes have travelled, roughly."""
        ...

    async def fetch(self, ref: BlobRef) -> None:
        """Let the one side get a blob from the other."""
        ...

    def grant(self, ref: BlobRef) -> None:
        """Let the other side read a blob."""
        ...

    def damage(self, ref: BlobRef) -> None:
        """Change a bit of a blob where it comes from."""
        ...

    def arrived(self, ref: BlobRef) -> int:
        """Return how much of a blob is here that is not whole."""
        ...

    def cut_after(self, size: int) -> None:
        """Break the next transfer off once so much has travelled; the session goes on."""
        ...

    def hold_after(self, size: int) -> None:
        """Let a transfer stand still once so much has travelled."""
        ...

    def let_go(self) -> None:
        """Let what stands still go on."""
        ...

    async def end_session(self) -> None:
        """End the session; it does not come back by itself."""
        ...

    async def open_session(self) -> None:
        """Have a session again."""
        ...

    def fill_disk(self) -> None:
        """Let the disk of the side that wants refuse."""
        ...

    def empty_disk(self) -> None:
        """Let it take what comes again."""
        ...


@dataclass
class RealTrade:
    """Over HTTP, TLS and a proxy that can be cut."""

    two: Two
    _patch: pytest.MonkeyPatch = field(default_factory=pytest.MonkeyPatch)
    _port: int = field(init=False)

    def __post_init__(self) -> None:
        self._port = self.two.answers.listener.port

    @property
    def gives(self) -> BlobStore:
        return self.two.gives.blobs

    @property
    def wants(self) -> BlobStore:
        return self.two.wants.blobs

    @property
    def carried(self) -> int:
        return self.two.line.carried

    async def fetch(self, ref: BlobRef) -> None:
        await self.two.fetch(ref)

    def grant(self, ref: BlobRef) -> None:
        self.two.gives.grant(self.two.wants, ref.digest)

    def damage(self, ref: BlobRef) -> None:
        file = self.two.gives.blob(ref.digest)
        file.write_bytes(_flipped(file.read_bytes()))

    def arrived(self, ref: BlobRef) -> int:
        return size_of(self.two.wants.part(ref.digest))

    def cut_after(self, size: int) -> None:
        self.two.line.cuts_after = size

    def hold_after(self, size: int) -> None:
        self.two.line.holds_after = size

    def let_go(self) -> None:
        self.two.line.let_go()

    async def end_session(self) -> None:
        self.two.line.lead_to(1)
        self.two.line.cut()
        await eventually(lambda: not self.two.dials.online.is_set() and not self.two.answers.online.is_set())

    async def open_session(self) -> None:
        self.two.line.lead_to(self._port)
        await talking(self.two.dials, self.two.answers)

    def fill_disk(self) -> None:
        def refuse(file: FileIO, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        self._patch.setattr(blob_disk, "append", refuse)

    def empty_disk(self) -> None:
        self._patch.undo()


class MemoryTrade:
    """In memory, on a way that carries pieces."""

    def __init__(self) -> None:
        self._granted: set[str] = set()
        self._open = True
        self._cut_after: int | None = None
        self._hold_after: int | None = None
        self._moved = asyncio.Event()
        exchanges: dict[DeviceId, MemoryExchange] = {}

        def exchange(device: DeviceId) -> MemoryExchange:
            exchanges[device] = MemoryExchange(
                device=device,
                blobs=MemoryBlobs(),
                may_read=lambda _, digest: digest in self._granted,
                is_open=lambda _: self._open,
                others=exchanges,
                carry=self._carry,
                piece_bytes=PIECE_BYTES,
            )
            return exchanges[device]

        self._here, self._there = exchange(LAPTOP), exchange(PC)

    @property
    def gives(self) -> BlobStore:
        return self._there.blobs

    @property
    def wants(self) -> BlobStore:
        return self._here.blobs

    @property
    def carried(self) -> int:
        return self._here.carried

    async def fetch(self, ref: BlobRef) -> None:
        await self._here.fetch(PC, ref)

    def grant(self, ref: BlobRef) -> None:
        self._granted.add(ref.digest)

    def damage(self, ref: BlobRef) -> None:
        self._there.blobs.blobs[ref.digest] = _flipped(self._there.blobs.blobs[ref.digest])

    def arrived(self, ref: BlobRef) -> int:
        return len(self._here.blobs.parts.get(ref.digest, b""))

    def cut_after(self, size: int) -> None:
        self._cut_after = self.carried + size

    def hold_after(self, size: int) -> None:
        self._hold_after = self.carried + size

    def let_go(self) -> None:
        self._hold_after = None
        self._moved.set()

    async def end_session(self) -> None:
        self._open = False
        self._here.closed(PC)
        self._there.closed(LAPTOP)
        await asyncio.sleep(0)

    async def open_session(self) -> None:
        self._open = True
        self._here.opened(PC)
        self._there.opened(LAPTOP)

    def fill_disk(self) -> None:
        self._here.blobs.full = True

    def empty_disk(self) -> None:
        self._here.blobs.full = False

    async def _carry(self, _: DeviceId, __: BlobRef, piece: bytes) -> bytes:
        await asyncio.sleep(0)
        if self._cut_after is not None and self.carried >= self._cut_after:
            self._cut_after = None
            raise Cut("the connection was reset")
        while self._hold_after is not None and self.carried >= self._hold_after:
            self._moved.clear()
            await self._moved.wait()
        return piece


@asynccontextmanager
async def open_trade(kind: str, folder: Path) -> AsyncGenerator[Trade]:
    """Open one: `GET` where the side that wants has dialled, `PUT` where it was dialled, `memory`."""
    if kind == "memory":
        yield MemoryTrade()
        return
    async with open_two(folder) as two:
        trade = RealTrade(two if kind == "GET" else two.turned())
        try:
            yield trade
        finally:
            trade.empty_disk()


def _flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)
