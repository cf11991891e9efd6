"""Routes about other devices."""

from aiohttp import web

from meshd.api.answers import answer, body
from meshd.api.endpoint import Endpoint
from meshd.api.services import Devices
from meshd_protocol.localapi import PeerTest, PeerView, SightingView

PERMISSION = "/api/v1/peers/{device}/permissions/{kind}"


class DeviceRoutes:
    """The paired, and the merely seen."""

    def __init__(self, *, devices: Devices) -> None:
        self._devices = devices

    def table(self) -> list[Endpoint]:
        """Return the routes."""
        return [
            Endpoint(method="GET", path="/api/v1/peers", handler=self.peers, gives=list[PeerView]),
            Endpoint(method="DELETE", path="/api/v1/peers/{device}", handler=self.unpair, gives=PeerView),
            Endpoint(method="POST", path="/api/v1/peers/{device}/test", handler=self.test, gives=PeerTest),
            Endpoint(method="PUT", path=PERMISSION, handler=self.allow, gives=PeerView),
            Endpoint(method="DELETE", path=PERMISSION, handler=self.deny, gives=PeerView),
            Endpoint(method="GET", path="/api/v1/sightings", handler=self.sightings, gives=list[SightingView]),
        ]

    async def peers(self, request: web.Request) -> web.Response:
        """Return a list of `PeerView`."""
        del request
        return answer(await self._devices.peers())

    async def sightings(self, request: web.Request) -> web.Response:
        """Return a list of `SightingView`."""
        del request
        return answer(await self._devices.sightings())

    async def test(self, request: web.Request) -> web.Response:
        """Ping a peer, by name or id, and run a small job on it; return the `PeerTest`, also when it went wrong."""
        await body(request, dict[str, object])
        return answer(await self._devices.test(request.match_info["device"]))

    async def allow(self, request: web.Request) -> web.Response:
        """Let a peer, by name or id, have a kind of job done here from now on; return its `PeerView`."""
        await body(request, dict[str, object])
        return answer(
            await self._devices.permit(request.match_info["device"], request.match_info["kind"], allowed=True)
        )

    async def deny(self, request: web.Request) -> web.Response:
        """Let a peer have a kind of job done here no longer; what runs of it stops. Return its `PeerView`."""
        return answer(
            await self._devices.permit(request.match_info["device"], request.match_info["kind"], allowed=False)
        )

    async def unpair(self, request: web.Request) -> web.Response:
        """Forget a peer, by name or id; return the `PeerView` that it was."""
        return answer(await self._devices.unpair(request.match_info["device"]))
