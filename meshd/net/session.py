"""The authenticated conversation with one peer."""

from meshd.net.channel import Channel, ChannelClosed
from meshd_protocol import codec
from meshd_protocol.errors import Code
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages.base import Message
from meshd_protocol.messages.session import Refusal


class Session:
    """Messages to and from a peer that has proven who it is."""

    def __init__(
        self, channel: Channel, *, peer: DeviceId, dialled: bool, address: str, version: int, opened_at: float
    ) -> None:
        self._channel = channel
        self._told: Code | None = None
        self._closed_here = False
        self.peer = peer
        self.dialled = dialled
        """Whether this side connected to the other."""

        self.address = address
        """Where the peer was dialled, or where it connected from."""

        self.version = version
        self.opened_at = opened_at
        """Boot clock."""

    @property
    def told(self) -> Code | None:
        """Return why the peer ended the session, if it has and said so."""
        return self._told

    def post(self, message: Message) -> None:
        """Queue a message; never waits, so the loop that receives may use it. Raises `ChannelClosed`."""
        self._channel.post(codec.encode(message))

    async def send(self, message: Message) -> None:
        """Queue a message and wait until the queue is short.

        Only for tasks that do not receive: two receiving loops that wait for each other would wait for ever.

        Raises:
            ChannelClosed: the session is over.
        """
        await self._channel.send(codec.encode(message))

    async def receive(self) -> Message:
        """Return the next message. Pings are answered only in here, so somebody must always be waiting in it.

        Raises:
            ChannelClosed: the session is over.
            BadMessage: the peer sent something else; let it end the conversation.
        """
        try:
            message = codec.decode(await self._channel.receive())
        except ChannelClosed as closed:
            if not self._closed_here:
                self._told = self._told or closed.code
            raise
        if isinstance(message, Refusal):
            self._told = _code(message.code)
            raise ChannelClosed(self._told, message.reason)
        return message

    async def close(self, code: Code = Code.LEAVING, reason: str = "") -> None:
        """End the session and tell the peer why."""
        self._closed_here = True
        await self._channel.close(code, reason)


def _code(text: str) -> Code:
    try:
        return Code(text)
    except ValueError:
        return Code.REFUSED
