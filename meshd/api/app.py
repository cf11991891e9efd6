"""The local API's server: its routes behind its guard, on loopback only."""

import errno
import logging

from aiohttp import web

from meshd.api.answers import answer, errors_as_answers
from meshd.api.endpoint import Endpoint
from meshd.api.guard import MAX_BODY_BYTES, guard
from meshd.api.openapi import document
from meshd.api.routes.devices import DeviceRoutes
from meshd.api.routes.events import EventRoutes
from meshd.api.routes.files import FileRoutes
from meshd.api.routes.jobs import JobRoutes
from meshd.api.routes.node import NodeRoutes
from meshd.api.routes.pairings import PairingRoutes
from meshd.api.services import Daemon, Devices, Files, Jobs, Pairings
from meshd.errors import Degraded

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

PORTS_TRIED = 20
"""The wanted port and those after it: two nodes on one machine, or another program in the way, and some room."""

SHUTDOWN_S = 0.5
"""How long answers in flight get at the end; streams and long polls would go on for ever."""


def create_app(
    *, jobs: Jobs, files: Files, devices: Devices, pairings: Pairings, daemon: Daemon, token: str
) -> web.Application:
    """Return the application: every route, behind the guard."""
    app = web.Application(
        middlewares=[errors_as_answers, guard(token)],
        client_max_size=MAX_BODY_BYTES,
    )
    groups = (
        NodeRoutes(daemon=daemon),
        DeviceRoutes(devices=devices),
        PairingRoutes(pairings=pairings),
        JobRoutes(jobs=jobs),
        FileRoutes(files=files),
        EventRoutes(jobs=jobs),
    )
    endpoints = [endpoint for group in groups for endpoint in group.table()]

    async def openapi(request: web.Request) -> web.Response:
        """Describe this API for programs, as OpenAPI 3.1."""
        del request
        return answer(document(endpoints))

    endpoints.append(Endpoint(method="GET", path="/api/v1/openapi.json", handler=openapi, gives=dict[str, object]))
    app.add_routes([endpoint.route() for endpoint in endpoints])
    return app


async def serve(app: web.Application, port: int) -> tuple[web.AppRunner, int]:
    """Listen on `port` of loopback, or the next free one (0: any); return the runner, to be cleaned up, and the port.

    Raises:
        Degraded: no port near it is free.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, auto_decompress=False)
    await runner.setup()
    last = min(port + PORTS_TRIED, 65536)
    for candidate in range(port, last) if port else (0,):
        try:
            await web.TCPSite(runner, LOOPBACK, candidate).start()
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                await runner.cleanup()
                raise Degraded(f"the local API cannot listen on {LOOPBACK}: {error.strerror}") from error
        else:
            actual = runner.addresses[0][1]
            log.info("the local API listens", extra={"port": actual})
            return runner, actual
    await runner.cleanup()
    raise Degraded(
        f"no port from {port} to {last - 1} is free for the local API",
        hint="set api_port, or MESHD_API_PORT, to another one",
    )
