"""Two paired devices that give and fetch blobs, one of which could dial the other, over a line that can be cut."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from meshd.errors import MeshdError
from meshd.store.blobs import BlobRef
from meshd_protocol.messages import blobs
from tests.support.blob_device import BlobDevice, introduce, open_blob_device
from tests.support.eventually import eventually
from tests.support.weak_line import WeakLine, weak_line


@dataclass(frozen=True)
class Two:
    """Two paired devices, and the way on which the one dials the other."""

    dials: BlobDevice
    answers: BlobDevice
    wants: BlobDevice
    gives: BlobDevice
    line: WeakLine

    async def offer(self, data: bytes) -> BlobRef:
        """Let the giver have a blob that the other side may read."""
        ref = await self.gives.blobs.put(data)
        self.gives.grant(self.wants, ref.digest)
        return ref

    async def fetch(self, ref: BlobRef) -> None:
        async with asyncio.timeout(30):
            await self.wants.exchange.fetch(self.gives.device, ref)

    @property
    def key(self) -> str:
        """Return the token that the dialler was given last."""
        return [message.token for message in self.dials.heard if isinstance(message, blobs.BlobKey)][-1]

    def turned(self) -> "Two":
        """Return the same two, with the blobs flowing the other way."""
        return replace(self, wants=self.gives, gives=self.wants)


@asynccontextmanager
async def open_two(folder: Path, *, stall_s: float = 20.0) -> AsyncGenerator[Two]:
    """Run the two devices; who wants the blobs is who dialled."""
    async with AsyncExitStack() as stack:
        for name in ("laptop", "pc"):
            await asyncio.to_thread((folder / name).mkdir)
        laptop = await stack.enter_async_context(open_blob_device(folder / "laptop", stall_s=stall_s))
        pc = await stack.enter_async_context(open_blob_device(folder / "pc", stall_s=stall_s))
        line = await stack.enter_async_context(weak_line(pc.listener.port))
        await introduce(laptop, pc, line.address)
        await eventually(lambda: bool(laptop.heard))
        yield Two(laptop, pc, laptop, pc, line)


async def expect(kind: type[MeshdError], fetching: Awaitable[None]) -> str:
    """Return what the error says that the fetch must end with."""
    with pytest.raises(kind) as caught:
        await fetching
    return str(caught.value)


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
