"""The devices as the local API shows them: paired ones with what they say of themselves, and mere sightings."""

from collections.abc import Callable, Sequence
from typing import Literal

from meshd.api.trial import Trial
from meshd.api.views import machine_view, rate_views
from meshd.jobs.roster import Roster
from meshd.jobs.views import iso
from meshd.net.discovery import Sighting
from meshd.net.mesh import Mesh
from meshd.store.peers import TrustedPeer
from meshd.trust.book import PeerBook
from meshd_protocol.localapi import PeerTest, PeerView, SightingView


class Devices:
    """See `meshd.api.services.Devices`."""

    def __init__(
        self,
        *,
        book: PeerBook,
        mesh: Mesh,
        roster: Roster,
        sightings: Callable[[], Sequence[Sighting]],
        trial: Trial,
        check_kind: Callable[[str], object],
    ) -> None:
        """`check_kind` raises `BadInput` for a word that is no kind of job."""
        self._book = book
        self._mesh = mesh
        self._roster = roster
        self._sightings = sightings
        self._trial = trial
        self._check_kind = check_kind

    async def peers(self) -> list[PeerView]:
        """Return the paired devices, by name."""
        return sorted((self.view(peer) for peer in self._book.listed()), key=lambda view: (view.name, view.id))

    async def sightings(self) -> list[SightingView]:
        """Return the devices that announce themselves on this network, by name."""
        views = [
            SightingView(
                id=sighting.device,
                name=sighting.name,
                addresses=list(sighting.addresses),
                pairing=sighting.pairing,
                paired=self._book.get(sighting.device) is not None,
            )
            for sighting in self._sightings()
        ]
        return sorted(views, key=lambda view: (view.name, view.id))

    async def test(self, device: str) -> PeerTest:
        """Ping a peer, run a job that does nothing on it, and return what that has shown."""
        peer = self._book.find(device)
        link = self._mesh.links().get(peer.device)
        found = await self._trial.run(
            peer.device,
            peer.name,
            is_online=link is not None and link.state == "online",
            trouble="" if link is None else link.trouble,
        )
        return PeerTest(
            peer=self.view(peer),
            ok=found.problem is None,
            reachable=found.round_trip_s is not None,
            round_trip_ms=None if found.round_trip_s is None else round(found.round_trip_s * 1000, 2),
            gpu=self._gpus(peer),
            job_s=None if found.job_s is None else round(found.job_s, 3),
            problem=found.problem,
            message=found.message,
            hint=found.hint,
        )

    async def permit(self, device: str, kind: str, *, allowed: bool) -> PeerView:
        """Let a peer have a kind of job done here, or no longer; what runs of it stops."""
        peer = self._book.find(device)
        if allowed:
            self._check_kind(kind)
        others = [known for known in peer.permissions if known != kind]
        peer = await self._book.set_permissions(peer.device, [*others, kind] if allowed else others)
        return self.view(peer)

    async def unpair(self, device: str) -> PeerView:
        """Forget a peer, end its session at once, and return what it was."""
        peer = self._book.find(device)
        view = self.view(peer)
        await self._mesh.unpair(peer.device)
        return view

    def view(self, peer: TrustedPeer) -> PeerView:
        """Return what the API shows of a paired device."""
        link = self._mesh.links().get(peer.device)
        impression = self._roster.impression(peer.device)
        status = impression.status
        is_online = link is not None and link.state == "online"
        state: Literal["online", "busy", "idle", "offline"] = "offline"
        if is_online:
            state = "online" if status is None or status.busy else "idle"
            is_full = status is not None and bool(status.kinds) and not any(line.free for line in status.kinds)
            state = "busy" if is_full else state
        latency_s = impression.latency_s if is_online else None
        return PeerView(
            id=peer.device,
            name=peer.name,
            state=state,
            address=link.address if is_online and link is not None else next(iter(peer.addresses), None),
            latency_ms=None if latency_s is None else round(latency_s * 1000, 2),
            version=None if status is None else status.version,
            platform=None if status is None else status.platform,
            slots=None if status is None else status.slots,
            busy=None if status is None else status.busy,
            queued=None if status is None else status.queued,
            rates=[] if status is None else rate_views(status),
            permissions=list(peer.permissions),
            paired_at=iso(peer.paired_at),
            seen_at=None if peer.seen_at is None else iso(peer.seen_at),
            paused=status is not None and status.paused,
            reluctance="" if status is None else status.reluctance,
            machine=None if status is None else machine_view(status),
        )

    def _gpus(self, peer: TrustedPeer) -> str | None:
        status = self._roster.impression(peer.device).status
        return None if status is None else ", ".join(gpu.name for gpu in status.gpus if gpu.usable) or None
