"""A channel over a WebSocket, the client's or the server's end."""

import asyncio
import contextlib
import socket
from asyncio.trsock import TransportSocket
from collections import deque

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.web import WebSocketResponse

from meshd.net.channel import HIGH_WATER_BYTES, MAX_QUEUED_BYTES, ChannelClosed
from meshd.tasks import TaskSet
from meshd_protocol.errors import Code

_CLOSE_CODE = 4000
"""From the range that RFC 6455 leaves to applications; what it means stands in the reason."""

_MAX_REASON_BYTES = 123
"""A control frame holds 125 bytes, two of them the code."""

_FLUSH_S = 1.0
"""How long a close waits for what is queued. It is a courtesy: whatever must arrive is on disk."""

_BROKEN = (OSError, RuntimeError, aiohttp.ClientError)
"""What aiohttp raises when a socket is gone, out of `receive` too: the answer to a ping may fail there."""


class WebSocketChannel:
    """See `Channel`. Needs a running event loop; ends with `close` or with the connection."""

    def __init__(self, websocket: ClientWebSocketResponse | WebSocketResponse, remote: str) -> None:
        self._websocket = websocket
        # Asked now: a TLS transport that has been closed no longer knows.
        self._socket: TransportSocket | None = websocket.get_extra_info("socket")
        self._remote = remote
        self._over: ChannelClosed | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._tasks = TaskSet()
        self._release: asyncio.Task[None] | None = None
        self._writer = self._tasks.start(f"writer to {remote}", self._write())

    @property
    def remote(self) -> str:
        """See `Channel`."""
        return self._remote

    def post(self, frame: bytes) -> None:
        """See `Channel`."""
        if self._over is not None:
            raise self._over
        if self._queued_bytes + len(frame) > MAX_QUEUED_BYTES:
            self._drop(ChannelClosed(Code.BUSY, f"{self._remote} reads too slowly"))
            raise ChannelClosed(Code.BUSY, f"{self._remote} reads too slowly")
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._filled.set()
        if self._queued_bytes > HIGH_WATER_BYTES:
            self._drained.clear()

    async def send(self, frame: bytes) -> None:
        """See `Channel`."""
        self.post(frame)
        await self._drained.wait()
        if self._over is not None:
            raise self._over

    async def receive(self) -> bytes:
        """See `Channel`."""
        if self._over is not None:
            raise self._over
        try:
            message = await self._websocket.receive()
        except _BROKEN as error:
            self._drop(ChannelClosed(None, str(error)))
            raise self._ended() from error
        if message.type is WSMsgType.BINARY:
            return message.data
        if message.type is WSMsgType.TEXT:
            await self.close(Code.BAD_MESSAGE, "text is not spoken here")
        elif message.type is WSMsgType.CLOSE:
            self._drop(_read_reason(message.extra))
        else:
            self._drop(self._what_broke(message.data))
        raise self._ended()

    async def close(self, code: Code = Code.LEAVING, reason: str = "") -> None:
        """See `Channel`."""
        if self._over is None:
            self._over = ChannelClosed(code, reason)
            self._drained.set()
            self._filled.set()
            # A task of its own: whoever closes may be cancelled, the socket must be given back all the same.
            self._release = self._tasks.start(f"close {self._remote}", self._say_goodbye(code, reason))
        if self._release is not None:
            await asyncio.wait({self._release})

    async def _say_goodbye(self, code: Code, reason: str) -> None:
        """Send what is queued, then the reason."""
        await asyncio.wait({self._writer}, timeout=_FLUSH_S)
        self._writer.cancel()
        words = f"{code} {reason}".strip().encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(*_BROKEN):
            await self._websocket.close(code=_CLOSE_CODE, message=words.encode())

    def _ended(self) -> ChannelClosed:
        return self._over or ChannelClosed(None)

    def _drop(self, why: ChannelClosed) -> None:
        """End the channel at once, without waiting for anyone; the first reason stands."""
        if self._over is not None:
            return
        self._over = why
        self._queue.clear()
        self._drained.set()
        self._filled.set()
        self._writer.cancel()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._release = self._tasks.start(f"release {self._remote}", self._let_go())

    async def _let_go(self) -> None:
        """Give the socket of a dropped channel back."""
        with contextlib.suppress(*_BROKEN):
            await self._websocket.close()

    def _what_broke(self, data: object) -> ChannelClosed:
        if self._websocket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            return ChannelClosed(Code.BAD_MESSAGE, "a frame is too large")
        if self._websocket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
            return ChannelClosed(None, "no answer to a ping, or the connection was cut")
        return ChannelClosed(None, str(data or self._websocket.exception() or ""))

    async def _write(self) -> None:
        """Send what is queued, in order, until the channel is over and the queue is empty."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                frame = self._queue.popleft()
                try:
                    await self._websocket.send_bytes(frame)
                except _BROKEN as error:
                    self._drop(ChannelClosed(None, str(error)))
                    return
                self._queued_bytes -= len(frame)
                if self._queued_bytes <= HIGH_WATER_BYTES:
                    self._drained.set()
            if self._over is not None:
                return


def _read_reason(words: object) -> ChannelClosed:
    """Return what the other side said when it closed."""
    name, _, reason = str(words or "").partition(" ")
    try:
        return ChannelClosed(Code(name), reason)
    except ValueError:
        return ChannelClosed(None, str(words or ""))
