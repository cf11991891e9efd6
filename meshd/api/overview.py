"""The daemon as a whole, as the local API shows it."""

import os
from collections.abc import Callable
from pathlib import Path

from meshd import __version__
from meshd.api.views import machine_view, rate_views
from meshd.clock import Clock
from meshd.jobs.history import History
from meshd.jobs.readiness import Readiness
from meshd.jobs.roster import Roster
from meshd.jobs.views import iso
from meshd.net.mesh import Mesh
from meshd.trust.book import PeerBook
from meshd_protocol.ids import DeviceId
from meshd_protocol.localapi import StatusView
from meshd_protocol.version import PROTOCOL_VERSION


class Overview:
    """See `meshd.api.services.Daemon`."""

    def __init__(
        self,
        *,
        device: DeviceId,
        home: Path,
        clock: Clock,
        history: History,
        roster: Roster,
        book: PeerBook,
        mesh: Mesh,
        readiness: Readiness,
        peer_port: int,
        discovery: Callable[[], str],
        stop: Callable[[], None],
    ) -> None:
        self._device = device
        self._home = home
        self._clock = clock
        self._history = history
        self._roster = roster
        self._book = book
        self._mesh = mesh
        self._readiness = readiness
        self._peer_port = peer_port
        self._discovery = discovery
        self._stop = stop
        self._started_at = clock.boot()
        self.api_port = 0
        """Known once the API listens."""

    async def status(self) -> StatusView:
        """Return how this device is doing."""
        counts = await self._history.counts()
        own = self._roster.own_status()
        return StatusView(
            device=self._device,
            name=own.name,
            version=__version__,
            protocol=PROTOCOL_VERSION,
            pid=os.getpid(),
            home=str(self._home),
            peer_port=self._peer_port,
            api_port=self.api_port,
            uptime_s=round(self._clock.boot() - self._started_at, 1),
            counts=counts,
            badge=counts.queued + counts.running + counts.retrying,
            peers=len(self._book.listed()),
            peers_online=len(self._mesh.sessions()),
            slots=own.slots,
            busy=own.busy,
            rates=rate_views(own),
            discovery=self._discovery(),
            paused_at=None if self._readiness.paused_since is None else iso(self._readiness.paused_since),
            reluctance=own.reluctance,
            machine=machine_view(own),
        )

    async def pause(self) -> StatusView:
        """Let nothing new start here; return the status after it."""
        await self._readiness.pause()
        return await self.status()

    async def resume(self) -> StatusView:
        """Take jobs again; return the status after it."""
        await self._readiness.resume()
        return await self.status()

    def shutdown(self) -> None:
        """Ask the daemon to stop once this request is answered."""
        self._stop()
