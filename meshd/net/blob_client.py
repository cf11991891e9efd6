"""Blobs over HTTP, as the side that dials: GET what is wanted here, PUT what is wanted there."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType

import aiohttp

from meshd.errors import NotFound, PeerUnreachable
from meshd.net.blob_line import PATH, Absent, DialledLine
from meshd.net.blob_stream import BROKEN, STALL_S, Cut, Stalled, pour, tell
from meshd.store.blobs import Arrival, BlobRef, BlobStore
from meshd_protocol.limits import HANDSHAKE_STEP_S

_IDLE_S = 10.0
"""A connection is kept so long for the next blob: less than the listener keeps it, or a request would meet its end.
"""


READ_BYTES = 1 << 18
"""What is read ahead of whoever writes it to the disk: aiohttp's 64 KiB stop the sender more often than needed, and a
megabyte no longer fits the caches."""


class BlobClient:
    """Makes the requests; `async with` it."""

    def __init__(self, *, store: BlobStore, stall_s: float = STALL_S) -> None:
        self._store = store
        self._stall_s = stall_s
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "BlobClient":
        """Be ready for requests."""
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_BYTES,
            # A body that grows while it is read would go past every length that was checked.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=HANDSHAKE_STEP_S, sock_read=self._stall_s),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut every connection."""
        if self._http is not None:
            await self._http.close()

    async def get(self, line: DialledLine, token: str, ref: BlobRef, arrival: Arrival) -> None:
        """Fetch what is missing of `arrival`.

        Raises:
            Absent: the peer does not give it.
            NotFound: the peer has another blob under this digest.
            Cut, Stalled: the rest is still missing.
            PeerUnreachable: another device answers at the address.
            BadInput, Degraded: as `Arrival.write`.
        """
        start = arrival.offset
        headers = {"Authorization": f"Bearer {token}", "Range": f"bytes={start}-"}
        try:
            async with self._session().get(
                _url(line, ref), headers=headers, ssl=line.pin, allow_redirects=False
            ) as answer:
                if answer.status == 404:
                    raise Absent
                _check(line, answer, ref, start)
                await pour(answer.content, arrival, stall_s=self._stall_s)
        except aiohttp.ServerFingerprintMismatch as error:
            raise _impostor(line) from error
        except TimeoutError as error:
            raise Stalled(str(error) or "no answer") from error
        except BROKEN as error:
            raise Cut(str(error) or type(error).__name__) from error

    async def put(self, line: DialledLine, token: str, ref: BlobRef, start: int) -> None:
        """Send the blob from byte `start` on; the peer has asked for it.

        Raises:
            NotFound: it is not here.
            Degraded: the peer asks for what it was sent already, and it is damaged here.
            Absent: the peer does not want it any more.
            Cut: the connection ended early; the peer asks again.
            PeerUnreachable: another device answers at the address.
        """
        if not await self._store.has(ref):
            raise NotFound(f"the blob {ref} is not here")
        if line.given.take(ref.digest):
            await self._store.check(ref)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Range": f"bytes {start}-{ref.size - 1}/{ref.size}",
            "Content-Length": str(ref.size - start),
        }
        try:
            async with (
                asyncio.timeout(self._stall_s) as patience,
                aclosing(_Body(tell(self._store, ref, start, patience, stall_s=self._stall_s))) as body,
                self._session().put(
                    _url(line, ref),
                    data=body,
                    headers=headers,
                    ssl=line.pin,
                    allow_redirects=False,
                ) as answer,
            ):
                if answer.status == 404:
                    raise Absent
                line.given.note(ref.digest)
        except aiohttp.ServerFingerprintMismatch as error:
            raise _impostor(line) from error
        except BROKEN as error:
            raise Cut(str(error) or type(error).__name__) from error

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("the client of the blobs is not open")
        return self._http


class _Body:
    """Chunks for a request. aiohttp takes them in a task of its own, and drops them where it stands."""

    def __init__(self, chunks: AsyncGenerator[memoryview]) -> None:
        self._chunks = chunks
        self._turn = asyncio.Lock()

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> memoryview:
        async with self._turn:
            return await anext(self._chunks)

    async def aclose(self) -> None:
        """Let go of the blob, once that task has done so."""
        async with self._turn:
            await self._chunks.aclose()


def _url(line: DialledLine, ref: BlobRef) -> str:
    return f"https://{line.endpoint.address}{PATH}/{ref.digest}"


def _impostor(line: DialledLine) -> PeerUnreachable:
    return PeerUnreachable(f"another device than {line.peer} answers at {line.endpoint.address}")


def _check(line: DialledLine, answer: aiohttp.ClientResponse, ref: BlobRef, start: int) -> None:
    """Refuse an answer that is not exactly what was asked for, before its first byte is read."""
    announced = answer.headers.get("Content-Range")
    if (
        answer.status != 206
        or announced != f"bytes {start}-{ref.size - 1}/{ref.size}"
        or answer.content_length != ref.size - start
        or "Content-Encoding" in answer.headers
    ):
        raise NotFound(
            f"{line.peer} offers something else as the blob {ref}:"
            f" {answer.status} {announced!r}, {answer.content_length} bytes"
        )
