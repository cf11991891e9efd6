"""Routes about other devices."""

from aiohttp import web

from meshd.api.answers import answer
from meshd.api.services import Devices


class DeviceRoutes:
    """The paired, and the merely seen."""

    def __init__(self, *, devices: Devices) -> None:
        self._devices = devices

    def table(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/api/v1/peers", self.peers),
            web.delete("/api/v1/peers/{device}", self.unpair),
            web.get("/api/v1/sightings", self.sightings),
        ]

    async def peers(self, request: web.Request) -> web.Response:
        """Return a list of `PeerView`."""
        del request
        return answer(await self._devices.peers())

    async def sightings(self, request: web.Request) -> web.Response:
        """Return a list of `SightingView`."""
        del request
        return answer(await self._devices.sightings())

    async def unpair(self, request: web.Request) -> web.Response:
        """Forget a peer, by name or id; return the `PeerView` that it was."""
        return answer(await self._devices.unpair(request.match_info["device"]))
