"""The live sessions, one for each peer that can be reached: kept up, taken over, and cut."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Literal

from meshd.clock import Clock
from meshd.errors import Degraded, MeshdError, NotFound, PeerUnreachable
from meshd.net import greeting
from meshd.net.channel import Channel, ChannelClosed
from meshd.net.dialer import Backoff, Dialer, Dialled
from meshd.net.greeting import GreetingError
from meshd.net.session import Session
from meshd.store.peers import TrustedPeer
from meshd.tasks import TaskSet, supervise
from meshd.trust.book import PeerBook
from meshd.trust.identity import Identity
from meshd.trust.notice import Notice
from meshd_protocol.errors import Code, RemoteError
from meshd_protocol.ids import DeviceId
from meshd_protocol.limits import HANDSHAKE_STEP_S
from meshd_protocol.machines import session as machine

log = logging.getLogger(__name__)

SETTLED_S = 5.0
"""A session of this age is known to both sides, so a peer that dials nevertheless has lost it; and one that
lived so long was worth having, so that the next is tried for without a long pause."""

GRACE_S = 2.0
"""How long a conversation may take to notice that its session is over, before it is cancelled."""

MIN_PAUSE_S = 0.2
"""Between two tries, whoever asks for them: sightings are free to forge."""

Converse = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Link:
    """How things stand with one peer."""

    state: Literal["online", "connecting", "offline"]
    since: float
    """Wall clock."""

    address: str = ""
    trouble: str = ""
    """Why the last try failed, in words."""


@dataclass(slots=True)
class _Slot:
    """Room for the one session with a peer."""

    device: DeviceId
    link: Link
    session: Session | None = None
    talk: asyncio.Task[None] | None = None
    dialling: asyncio.Task[None] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a conversation runs: the next begins when it has ended."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is no session."""


class Mesh:
    """Keeps a session to every peer of the book; `async with` it."""

    def __init__(
        self,
        *,
        identity: Identity,
        book: PeerBook,
        dialer: Dialer,
        clock: Clock,
        random: Random,
        token: Callable[[int], bytes],
        converse: Converse,
        notify: Callable[[Notice], None],
        hints: Callable[[DeviceId], Sequence[str]] = lambda device: (),
        on_change: Callable[[], None] = lambda: None,
        step_s: float = HANDSHAKE_STEP_S,
    ) -> None:
        self._identity = identity
        self._book = book
        self._dialer = dialer
        self._clock = clock
        self._random = random
        self._token = token
        self._converse = converse
        self._notify = notify
        self._hints = hints
        self._on_change = on_change
        self._step_s = step_s
        self._slots: dict[DeviceId, _Slot] = {}
        self._tasks = TaskSet()

    async def __aenter__(self) -> "Mesh":
        """Start dialling every peer."""
        for peer in self._book.all():
            self._keep_up(peer.device)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say goodbye to every peer."""
        slots = list(self._slots.values())
        self._slots.clear()
        try:
            await asyncio.gather(*(self._end(slot, Code.LEAVING) for slot in slots))
        finally:
            await self._tasks.close()

    def session(self, device: DeviceId) -> Session | None:
        """Return the session with this peer, if there is one."""
        slot = self._slots.get(device)
        return None if slot is None else slot.session

    def sessions(self) -> Sequence[Session]:
        """Return every session there is."""
        return [slot.session for slot in self._slots.values() if slot.session is not None]

    def links(self) -> dict[DeviceId, Link]:
        """Return how things stand with each peer."""
        return {device: slot.link for device, slot in self._slots.items()}

    def wake(self, device: DeviceId | None = None) -> None:
        """Dial this peer, or all that are away, without waiting for the end of the pause."""
        for slot in self._slots.values():
            if device is None or slot.device == device:
                slot.woken.set()

    def paired(self, peer: TrustedPeer) -> None:
        """Keep up a session with a peer that was paired just now; one made with older keys ends."""
        slot = self._slots.get(peer.device)
        if slot is None:
            self._keep_up(peer.device)
        elif slot.session is not None:
            self._tasks.start(f"replace {peer.device}", slot.session.close(Code.REPLACED))
        else:
            slot.woken.set()

    async def unpair(self, device: DeviceId) -> TrustedPeer:
        """Trust the device no longer: forget it, cut its session, and tell it when that can be done.

        Raises:
            NotFound: it is no peer.
            Degraded: the disk did not take it; nothing has changed.
        """
        peer = await self._book.forget(device)
        slot = self._slots.pop(device, None)
        self._on_change()
        if slot is not None and slot.session is not None:
            await self._end(slot, Code.UNPAIRED)
        else:
            if slot is not None:
                await self._end(slot, Code.UNPAIRED)
            self._tasks.start(f"farewell to {device}", self._say_farewell(peer))
        return peer

    async def answer(self, channel: Channel, authenticated: Callable[[], None] = lambda: None) -> None:
        """Serve an incoming connection until it ends."""
        try:
            opened = await greeting.greet(
                channel,
                identity=self._identity,
                look_up=self._look_up,
                token=self._token,
                step_s=self._step_s,
            )
        except GreetingError as error:
            log.info("refused a session from %s: %s", channel.remote, error)
            return
        authenticated()
        await self._serve(self._make(channel, opened, dialled=False, address=channel.remote))

    async def _look_up(self, device: str) -> machine.Known | machine.Former | machine.Unknown:
        """Return what the greeting needs to know about whoever claims to be `device`."""
        peer = self._book.get(device)
        if peer is not None:
            return machine.Known(machine.Secrets(peer.certificate, peer.pair_key))
        former = await self._book.former(device)
        if former is not None:
            return machine.Former(machine.Secrets(former.certificate, former.pair_key))
        return machine.Unknown()

    def _make(self, channel: Channel, opened: machine.Open, *, dialled: bool, address: str) -> Session:
        return Session(
            channel,
            peer=opened.peer,
            dialled=dialled,
            address=address,
            version=opened.version,
            opened_at=self._clock.boot(),
        )

    def _keep_up(self, device: DeviceId) -> None:
        slot = _Slot(device, Link("connecting", self._clock.wall()))
        slot.free.set()
        self._slots[device] = slot
        name = f"dialling {device}"
        slot.dialling = self._tasks.start(name, supervise(name, lambda: self._dial(slot)))

    async def _dial(self, slot: _Slot) -> None:
        """Have a session with the peer whenever there is none, for as long as it is a peer."""
        backoff = Backoff(self._random)
        while True:
            await slot.free.wait()
            peer = self._book.get(slot.device)
            if peer is None:
                return
            try:
                session = await self._call(slot, peer)
            except (PeerUnreachable, GreetingError) as error:
                if slot.session is None:
                    self._set_link(slot, Link("offline", self._clock.wall(), trouble=_words(error)))
            else:
                if await self._serve(session):
                    backoff.reset()
            await self._pause(slot, backoff.next())

    async def _call(self, slot: _Slot, peer: TrustedPeer) -> Session:
        """Return a session at any of the peer's addresses, as soon as they are known.

        Raises:
            PeerUnreachable: it is at none of them.
            GreetingError: it is, but there is no session.
        """
        dialled = await self._reach(slot, peer)
        try:
            if slot.session is not None:
                # Not yet greeted, so the peer does not count on it: dropping it here cannot cost both sessions.
                raise GreetingError(Code.REPLACED, "the peer has connected in the meantime", theirs=False)
            opened = await greeting.call(
                dialled.channel, identity=self._identity, peer=peer, token=self._token, step_s=self._step_s
            )
        except BaseException as error:
            await dialled.channel.close(Code.REPLACED)
            if isinstance(error, GreetingError) and error.theirs and error.code is Code.UNPAIRED:
                self._tasks.start(f"forget {peer.device}", self._forget(peer))
            raise
        return self._make(dialled.channel, opened, dialled=True, address=dialled.address)

    async def _reach(self, slot: _Slot, peer: TrustedPeer) -> Dialled:
        """Connect; begin again when a sighting brings an address that is not being tried yet."""
        outcomes: list[Dialled | PeerUnreachable] = []

        async def connect(addresses: Sequence[str]) -> None:
            try:
                outcomes.append(await self._dialer.connect(addresses, peer.fingerprint))
            except PeerUnreachable as error:
                outcomes.append(error)

        while not outcomes:
            slot.woken.clear()
            addresses = self._addresses(peer)
            try:
                async with asyncio.TaskGroup() as group:
                    connecting = group.create_task(connect(addresses))
                    while not connecting.done() and set(self._addresses(peer)) <= set(addresses):
                        woken = group.create_task(slot.woken.wait())
                        await asyncio.wait({connecting, woken}, return_when=asyncio.FIRST_COMPLETED)
                        woken.cancel()
                        slot.woken.clear()
                    connecting.cancel()
            except BaseException:
                for outcome in outcomes:
                    if isinstance(outcome, Dialled):
                        await outcome.channel.close()
                raise
        outcome = outcomes[0]
        if isinstance(outcome, PeerUnreachable):
            raise outcome
        return outcome

    def _addresses(self, peer: TrustedPeer) -> list[str]:
        """Return where the peer may be: where it was last, then where somebody says it is."""
        return list(dict.fromkeys([*peer.addresses[:1], *self._hints(peer.device), *peer.addresses]))

    async def _pause(self, slot: _Slot, pause_s: float) -> None:
        """Wait until the next try is due, or somebody wakes the slot."""
        await asyncio.sleep(MIN_PAUSE_S)
        try:
            async with asyncio.timeout(max(0.0, pause_s - MIN_PAUSE_S)):
                await slot.woken.wait()
        except TimeoutError:
            return

    async def _serve(self, session: Session) -> bool:
        """Run the conversation of a session until it ends; return whether it was worth having."""
        slot, peer = self._slots.get(session.peer), self._book.get(session.peer)
        if slot is None or peer is None:
            # A peer takes `unpaired` at its word and forgets this device: say it only when it is so, and not
            # because this side is starting or stopping.
            await session.close(Code.UNPAIRED if peer is None else Code.LEAVING)
            return False
        rival = slot.session
        if rival is not None and self._stays(rival, against=session):
            await session.close(Code.REPLACED)
            return False
        slot.session = session
        slot.free.clear()
        if rival is not None:
            await self._end_session(rival, slot.talk, Code.REPLACED)
        try:
            async with slot.turn:
                if slot.session is session:
                    self._set_link(slot, Link("online", self._clock.wall(), address=session.address))
                    slot.talk = self._tasks.start(f"session with {session.peer}", self._talk(session, peer))
                    await asyncio.wait({slot.talk})
        finally:
            await session.close(Code.REPLACED if slot.session is not session else Code.LEAVING)
            if slot.session is session:
                slot.session = None
                slot.free.set()
                self._set_link(slot, Link("connecting", self._clock.wall()))
        return self._clock.boot() - session.opened_at >= SETTLED_S

    async def _talk(self, session: Session, peer: TrustedPeer) -> None:
        """Converse with the peer, and close the session with the reason for its end."""
        log.info("session with %s at %s is open", session.peer, session.address)
        code, reason = Code.LEAVING, ""
        try:
            await self._book.seen(session.peer, session.address if session.dialled else None)
            await self._converse(session)
        except* ChannelClosed as closed:
            log.info("session with %s is over: %s", session.peer, closed.exceptions[0])
        except* RemoteError as errors:
            first = errors.exceptions[0]
            code, reason = first.code if isinstance(first, RemoteError) else Code.UNEXPECTED, str(first)
            log.warning("session with %s is cut: %s", session.peer, first)
        except* Degraded as errors:
            code = Code.DEGRADED
            log.warning("session with %s ends: %s", session.peer, errors.exceptions[0])
        except* Exception:
            code = Code.DEGRADED
            log.exception("session with %s failed", session.peer)
        finally:
            await session.close(code, reason)
        if session.told is Code.UNPAIRED:
            self._tasks.start(f"forget {session.peer}", self._forget(peer))
        elif self._book.get(session.peer) is not None:
            # When it was last seen is worth no more than the disk has room for.
            with contextlib.suppress(Degraded):
                await self._book.seen(session.peer)

    def _stays(self, session: Session, *, against: Session) -> bool:
        """Return whether the older session stays when there is a newer one.

        When both sides dialled at once, both must come to the same answer without asking: the session dialled
        by the lower id stays. Otherwise the peer has lost the older one, and knows it before this side does.
        """
        if session.dialled == against.dialled or self._clock.boot() - session.opened_at >= SETTLED_S:
            return False
        return session.dialled == (self._identity.device < session.peer)

    async def _end(self, slot: _Slot, code: Code) -> None:
        """Stop dialling, and end the session if there is one."""
        if slot.session is not None:
            await self._end_session(slot.session, slot.talk, code)
        if slot.talk is not None:
            await asyncio.wait({slot.talk}, timeout=GRACE_S)
            slot.talk.cancel()
        if slot.dialling is not None:
            slot.dialling.cancel()

    async def _end_session(self, session: Session, talk: asyncio.Task[None] | None, code: Code) -> None:
        await session.close(code)
        if talk is not None:
            asyncio.get_running_loop().call_later(GRACE_S, talk.cancel)

    async def _forget(self, told: TrustedPeer) -> None:
        """Unpair from this side, too, because the peer has done so; unless the two were paired again meanwhile."""
        device, known = told.device, self._book.get(told.device)
        if known is None or known.pair_key != told.pair_key:
            return
        try:
            peer = await self._book.forget(device)
        except NotFound:
            return
        log.warning("%s (%s) has unpaired this device", peer.name, device)
        self._notify(Notice("unpaired_by_peer", f"{peer.name} has unpaired this device", device))
        slot = self._slots.pop(device, None)
        if slot is not None:
            await self._end(slot, Code.LEAVING)
        self._on_change()

    async def _say_farewell(self, peer: TrustedPeer) -> None:
        """Tell a peer that was not connected; one try, for it will ask by itself when it is back."""
        try:
            dialled = await self._dialer.connect(self._addresses(peer), peer.fingerprint)
            try:
                await greeting.call(
                    dialled.channel, identity=self._identity, peer=peer, token=self._token, step_s=self._step_s
                )
            finally:
                await dialled.channel.close(Code.UNPAIRED)
        except (PeerUnreachable, GreetingError) as error:
            log.info("%s is not told that it was unpaired: %s", peer.device, error)

    def _set_link(self, slot: _Slot, link: Link) -> None:
        """Publish how things stand; `since` stays when only the trouble is another one."""
        if slot.link.state == link.state:
            link = Link(link.state, slot.link.since, link.address, link.trouble)
        if link != slot.link:
            slot.link = link
            self._on_change()


def _words(error: MeshdError | GreetingError) -> str:
    if isinstance(error, GreetingError) and error.theirs and error.code is Code.REFUSED:
        return "it does not know this device any more: pair again"
    return str(error)
