"""The stream of what happens, for screens that show it live (server-sent events)."""

import asyncio
from contextlib import suppress

import msgspec
from aiohttp import web

from meshd.api.answers import refusal
from meshd.api.endpoint import Endpoint
from meshd.api.services import Jobs
from meshd_protocol.localapi import JobView

MAX_STREAMS = 32
"""Browser tabs, trays and scripts of one user; each holds a subscription."""

PULSE_S = 15.0
"""A comment in silence, so that the daemon notices a reader who has gone, and the reader a daemon."""

WRITE_S = 5.0
"""A reader that takes nothing for this long is dropped: it reads afresh when it is back."""


class EventRoutes:
    """Changes of jobs as they happen."""

    def __init__(self, *, jobs: Jobs) -> None:
        self._jobs = jobs
        self._open = 0

    def table(self) -> list[Endpoint]:
        """Return the routes."""
        return [
            Endpoint(
                method="GET",
                path="/api/v1/events",
                handler=self.stream,
                gives=None,
                also={"text/event-stream": JobView},
            )
        ]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send `event: job` with a `JobView` for every change from now on.

        `event: resync` is the last one for a reader that was too slow: it has missed some, and reads the jobs
        again before it listens again.
        """
        if self._open >= MAX_STREAMS:
            return refusal(429, "busy", f"{MAX_STREAMS} readers of events are connected", "close some of them")
        self._open += 1
        try:
            return await self._stream(request)
        finally:
            self._open -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        async with self._jobs.changes() as changes:
            with suppress(ConnectionError):
                await response.prepare(request)
                await _send(request, response, b": changes from here on\n\n")
                following = asyncio.ensure_future(anext(changes, None))  # noqa: TID251 - awaited or cancelled below
                try:
                    while True:
                        done, _ = await asyncio.wait({following}, timeout=PULSE_S)
                        if not done:
                            await _send(request, response, b":\n\n")
                            continue
                        change = following.result()
                        if change is None:
                            await _send(request, response, b"event: resync\ndata: {}\n\n")
                            break
                        await _send(request, response, b"event: job\ndata: " + msgspec.json.encode(change) + b"\n\n")
                        following = asyncio.ensure_future(anext(changes, None))  # noqa: TID251 - as above
                finally:
                    following.cancel()
        return response


async def _send(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Write, or cut the connection of a reader that does not read."""
    try:
        async with asyncio.timeout(WRITE_S):
            await response.write(data)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader takes nothing") from None
