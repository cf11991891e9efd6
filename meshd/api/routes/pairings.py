"""Routes about pairing."""

from aiohttp import web

from meshd.api.answers import answer, body
from meshd.api.endpoint import Endpoint
from meshd.api.services import Pairings
from meshd_protocol.localapi import PairingAccept, PairingRequest, PairingState, PairingView, PeerView


class PairingRoutes:
    """Showing a code, and entering one."""

    def __init__(self, *, pairings: Pairings) -> None:
        self._pairings = pairings

    def table(self) -> list[Endpoint]:
        """Return the routes."""
        pairings = "/api/v1/pairings"
        return [
            Endpoint(
                method="POST", path=pairings, handler=self.open, takes=PairingRequest, gives=PairingView, status=201
            ),
            Endpoint(method="GET", path=f"{pairings}/current", handler=self.current, gives=PairingState),
            Endpoint(method="DELETE", path=f"{pairings}/current", handler=self.close, gives=PairingState),
            Endpoint(
                method="POST", path=f"{pairings}/accept", handler=self.accept, takes=PairingAccept, gives=PeerView
            ),
        ]

    async def open(self, request: web.Request) -> web.Response:
        """Open a code; return its `PairingView`."""
        wanted = await body(request, PairingRequest)
        return answer(await self._pairings.open_code(ttl_s=wanted.ttl_s), status=201)

    async def current(self, request: web.Request) -> web.Response:
        """Return the `PairingState`."""
        del request
        return answer(await self._pairings.current())

    async def close(self, request: web.Request) -> web.Response:
        """Close the open code; return the `PairingState` that follows."""
        del request
        await self._pairings.close_code()
        return answer(await self._pairings.current())

    async def accept(self, request: web.Request) -> web.Response:
        """Enter a code that another device shows; return that device as a `PeerView`."""
        return answer(await self._pairings.accept(await body(request, PairingAccept)))
