"""A connection to a daemon's local API that is kept open: what a program sees that asks often.

`meshd.client` opens one for every request, as a command of the shell must; its time would be measured here, not the
daemon's.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType

from meshd.paths import Paths

READ_BYTES = 1 << 20


class ApiLine:
    """One keep-alive connection; one request at a time."""

    def __init__(self, paths: Paths) -> None:
        self._port = int(json.loads(paths.daemon_file.read_bytes())["port"])
        token = paths.api_token.read_text("ascii").strip()
        self._head = f"Host: 127.0.0.1:{self._port}\r\nAuthorization: Bearer {token}\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "ApiLine":
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=READ_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()

    async def post(self, path: str, body: bytes) -> bytes:
        """Return the answer to a POST."""
        head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return await self._ask(head.encode() + b"\r\n" + body)

    async def get(self, path: str) -> bytes:
        """Return the answer to a GET."""
        return await self._ask(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())

    async def _ask(self, request: bytes) -> bytes:
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        start = head.lower().index(b"content-length:") + 15
        body = await self._reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
        if status >= 400:
            raise AssertionError(f"{request.partition(b' HTTP')[0].decode()}: {status} {body.decode()}")
        return body


@asynccontextmanager
async def open_lines(paths: Paths, number: int) -> AsyncGenerator[list[ApiLine]]:
    """Open so many connections; leaving the block closes them."""
    lines = [ApiLine(paths) for _ in range(number)]
    try:
        for line in lines:
            await line.__aenter__()
        yield lines
    finally:
        for line in lines:
            await line.__aexit__(None, None, None)
