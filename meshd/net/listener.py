"""The peer port: TLS 1.3, two WebSocket paths, and nothing else for strangers."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from meshd.errors import Degraded
from meshd.net.address import DEFAULT_PORT, format_address
from meshd.net.channel import Channel
from meshd.net.websocket import WebSocketChannel
from meshd.tasks import TaskSet
from meshd.trust.identity import Identity
from meshd_protocol.limits import (
    HANDSHAKE_STEP_S,
    HEARTBEAT_S,
    MAX_FRAME_BYTES,
    MAX_UNAUTHENTICATED_FRAME_BYTES,
)

log = logging.getLogger(__name__)

MAX_STRANGERS = 64
"""Sockets that have not proven anything, half-open TLS included. The oldest makes room for a new one: a
peer is through in milliseconds, and whoever holds sockets open only pushes out its own."""

PORTS_TRIED = 20
"""From the preferred port upwards, before any port is taken."""

_IDLE_S = 15.0
"""A connection that has asked nothing, or half a question, for so long is closed."""

_GOODBYE_S = 1.0
"""How long a closing handshake may take."""

Answer = Callable[[Channel], Awaitable[None]]
AnswerSession = Callable[[Channel, Callable[[], None]], Awaitable[None]]
"""Serves a channel; calls the second argument once the other side has proven itself."""


class Listener:
    """Accepts connections from other devices, and hands each channel to whoever serves its path."""

    def __init__(
        self,
        *,
        identity: Identity,
        mesh: AnswerSession,
        pair: Answer,
        routes: Sequence[web.AbstractRouteDef] = (),
        heartbeat_s: float = HEARTBEAT_S,
        handshake_s: float = HANDSHAKE_STEP_S,
    ) -> None:
        self._identity = identity
        self._mesh = mesh
        self._pair = pair
        self._routes = routes
        self._heartbeat_s = heartbeat_s
        self._handshake_s = handshake_s
        self._strangers: dict[asyncio.BaseTransport | socket.socket, None] = {}
        self._tasks = TaskSet()
        self.port = 0
        """The port that was taken; 0 until `open`."""

    @asynccontextmanager
    async def open(self, *, port: int = DEFAULT_PORT, host: str = "") -> AsyncGenerator[None, None]:
        """Listen on `port`, or the next free one (0: any), of every interface or of `host`, inside the block.

        Raises:
            Degraded: no port can be had.
        """
        context = await asyncio.to_thread(self._identity.server_ssl_context)
        app = web.Application(client_max_size=0, middlewares=[_refuse_browsers])
        app.add_routes([web.get("/mesh", self._serve_mesh), web.get("/pair", self._serve_pair), *self._routes])
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=_IDLE_S, shutdown_timeout=_GOODBYE_S)
        await runner.setup()
        listening = _listen(host, port)
        self.port = listening.getsockname()[1]
        server = runner.server
        if server is None:
            raise RuntimeError("the runner is set up, yet has no server")

        async def serve(accepted: socket.socket) -> None:
            loop = asyncio.get_running_loop()
            try:
                transport, _ = await loop.connect_accepted_socket(
                    server, accepted, ssl=context, ssl_handshake_timeout=self._handshake_s
                )
            except (OSError, EOFError) as error:
                log.debug("a connection ended in TLS: %s", error)
                accepted.close()
            else:
                self._admit(transport)
            finally:
                self._strangers.pop(accepted, None)

        async def accept() -> None:
            loop = asyncio.get_running_loop()
            while True:
                try:
                    accepted, _ = await loop.sock_accept(listening)
                except OSError as error:
                    if listening.fileno() < 0:
                        return
                    # Out of descriptors, most likely: what is open goes on, and room comes back.
                    log.warning("a connection could not be accepted: %s", error)
                    await asyncio.sleep(1.0)
                    continue
                self._admit(accepted)
                self._tasks.start("connection", serve(accepted))

        accepting = self._tasks.start(f"peer port {self.port}", accept())
        try:
            yield
        finally:
            accepting.cancel()
            await asyncio.wait({accepting})
            listening.close()
            await runner.cleanup()
            await self._tasks.close()

    def vouch(self, request: web.Request) -> None:
        """Count the socket of this request no longer as a stranger's; for handlers that checked a token."""
        if request.transport is not None:
            self._strangers.pop(request.transport, None)

    def _admit(self, newcomer: asyncio.BaseTransport | socket.socket) -> None:
        """Count one more stranger, and push the oldest out when there are too many."""
        for known in [known for known in self._strangers if _gone(known)]:
            del self._strangers[known]
        while len(self._strangers) >= MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            _cut(oldest)
        self._strangers[newcomer] = None

    async def _serve_mesh(self, request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse(
            heartbeat=self._heartbeat_s, compress=False, max_msg_size=MAX_FRAME_BYTES, timeout=_GOODBYE_S
        )
        if not await _is_answered(request, websocket):
            return web.Response(status=400)
        channel = WebSocketChannel(websocket, _remote(request))
        try:
            await self._mesh(channel, lambda: self.vouch(request))
        finally:
            await channel.close()
        return websocket

    async def _serve_pair(self, request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse(
            heartbeat=self._heartbeat_s,
            compress=False,
            max_msg_size=MAX_UNAUTHENTICATED_FRAME_BYTES,
            timeout=_GOODBYE_S,
        )
        if not await _is_answered(request, websocket):
            return web.Response(status=400)
        channel = WebSocketChannel(websocket, _remote(request))
        try:
            await self._pair(channel)
        finally:
            await channel.close()
        return websocket


@web.middleware
async def _refuse_browsers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer 403 to whatever sends an Origin: a page in a browser, never a device."""
    if "Origin" in request.headers:
        raise web.HTTPForbidden
    return await handler(request)


async def _is_answered(request: web.Request, websocket: web.WebSocketResponse) -> bool:
    """Answer the upgrade; return False when whoever asked for it has gone meanwhile, and no answer will arrive."""
    try:
        await websocket.prepare(request)
    except ConnectionError as error:
        # Anybody may hang up at any moment: that is nobody's error, and must not fill a log with tracebacks.
        log.debug("%s hung up before it was answered: %s", _remote(request), error)
        return False
    return True


def _remote(request: web.Request) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    match peer:
        case (str(host), int(port), *_):
            return format_address(host, port)
        case _:
            return "unknown"


def _gone(stranger: asyncio.BaseTransport | socket.socket) -> bool:
    return stranger.fileno() < 0 if isinstance(stranger, socket.socket) else stranger.is_closing()


def _cut(stranger: asyncio.BaseTransport | socket.socket) -> None:
    if isinstance(stranger, socket.socket):
        # Closed by the handshake that owns it, which sees the end of the stream.
        with contextlib.suppress(OSError):
            stranger.shutdown(socket.SHUT_RDWR)
    elif isinstance(stranger, asyncio.WriteTransport):
        stranger.abort()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket on the first free port, for both families where the machine has both."""
    candidates = [port, *range(port + 1, min(port + PORTS_TRIED, 1 << 16)), 0] if port else [0]
    for candidate in candidates:
        try:
            listening = _bind(host, candidate)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES) and candidate != candidates[-1]:
                continue
            raise Degraded(
                f"the peer port cannot be opened: {error.strerror or error}",
                hint="set `peer_port` to a free port, or to 0 for any",
            ) from error
        listening.setblocking(False)
        return listening
    raise AssertionError("the last candidate either binds or raises")


def _bind(host: str, port: int) -> socket.socket:
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=MAX_STRANGERS)
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=MAX_STRANGERS)
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT and error.errno != errno.EADDRNOTAVAIL:
                raise
    return socket.create_server(("", port), backlog=MAX_STRANGERS)
