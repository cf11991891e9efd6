"""A device that gives and fetches blobs: trust, network, streams, and a folder of blobs. No jobs."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aiohttp import web

from meshd.clock import SystemClock
from meshd.net.blobs import BlobExchange, Endpoint
from meshd.net.channel import Channel
from meshd.net.dialer import Dialer
from meshd.net.listener import Listener
from meshd.net.mesh import Mesh
from meshd.net.streams import Streams, Transaction
from meshd.store.blob_files import FileBlobs
from meshd.store.database import open_store
from meshd.trust.book import PeerBook
from meshd.trust.identity import Identity, load_or_create_identity
from meshd_protocol.codec import BlobMessage, DurableMessage, EphemeralMessage
from meshd_protocol.ids import DeviceId
from meshd_protocol.machines.pairing import NewPeer
from tests.support.device import WAIT_S


@dataclass
class BlobDevice:
    """One device, and a receiver that knows nothing but blobs."""

    folder: Path
    identity: Identity
    blobs: FileBlobs
    listener: Listener
    heard: list[BlobMessage] = field(default_factory=list[BlobMessage])
    granted: set[tuple[DeviceId, str]] = field(default_factory=set[tuple[DeviceId, str]])
    online: asyncio.Event = field(default_factory=asyncio.Event)
    sessions: int = 0
    exchange: BlobExchange = field(init=False)
    streams: Streams = field(init=False)
    mesh: Mesh = field(init=False)
    book: PeerBook = field(init=False)

    @property
    def device(self) -> DeviceId:
        return self.identity.device

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.listener.port}/blobs"

    def grant(self, peer: "BlobDevice", digest: str) -> None:
        """Let `peer` read the blob."""
        self.granted.add((peer.device, digest))

    def sharing(self, digest: str) -> int:
        """Return how many wait for the blob that is under way."""
        transfer = self.exchange._transfers.get(digest)  # pyright: ignore[reportPrivateUsage]
        return 0 if transfer is None else transfer.waiting

    def part(self, digest: str) -> Path:
        return self.folder / "blobs" / f"{digest}.part"

    def blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest

    # What streams tell their receiver

    def apply(self, transaction: Transaction, peer: DeviceId, message: DurableMessage, answered: int) -> None:
        raise AssertionError("nothing durable is said about blobs")

    def acknowledged(self, transaction: Transaction, peer: DeviceId, seq: int) -> None:
        pass

    def reopened(self, transaction: Transaction, peer: DeviceId, renumbered: dict[int, int]) -> None:
        pass

    def hear(self, peer: DeviceId, message: EphemeralMessage) -> None:
        assert isinstance(message, BlobMessage)
        self.heard.append(message)
        self.exchange.hear(peer, message)

    def opened(self, peer: DeviceId) -> None:
        self.sessions += 1
        self.exchange.opened(peer)
        self.online.set()

    def closed(self, peer: DeviceId) -> None:
        self.online.clear()
        self.exchange.closed(peer)


@asynccontextmanager
async def open_blob_device(folder: Path, *, stall_s: float = 30.0) -> AsyncGenerator[BlobDevice]:
    """Run a device that listens on 127.0.0.1, and dials nobody until it is paired."""
    identity = await asyncio.to_thread(load_or_create_identity, folder / "identity")
    await asyncio.to_thread((folder / "blobs").mkdir)

    async def refuse(channel: Channel) -> None:
        await channel.close()

    async def answer(channel: Channel, authenticated: Callable[[], None]) -> None:
        await mesh.answer(channel, authenticated)

    def may_read(peer: DeviceId, digest: str) -> bool:
        return (peer, digest) in device.granted

    def dialled(peer: DeviceId) -> Endpoint | None:
        session, known = mesh.session(peer), book.get(peer)
        if session is None or known is None or not session.dialled:
            return None
        return Endpoint(session.address, known.fingerprint)

    def vouch(request: web.Request) -> None:
        device.listener.vouch(request)

    async with AsyncExitStack() as stack:
        clock = SystemClock()
        store = await stack.enter_async_context(open_store(folder / "mesh.db"))
        streams = Streams(store=store, clock=clock, token=os.urandom)
        book = await PeerBook.load(store, clock)
        blobs = FileBlobs(folder / "blobs")
        exchange = BlobExchange(
            store=blobs,
            clock=clock,
            token=os.urandom,
            tell=streams.tell,
            dialled=dialled,
            may_read=may_read,
            vouch=vouch,
            stall_s=stall_s,
        )
        listener = Listener(identity=identity, mesh=answer, pair=refuse, routes=exchange.routes())
        device = BlobDevice(folder, identity, blobs, listener)
        device.exchange, device.streams, device.book = exchange, streams, book
        streams.attach(device)
        await stack.enter_async_context(exchange)
        await stack.enter_async_context(listener.open(port=0, host="127.0.0.1"))
        dialer = await stack.enter_async_context(Dialer())
        mesh = Mesh(
            identity=identity,
            book=book,
            dialer=dialer,
            clock=clock,
            random=Random(0),  # noqa: S311 - jitter
            token=os.urandom,
            converse=streams.converse,
            notify=lambda notice: None,
        )
        device.mesh = mesh
        await stack.enter_async_context(mesh)
        yield device


async def introduce(dials: BlobDevice, answers: BlobDevice, address: str = "") -> None:
    """Let the one dial the other, who does not know where the first one is; wait until they talk."""
    key = os.urandom(32)
    known = NewPeer(dials.device, "dials", dials.identity.certificate, key, 1)
    answers.mesh.paired(await answers.book.keep(known, []))
    known = NewPeer(answers.device, "answers", answers.identity.certificate, key, 1)
    at = address or f"127.0.0.1:{answers.listener.port}"
    dials.mesh.paired(await dials.book.keep(known, [at]))
    await talking(dials, answers)


async def talking(*devices: BlobDevice) -> None:
    """Wait until the session between them is open on both sides."""
    async with asyncio.timeout(WAIT_S):
        for device in devices:
            await device.online.wait()
