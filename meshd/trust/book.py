"""The peers of this device, in memory: read at once, changed on disk first."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from meshd.clock import Clock
from meshd.errors import BadInput, NotFound, PeerRefused
from meshd.store import peers
from meshd.store.database import Connection, Store
from meshd.store.peers import MAX_ADDRESSES, FormerPeer, TrustedPeer
from meshd.trust import policy
from meshd.trust.names import meant, only, safe_name
from meshd_protocol.crypto import public_key
from meshd_protocol.ids import DeviceId
from meshd_protocol.limits import MAX_NAME
from meshd_protocol.machines.pairing import NewPeer


def _nothing(connection: Connection, device: DeviceId) -> None:
    """Do nothing."""


class PeerBook:
    """Every peer by its id. The only way to the peer table, so that memory and disk say the same."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        known: Sequence[TrustedPeer],
        on_forget: Callable[[Connection, DeviceId], None] = _nothing,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._peers = {peer.device: peer for peer in known}
        self._leaving: dict[DeviceId, TrustedPeer] = {}
        """Those that are trusted no longer, which is not on disk yet."""

        self._forgotten: Counter[DeviceId] = Counter()
        """How often each device was to be forgotten: what is stored meanwhile is not to be remembered."""

        self._on_forget = on_forget
        self._on_change = on_change

    @classmethod
    async def load(
        cls,
        store: Store,
        clock: Clock,
        *,
        on_forget: Callable[[Connection, DeviceId], None] = _nothing,
        on_change: Callable[[], None] = lambda: None,
    ) -> "PeerBook":
        """Return the book of what is stored.

        `on_forget` runs inside the transaction that forgets a peer, before the peer is gone. `on_change` runs
        after any change is on disk.
        """
        known = await store.write(peers.every)
        return cls(store=store, clock=clock, known=known, on_forget=on_forget, on_change=on_change)

    def all(self) -> Sequence[TrustedPeer]:
        """Return every peer, the first paired first."""
        return sorted(self._peers.values(), key=lambda peer: (peer.paired_at, peer.device))

    def listed(self) -> Sequence[TrustedPeer]:
        """Return every peer as people are told of them: one is gone when that is on disk."""
        return [*self.all(), *(peer for peer in self._leaving.values() if peer.device not in self._peers)]

    def get(self, device: str) -> TrustedPeer | None:
        """Return the peer with this id, if there is one."""
        return self._peers.get(DeviceId(device))

    def find(self, text: str) -> TrustedPeer:
        """Return the peer that a person means by an id, the start of one, or a name.

        Raises:
            NotFound: nobody is called that.
            Conflict: several are.
        """
        found = only(text, meant(text, self.all()))
        if found is None:
            raise NotFound(f"no peer is called {text!r}", hint="`meshd peers` lists them")
        return found

    def may(self, device: DeviceId, kind: str) -> bool:
        """Return whether `device` may have a job of this kind done here."""
        peer = self.get(device)
        return peer is not None and policy.may(peer.permissions, kind)

    async def former(self, device: str) -> FormerPeer | None:
        """Return what is remembered of a device that was unpaired."""
        return await self._store.write(lambda connection: peers.former(connection, DeviceId(device)))

    async def keep(self, new: NewPeer, addresses: Sequence[str]) -> TrustedPeer:
        """Store a completed pairing and return it. Paired again, a peer keeps its permissions and its past.

        Raises:
            PeerRefused: the id belongs to a peer with another key, and nothing is changed; or the peer was
                forgotten while it was stored.
        """
        old = self.get(new.device)
        if old is not None and public_key(old.certificate) != public_key(new.certificate):
            raise PeerRefused(
                f"{old.name} ({old.device}) is paired with another key",
                hint="if the other device was set up anew, unpair it here first",
            )
        peer = TrustedPeer(
            device=new.device,
            name=safe_name(new.name, new.device),
            certificate=new.certificate,
            pair_key=new.pair_key,
            permissions=old.permissions if old is not None else policy.DEFAULT_PERMISSIONS,
            addresses=_best_first(addresses, old.addresses if old is not None else ()),
            paired_at=self._clock.wall(),
            seen_at=self._clock.wall(),
        )
        forgotten = self._forgotten[peer.device]
        await self._store.write(lambda connection: peers.keep(connection, peer))
        if self._forgotten[peer.device] != forgotten:
            raise PeerRefused(f"{peer.name} ({peer.device}) was unpaired while it was being paired", hint="pair again")
        self._peers[peer.device] = peer
        self._on_change()
        return peer

    async def rename(self, device: DeviceId, name: str) -> TrustedPeer:
        """Call the peer `name` here, whatever it calls itself.

        Raises:
            NotFound: there is no such peer.
            BadInput: the name is empty, too long, or holds characters that cannot be seen.
        """
        if not 0 < len(name) <= MAX_NAME or safe_name(name, "") != name:
            raise BadInput(f"a name has 1 to {MAX_NAME} visible characters", field="name")
        self._require(device)
        await self._store.write(lambda connection: peers.rename(connection, device, name))
        return self._change(device, lambda peer: replace(peer, name=name))

    async def set_permissions(self, device: DeviceId, kinds: Sequence[str]) -> TrustedPeer:
        """Replace what the peer may have done here.

        Raises:
            NotFound: there is no such peer.
            BadInput: as `policy.checked`.
        """
        permissions = policy.checked(kinds)
        self._require(device)
        await self._store.write(lambda connection: peers.set_permissions(connection, device, permissions))
        return self._change(device, lambda peer: replace(peer, permissions=permissions))

    async def seen(self, device: DeviceId, address: str | None = None) -> None:
        """Remember that the peer is connected now, and, if this side dialled, at which address."""
        peer = self.get(device)
        if peer is None:
            return
        addresses = _best_first([address] if address is not None else [], peer.addresses)
        now = self._clock.wall()
        await self._store.write(lambda connection: peers.set_seen(connection, device, addresses, now))
        if self.get(device) is not None:
            self._change(device, lambda peer: replace(peer, addresses=addresses, seen_at=now))

    async def forget(self, device: DeviceId) -> TrustedPeer:
        """Trust the device no longer, and return what it was.

        From the moment of the call it is no peer in memory; if the disk refuses, it is one again.

        Raises:
            NotFound: there is no such peer.
        """
        peer = self._require(device)
        del self._peers[device]
        self._leaving[device] = peer
        self._forgotten[device] += 1

        def forget(connection: Connection) -> None:
            self._on_forget(connection, device)
            peers.forget(connection, device, self._clock.wall())

        try:
            await self._store.write(forget)
        except Exception:
            self._peers.setdefault(device, peer)
            raise
        finally:
            self._leaving.pop(device, None)
        self._on_change()
        return peer

    def _require(self, device: DeviceId) -> TrustedPeer:
        peer = self.get(device)
        if peer is None:
            raise NotFound(f"{device} is not a peer", hint="`meshd peers` lists them")
        return peer

    def _change(self, device: DeviceId, change: Callable[[TrustedPeer], TrustedPeer]) -> TrustedPeer:
        """Take over what the disk has; raise `NotFound` if the peer was forgotten while it wrote."""
        self._peers[device] = peer = change(self._require(device))
        self._on_change()
        return peer


def _best_first(fresh: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*fresh, *known]))[:MAX_ADDRESSES]
