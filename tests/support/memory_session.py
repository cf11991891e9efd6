"""Two ends of an authenticated session without a network: what one posts, the other receives."""

import asyncio

from meshd.net.channel import ChannelClosed
from meshd_protocol import codec
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages.base import Message


class MemorySession:
    """One end; frames pass through the codec, as on the wire."""

    def __init__(self, peer: DeviceId) -> None:
        self.peer = peer
        self.other: MemorySession | None = None
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._cut = False

    def post(self, message: Message) -> None:
        if self._cut:
            raise ChannelClosed(None, "the line was cut")
        if self.other is not None:
            self.other._frames.put_nowait(codec.encode(message))

    async def send(self, message: Message) -> None:
        self.post(message)
        await asyncio.sleep(0)

    async def receive(self) -> Message:
        frame = None if self._cut else await self._frames.get()
        if frame is None:
            raise ChannelClosed(None, "the line was cut")
        return codec.decode(frame)

    def cut(self) -> None:
        """Lose the line at both ends, with all that is under way."""
        for end in (self, self.other):
            if end is not None and not end._cut:
                end._cut = True
                end._frames.put_nowait(None)


def session_pair(one: DeviceId, two: DeviceId) -> tuple[MemorySession, MemorySession]:
    """Return the session as `one` has it, and as `two` has it."""
    first, second = MemorySession(two), MemorySession(one)
    first.other, second.other = second, first
    return first, second
