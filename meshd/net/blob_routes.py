"""Blobs over HTTP, as the side that listens: what the peers may read, and take of what they were asked for."""

import asyncio
import contextlib
import hmac
import logging
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager

from aiohttp import web

from meshd.errors import BadInput, Conflict, Degraded, NotFound
from meshd.net.blob_line import MAX_TRANSFERS, PATH, AnsweredLine, Due
from meshd.net.blob_stream import BROKEN, STALL_S, Cut, Stalled, pour, tell
from meshd.store.blobs import BlobRef, BlobStore
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages.blobs import DIGEST_PATTERN

log = logging.getLogger(__name__)

_RANGE = re.compile(r"bytes=(\d{1,10})-")


class BlobRoutes:
    """The handlers. Who has no right is told the same, in the same words, as who asks for what is not there."""

    def __init__(
        self,
        *,
        store: BlobStore,
        lines: Callable[[], Iterable[AnsweredLine]],
        may_read: Callable[[DeviceId, str], bool],
        vouch: Callable[[web.Request], None],
        stall_s: float = STALL_S,
    ) -> None:
        self._store = store
        self._lines = lines
        self._may_read = may_read
        self._vouch = vouch
        self._stall_s = stall_s

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Return what the listener serves beside sessions."""
        path = f"{PATH}/{{digest:{DIGEST_PATTERN}}}"
        return [web.get(path, self._give, allow_head=False), web.put(path, self._take)]

    def _line_of(self, request: web.Request) -> AnsweredLine:
        """Return the session that the request belongs to, by the token that it shows."""
        shown = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        found = [line for line in list(self._lines()) if hmac.compare_digest(shown, f"Bearer {line.token}".encode())]
        if not found or request.transport is None:
            raise web.HTTPNotFound
        line = found[0]
        line.connections = {known for known in line.connections if not known.is_closing()}
        line.connections.add(request.transport)
        self._vouch(request)
        return line

    async def _give(self, request: web.Request) -> web.StreamResponse:
        """Answer a GET: the blob from the byte on that its `Range` names."""
        line = self._line_of(request)
        digest = request.match_info["digest"]
        wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
        if wanted is None or not self._may_read(line.peer, digest):
            raise web.HTTPNotFound
        start = int(wanted[1])
        async with _turn(line):
            size = await self._store.size(digest)
            if size is None or start >= size:
                raise web.HTTPNotFound
            ref = BlobRef(digest, size)
            if line.given.take(digest):
                await self._check(line, ref)
            return await self._send(request, line, ref, start)

    async def _check(self, line: AnsweredLine, ref: BlobRef) -> None:
        """Look at a blob that the peer has had from here, and asks for again."""
        try:
            await self._store.check(ref)
        except (NotFound, Degraded) as error:
            log.warning("the blob %s cannot be given to %s again: %s", ref, line.peer, error)
            raise web.HTTPNotFound from error

    async def _send(self, request: web.Request, line: AnsweredLine, ref: BlobRef, start: int) -> web.StreamResponse:
        response = web.StreamResponse(status=206, headers={"Content-Range": f"bytes {start}-{ref.size - 1}/{ref.size}"})
        response.content_length = ref.size - start
        try:
            async with (
                asyncio.timeout(self._stall_s) as patience,
                aclosing(tell(self._store, ref, start, patience, stall_s=self._stall_s)) as chunks,
            ):
                await response.prepare(request)
                async for chunk in chunks:
                    await response.write(chunk)
                await response.write_eof()
                line.given.note(ref.digest)
        except BROKEN as error:
            log.info("%s stopped reading the blob %s: %s", line.peer, ref, error or type(error).__name__)
        except (NotFound, Degraded) as error:
            log.warning("the blob %s cannot be given to %s: %s", ref, line.peer, error)
        else:
            return response
        # The end of a body that is too short: the peer sees that it is not whole.
        _abort(request)
        return response

    async def _take(self, request: web.Request) -> web.StreamResponse:
        """Answer a PUT: only what this device has asked for, from the byte on that it named."""
        line = self._line_of(request)
        due = line.due.get(request.match_info["digest"])
        if due is None or not _fits(request, due):
            raise web.HTTPNotFound
        del line.due[due.ref.digest]
        due.transport = request.transport
        if not due.begun.done():
            due.begun.set_result(None)
        try:
            await pour(request.content, due.arrival, stall_s=self._stall_s)
        except (Cut, Stalled, BadInput, Degraded, Conflict) as error:
            _settle(due.ended, error)
            _abort(request)
        except BaseException:
            _settle(due.ended, Cut("the request was broken off"))
            raise
        else:
            _settle(due.ended, None)
        return web.Response(status=204)


@asynccontextmanager
async def _turn(line: AnsweredLine) -> AsyncGenerator[None]:
    """Wait for one of the few transfers that a peer may have at a time."""
    if line.waiting >= MAX_TRANSFERS:
        raise web.HTTPNotFound
    line.waiting += 1
    try:
        await line.giving.acquire()
    finally:
        line.waiting -= 1
    try:
        yield
    finally:
        line.giving.release()


def _fits(request: web.Request, due: Due) -> bool:
    """Return whether the request announces what is due, to the byte."""
    start, size = due.arrival.offset, due.ref.size
    return (
        request.headers.get("Content-Range") == f"bytes {start}-{size - 1}/{size}"
        and request.content_length == size - start
        and "Content-Encoding" not in request.headers
        and "Transfer-Encoding" not in request.headers
    )


def _settle(ended: asyncio.Future[None], error: Exception | None) -> None:
    """Tell whoever waits for the blob, unless they were told already, or have gone."""
    if ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)


def _abort(request: web.Request) -> None:
    with contextlib.suppress(OSError):
        if request.transport is not None:
            request.transport.abort()
