"""Routes about pairing."""

from aiohttp import web

from meshd.api.answers import answer, body
from meshd.api.services import Pairings
from meshd_protocol.localapi import PairingAccept, PairingRequest


class PairingRoutes:
    """Showing a code, and entering one."""

    def __init__(self, *, pairings: Pairings) -> None:
        self._pairings = pairings

    def table(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/api/v1/pairings", self.open),
            web.get("/api/v1/pairings/current", self.current),
            web.delete("/api/v1/pairings/current", self.close),
            web.post("/api/v1/pairings/accept", self.accept),
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
