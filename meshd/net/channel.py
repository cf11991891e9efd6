"""An ordered pipe of frames without meaning, between this device and another."""

from typing import Protocol

from meshd_protocol.errors import Code

MAX_QUEUED_BYTES = 4 << 20
"""What may wait for a slow reader. More, and the connection is dropped: what must arrive is on disk."""

HIGH_WATER_BYTES = 256 << 10
"""From here on `send` waits: enough to keep a gigabit link busy for 2 ms, little enough to be up to date."""


class ChannelClosed(Exception):
    """The channel is over. `code` says why, or is None when it broke off without a word."""

    def __init__(self, code: Code | None, reason: str = "") -> None:
        super().__init__(f"{code or 'connection lost'}{': ' if reason else ''}{reason}")
        self.code = code
        self.reason = reason


class Channel(Protocol):
    """One end of the pipe."""

    @property
    def remote(self) -> str:
        """Return where the other end is, host:port."""
        ...

    def post(self, frame: bytes) -> None:
        """Queue a frame; never waits.

        Raises:
            ChannelClosed: the channel is over; also when too much waits already, which ends it.
        """
        ...

    async def send(self, frame: bytes) -> None:
        """Queue a frame, then wait until the queue is short. Raises as `post`."""
        ...

    async def receive(self) -> bytes:
        """Return the next frame.

        Raises:
            ChannelClosed: there is none and there will be none.
        """
        ...

    async def close(self, code: Code = Code.LEAVING, reason: str = "") -> None:
        """Send what is queued, say why, and end the channel; does nothing on a channel that is over."""
        ...
