"""Opening a session on a fresh channel: drives `machines.session` from either side."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from meshd.net.channel import Channel, ChannelClosed
from meshd.trust.identity import Identity
from meshd_protocol import codec
from meshd_protocol.crypto import KEY_BYTES
from meshd_protocol.errors import BadMessage, Code
from meshd_protocol.limits import HANDSHAKE_STEP_S, MAX_UNAUTHENTICATED_FRAME_BYTES
from meshd_protocol.machines import session as machine
from meshd_protocol.messages.session import Hello, Proof, Refusal, Welcome

LookUp = Callable[[str], Awaitable[machine.Known | machine.Former | machine.Unknown]]


class Trusted(Protocol):
    """What the client must hold of the device that it calls."""

    @property
    def certificate(self) -> bytes:
        """Return the certificate that the TLS connection was pinned to."""
        ...

    @property
    def pair_key(self) -> bytes:
        """Return the key that both share."""
        ...


class GreetingError(Exception):
    """There is no session; `code` says why, `theirs` who said so. The channel is closed."""

    def __init__(self, code: Code | None, reason: str, *, theirs: bool) -> None:
        super().__init__(reason or str(code or "the connection was lost"))
        self.code = code
        self.theirs = theirs


async def call(
    channel: Channel,
    *,
    identity: Identity,
    peer: Trusted,
    token: Callable[[int], bytes],
    step_s: float = HANDSHAKE_STEP_S,
) -> machine.Open:
    """Prove this device to the server at the other end, and have it prove itself.

    Raises:
        GreetingError: one of the two did not work out.
    """
    me = machine.Me(identity.certificate, token(KEY_BYTES), identity.sign)
    state = machine.call(me, machine.Secrets(peer.certificate, peer.pair_key))
    return await _drive(channel, state, [], look_up=None, step_s=step_s)


async def greet(
    channel: Channel,
    *,
    identity: Identity,
    look_up: LookUp,
    token: Callable[[int], bytes],
    step_s: float = HANDSHAKE_STEP_S,
) -> machine.Open:
    """Have the client at the other end prove who it is.

    Raises:
        GreetingError: it did not.
    """
    state, effects = machine.greet(machine.Me(identity.certificate, token(KEY_BYTES), identity.sign))
    return await _drive(channel, state, effects, look_up=look_up, step_s=step_s)


async def _drive(
    channel: Channel,
    state: machine.State,
    effects: list[machine.Effect],
    *,
    look_up: LookUp | None,
    step_s: float,
) -> machine.Open:
    """Perform effects and feed events until the machine has an end, or the other side is silent too long."""
    try:
        while True:
            event: machine.Event | None = None
            for effect in effects:
                match effect:
                    case machine.Send(message):
                        channel.post(codec.encode(message))
                    case machine.LookUp(device):
                        event = await look_up(device) if look_up is not None else machine.Unknown()
            match state:
                case machine.Open():
                    return state
                case machine.Broken(code, reason, theirs):
                    await channel.close(code, reason if code is Code.VERSION else "")
                    raise GreetingError(code, reason, theirs=theirs)
                case _:
                    if event is None:
                        async with asyncio.timeout(step_s):
                            event = machine.Received(_read(await channel.receive()))
                    state, effects = machine.step(state, event)
    except TimeoutError:
        await channel.close(Code.REFUSED, "too slow")
        raise GreetingError(None, f"no answer within {step_s:g} s", theirs=False) from None
    except BadMessage as error:
        await channel.close(Code.BAD_MESSAGE)
        raise GreetingError(Code.BAD_MESSAGE, str(error), theirs=False) from error
    except ChannelClosed as closed:
        await channel.close()
        raise GreetingError(closed.code, closed.reason, theirs=True) from closed


def _read(frame: bytes) -> codec.GreetingMessage:
    message = codec.decode(frame, limit=MAX_UNAUTHENTICATED_FRAME_BYTES)
    if not isinstance(message, Hello | Proof | Welcome | Refusal):
        raise BadMessage(f"{type(message).__name__} before the session is open")
    return message
