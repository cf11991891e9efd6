"""A channel inside one process: the same promises as a WebSocket, no sockets, no real time."""

import asyncio
from collections import deque

from meshd.net.channel import HIGH_WATER_BYTES, MAX_QUEUED_BYTES, ChannelClosed
from meshd_protocol.errors import Code


class MemoryChannel:
    """One end. Frames posted here arrive at `other`, in order, when its owner receives."""

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._other: MemoryChannel | None = None
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._over: ChannelClosed | None = None
        """Why nothing more can be sent from here, or received once the inbox is empty."""

    def join(self, other: "MemoryChannel") -> None:
        """Make `other` the other end."""
        self._other = other

    @property
    def remote(self) -> str:
        return self._remote

    def post(self, frame: bytes) -> None:
        other = self._require()
        if self._over is not None:
            raise self._over
        if other._inbox_bytes + len(frame) > MAX_QUEUED_BYTES:
            self._end(ChannelClosed(Code.BUSY, f"{self._remote} reads too slowly"))
            other.cut()
            raise ChannelClosed(Code.BUSY, f"{self._remote} reads too slowly")
        other._inbox.append(frame)
        other._inbox_bytes += len(frame)
        other._filled.set()
        if other._inbox_bytes > HIGH_WATER_BYTES:
            self._drained.clear()

    async def send(self, frame: bytes) -> None:
        self.post(frame)
        await self._drained.wait()
        if self._over is not None:
            raise self._over

    async def receive(self) -> bytes:
        while not self._inbox:
            if self._over is not None:
                raise self._over
            self._filled.clear()
            await self._filled.wait()
        frame = self._inbox.popleft()
        self._inbox_bytes -= len(frame)
        if self._inbox_bytes <= HIGH_WATER_BYTES:
            self._require()._drained.set()
        return frame

    async def close(self, code: Code = Code.LEAVING, reason: str = "") -> None:
        if self._over is not None:
            return
        self._end(ChannelClosed(code, reason))
        self._inbox.clear()
        other = self._require()
        if other._over is None:
            other._end(ChannelClosed(code, reason))

    def cut(self) -> None:
        """Lose this end's connection without a word; what has not been received is lost, too."""
        self._inbox.clear()
        if self._over is None:
            self._end(ChannelClosed(None, "cut"))

    def _end(self, why: ChannelClosed) -> None:
        self._over = why
        self._filled.set()
        self._drained.set()

    def _require(self) -> "MemoryChannel":
        assert self._other is not None, "a channel has two ends"
        return self._other


def memory_channel_pair() -> tuple[MemoryChannel, MemoryChannel]:
    """Return the two ends of a new channel."""
    left, right = MemoryChannel("right:1"), MemoryChannel("left:1")
    left.join(right)
    right.join(left)
    return left, right
