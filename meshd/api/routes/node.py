"""Routes about the daemon itself."""

from aiohttp import web

from meshd.api.answers import answer, body
from meshd.api.endpoint import Endpoint
from meshd.api.services import Daemon
from meshd_protocol.localapi import Health, StatusView


class NodeRoutes:
    """Whether it lives, how it is, and its end."""

    def __init__(self, *, daemon: Daemon) -> None:
        self._daemon = daemon

    def table(self) -> list[Endpoint]:
        """Return the routes."""
        return [
            Endpoint(method="GET", path="/health", handler=self.health, gives=Health),
            Endpoint(method="GET", path="/ping", handler=self.ping, gives=Health),
            Endpoint(method="GET", path="/api/v1/status", handler=self.status, gives=StatusView),
            Endpoint(method="POST", path="/api/v1/pause", handler=self.pause, gives=StatusView),
            Endpoint(method="POST", path="/api/v1/resume", handler=self.resume, gives=StatusView),
            Endpoint(method="POST", path="/api/v1/shutdown", handler=self.shutdown, gives=Health, status=202),
        ]

    async def health(self, request: web.Request) -> web.Response:
        """Say that the daemon answers; needs no token and tells nothing else."""
        del request
        return answer(Health(status="ok"))

    async def ping(self, request: web.Request) -> web.Response:
        """Say that the daemon answers, as `/health` does."""
        return await self.health(request)

    async def status(self, request: web.Request) -> web.Response:
        """Return the `StatusView`."""
        del request
        return answer(await self._daemon.status())

    async def pause(self, request: web.Request) -> web.Response:
        """Let nothing new start on this device, until it is resumed; return the `StatusView`."""
        await body(request, dict[str, object])
        return answer(await self._daemon.pause())

    async def resume(self, request: web.Request) -> web.Response:
        """Take jobs again; return the `StatusView`."""
        await body(request, dict[str, object])
        return answer(await self._daemon.resume())

    async def shutdown(self, request: web.Request) -> web.Response:
        """Stop the daemon, once this is answered."""
        del request
        self._daemon.shutdown()
        return answer(Health(status="stopping"), status=202)
