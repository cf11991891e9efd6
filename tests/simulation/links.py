"""The sessions of one daemon: what `meshd.net.mesh.Mesh` does, without sockets and greetings."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Protocol

from meshd.errors import MeshdError, NotFound
from meshd.net.channel import ChannelClosed
from meshd.net.streams import Session
from meshd.trust.book import PeerBook
from meshd_protocol.errors import Code, ProtocolError
from meshd_protocol.ids import DeviceId
from tests.simulation.line import LineSession
from tests.simulation.monitor import Monitor


class Spawn(Protocol):
    """Runs a coroutine as a part of the daemon."""

    def __call__(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        """Start it."""
        ...


@dataclass(slots=True)
class Slot:
    """What there is with one peer."""

    session: LineSession | None = None
    dialling: asyncio.Task[None] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Links:
    """Has a session with every peer whenever that can be."""

    def __init__(
        self,
        *,
        device: DeviceId,
        book: PeerBook,
        converse: Callable[[Session], Coroutine[object, object, None]],
        call: Callable[[DeviceId], Coroutine[object, object, None]],
        backoff: Callable[[], float],
        monitor: Monitor,
        is_alive: Callable[[], bool],
        spawn: Spawn,
    ) -> None:
        self._device = device
        self._book = book
        self._converse = converse
        self._call = call
        self._backoff = backoff
        self._monitor = monitor
        self._is_alive = is_alive
        self._spawn = spawn
        self._slots: dict[DeviceId, Slot] = {}
        self._is_closed = False

    def open(self) -> None:
        """Start dialling every peer."""
        for peer in self._book.all():
            self._keep_up(peer.device)

    def close(self) -> None:
        """End every session, and dial nobody."""
        self._is_closed = True
        for slot in self._slots.values():
            slot.free.clear()
            if slot.session is not None:
                slot.session.hang_up()

    def session(self, peer: DeviceId) -> LineSession | None:
        """Return the session with a peer."""
        slot = self._slots.get(peer)
        return None if slot is None else slot.session

    def wake(self) -> None:
        """Dial all that are away, without waiting for the end of the pause."""
        for slot in self._slots.values():
            slot.woken.set()

    def paired(self, peer: DeviceId) -> None:
        """Keep up a session with a peer that was paired just now; one made with older keys ends."""
        slot = self._slots.get(peer)
        if slot is None:
            self._keep_up(peer)
        elif slot.session is not None:
            slot.session.hang_up(Code.REPLACED)
        else:
            slot.woken.set()

    async def unpair(self, peer: DeviceId) -> None:
        """Forget a peer, cut its session, and tell it when that can be done."""
        await self._book.forget(peer)
        self._drop(peer, Code.UNPAIRED)

    async def forget(self, peer: DeviceId) -> None:
        """Unpair from this side, too, because the peer has done so."""
        with contextlib.suppress(NotFound):
            await self._book.forget(peer)
            self._monitor.sometime("a device heard late that it was unpaired")
            self._drop(peer, Code.LEAVING)

    def _drop(self, peer: DeviceId, code: Code) -> None:
        slot = self._slots.pop(peer, None)
        if slot is None:
            return
        if slot.dialling is not None:
            slot.dialling.cancel()
        if slot.session is not None:
            slot.session.hang_up(code)

    def adopt(self, session: LineSession) -> None:
        """Take a session; it replaces an older one."""
        slot = self._slots.get(session.peer)
        if slot is None or self._is_closed:
            session.hang_up(Code.UNPAIRED if self._book.get(session.peer) is None else Code.LEAVING)
            return
        rival, slot.session = slot.session, session
        slot.free.clear()
        if rival is not None:
            rival.hang_up(Code.REPLACED)
        self._spawn(self._serve(slot, session), f"session with {session.peer}")

    def _keep_up(self, peer: DeviceId) -> None:
        slot = self._slots[peer] = Slot()
        slot.free.set()
        slot.dialling = self._spawn(self._dial(peer, slot), f"dial {peer}")

    async def _dial(self, peer: DeviceId, slot: Slot) -> None:
        while True:
            await slot.free.wait()
            slot.woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._backoff()):
                    await slot.woken.wait()
            if slot.session is None and self._book.get(peer) is not None:
                await self._call(peer)

    async def _serve(self, slot: Slot, session: LineSession) -> None:
        peer = session.peer
        try:
            async with slot.turn:
                if slot.session is session and self._slots.get(peer) is slot:
                    self._monitor.session_opened(self._device, peer, session.number)
                    try:
                        with contextlib.suppress(ProtocolError, MeshdError, ChannelClosed):
                            await self._converse(session)
                    finally:
                        if self._is_alive():
                            self._monitor.session_closed(self._device, peer)
        finally:
            if self._is_alive():
                session.hang_up()
                if slot.session is session:
                    slot.session = None
                    slot.free.set()
        if session.told is Code.UNPAIRED:
            self._spawn(self.forget(peer), f"forget {peer}")
