"""A device reduced to trust and network: everything between its key file and its sessions, over real sockets."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from meshd.net.dialer import Dialer
from meshd.net.listener import Listener
from meshd.net.mesh import Mesh
from meshd.net.pairings import Pairings
from meshd.net.session import Session
from meshd.net.sighting import Sighting
from meshd.store.database import Store, open_store
from meshd.trust.book import PeerBook
from meshd.trust.codes import Codes
from meshd.trust.identity import Identity, load_or_create_identity
from meshd.trust.notice import Notice
from meshd_protocol.messages.base import Message
from tests.support.manual_clock import ManualClock

WAIT_S = 10.0
"""How long a test waits for what must happen; reaching it is a failure."""


@dataclass
class Device:
    """One device and what it has seen."""

    name: str
    identity: Identity
    clock: ManualClock
    store: Store
    book: PeerBook
    codes: Codes
    dialer: Dialer
    mesh: Mesh
    pairings: Pairings
    listener: Listener
    sightings: list[Sighting]
    notices: list[Notice]
    received: asyncio.Queue[tuple[Session, Message]]
    changed: asyncio.Event
    talking: list[Session] = field(default_factory=list[Session])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.port}"

    def sees(self, other: "Device", *, pairing: bool = False) -> None:
        """Let this device sight the other one where it is now."""
        known = [one for one in self.sightings if one.device != other.identity.device]
        seen = Sighting(other.identity.device, other.name, (other.address,), 1, pairing, self.clock.wall())
        self.sightings[:] = [*known, seen]
        self.mesh.wake(other.identity.device)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something about the links of this device holds."""
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    async def online(self, other: "Device") -> Session:
        """Wait for the session with the other device, its conversation begun."""
        device = other.identity.device
        await self.until(lambda: (link := self.mesh.links().get(device)) and link.state == "online")
        session = self.mesh.session(device)
        assert session is not None
        return session

    async def offline(self, other: "Device") -> None:
        """Wait until there is no session with the other device."""
        device = other.identity.device
        await self.until(lambda: (link := self.mesh.links().get(device)) is None or link.state != "online")


@asynccontextmanager
async def open_device(
    folder: Path,
    name: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    step_s: float = 5.0,
    heartbeat_s: float = 5.0,
) -> AsyncGenerator[Device, None]:
    """Run a device on 127.0.0.1 until the block is left; the same folder again is the same device."""
    identity = await asyncio.to_thread(load_or_create_identity, folder / "identity")
    clock, notices, changed = ManualClock(), list[Notice](), asyncio.Event()
    sightings = list[Sighting]()
    received = asyncio.Queue[tuple[Session, Message]]()
    talking = list[Session]()

    def notify(notice: Notice) -> None:
        notices.append(notice)
        changed.set()

    async def converse(session: Session) -> None:
        talking.append(session)
        changed.set()
        try:
            while True:
                received.put_nowait((session, await session.receive()))
        finally:
            talking.remove(session)
            changed.set()

    def hints(device: str) -> tuple[str, ...]:
        return tuple(address for one in sightings if one.device == device for address in one.addresses)

    async with open_store(folder / "mesh.db") as store, Dialer(heartbeat_s=heartbeat_s) as dialer:
        book = await PeerBook.load(store, clock, on_change=changed.set)
        codes = Codes(clock=clock, token=os.urandom)
        mesh = Mesh(
            identity=identity,
            book=book,
            dialer=dialer,
            clock=clock,
            random=Random(folder.name),  # noqa: S311 - jitter
            token=os.urandom,
            converse=converse,
            notify=notify,
            hints=hints,
            on_change=changed.set,
            step_s=step_s,
        )
        pairings = Pairings(
            identity=identity,
            name=lambda: name,
            book=book,
            codes=codes,
            dialer=dialer,
            token=os.urandom,
            sightings=lambda: sightings,
            paired=mesh.paired,
            notify=notify,
            step_s=step_s,
        )
        listener = Listener(
            identity=identity,
            mesh=mesh.answer,
            pair=pairings.answer,
            heartbeat_s=heartbeat_s,
            handshake_s=step_s,
        )
        async with listener.open(port=port, host=host), mesh:
            device = Device(
                name,
                identity,
                clock,
                store,
                book,
                codes,
                dialer,
                mesh,
                pairings,
                listener,
                sightings,
                notices,
                received,
                changed,
                talking,
            )
            yield device


async def pair(shows: Device, enters: Device) -> None:
    """Pair the two and wait until they are connected."""
    shown = shows.pairings.open_code()
    await enters.pairings.accept(shown.code, shows.address)
    await enters.online(shows)
    await shows.online(enters)
