"""Routes about the daemon itself."""

from aiohttp import web

from meshd.api.answers import answer
from meshd.api.services import Daemon


class NodeRoutes:
    """Whether it lives, how it is, and its end."""

    def __init__(self, *, daemon: Daemon) -> None:
        self._daemon = daemon

    def table(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/health", self.health),
            web.get("/ping", self.health),
            web.get("/api/v1/status", self.status),
            web.post("/api/v1/shutdown", self.shutdown),
        ]

    async def health(self, request: web.Request) -> web.Response:
        """Say that the daemon answers; needs no token and tells nothing else."""
        del request
        return answer({"status": "ok"})

    async def status(self, request: web.Request) -> web.Response:
        """Return the `StatusView`."""
        del request
        return answer(await self._daemon.status())

    async def shutdown(self, request: web.Request) -> web.Response:
        """Stop the daemon, once this is answered."""
        del request
        self._daemon.shutdown()
        return answer({"status": "stopping"}, status=202)
