"""The ceremony over a channel: drives `machines.pairing` from either side.

The exchange runs in a thread: its arithmetic would hold up the event loop for 10 ms each time anyone asks.
"""

import asyncio
from collections.abc import Awaitable, Callable

from meshd.errors import MeshdError, PeerRefused
from meshd.net.channel import Channel, ChannelClosed
from meshd.trust import pake
from meshd.trust.codes import Codes, Try
from meshd.trust.identity import Identity
from meshd_protocol import codec
from meshd_protocol.errors import BadMessage, Code
from meshd_protocol.limits import HANDSHAKE_STEP_S, MAX_UNAUTHENTICATED_FRAME_BYTES
from meshd_protocol.machines import pairing as machine
from meshd_protocol.messages.pairing import PairConfirm, PairRefused, PairReply, PairStart

Keep = Callable[[machine.NewPeer], Awaitable[None]]
"""Stores a new peer; raises to refuse it."""


class PairingError(Exception):
    """There is no pairing; `theirs` says whether the other side refused. The channel is closed."""

    def __init__(self, code: Code | None, reason: str, *, theirs: bool, tries_left: int = 0) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.theirs = theirs
        self.tries_left = tries_left


async def enter_code(
    channel: Channel,
    *,
    identity: Identity,
    name: str,
    certificate: bytes,
    code: str,
    keep: Keep,
    token: Callable[[int], bytes],
    step_s: float = HANDSHAKE_STEP_S,
) -> machine.NewPeer:
    """Pair with the device at the other end, which showed `certificate` in TLS and shows `code` to a person.

    Raises:
        PairingError: the two do not share a code, or somebody stands in between. Nothing was kept.
        MeshdError: out of `keep`.
    """
    exchange: pake.Exchange | None = None

    async def perform(effect: machine.Effect) -> machine.Event | None:
        nonlocal exchange
        match effect:
            case machine.MakeHalf(a, b):
                exchange = await asyncio.to_thread(pake.initiator, code, a, b, token)
                return machine.HalfMade(exchange.half)
            case machine.MakeKey(their_half):
                if exchange is None:
                    raise RuntimeError("the key comes after the half")
                try:
                    return machine.KeyMade(await asyncio.to_thread(exchange.finish, their_half))
                except pake.ExchangeError:
                    return machine.ExchangeFailed()
            case machine.Keep(peer):
                await keep(peer)
                return None
            case machine.Send(message):
                channel.post(codec.encode(message))
                return None
            case machine.TakeTry() | machine.SpendAndKeep():
                raise RuntimeError(f"{type(effect).__name__} belongs to the other side")

    me = machine.Me(identity.certificate, name, identity.sign)
    state, effects = machine.initiate(me, certificate)
    return await _drive(channel, state, effects, perform, step_s)


async def show_code(
    channel: Channel,
    *,
    identity: Identity,
    name: str,
    codes: Codes,
    keep: Keep,
    failed: Callable[[Try], None],
    token: Callable[[int], bytes],
    step_s: float = HANDSHAKE_STEP_S,
) -> machine.NewPeer:
    """Let whoever knows the open code pair with this device.

    `failed` hears of every charged try that led to nothing.

    Raises:
        PairingError: no code is open, or the other side does not know it. Nothing was kept.
    """
    charged: Try | None = None

    async def perform(effect: machine.Effect) -> machine.Event | None:
        nonlocal charged
        match effect:
            case machine.TakeTry(a, b, their_half):
                charged = codes.take()
                if charged is None:
                    return machine.NotKept(Code.NO_CODE, "no code is open here")
                return await asyncio.to_thread(_exchange, charged, a, b, their_half, token)
            case machine.SpendAndKeep(peer):
                if charged is None or not codes.spend(charged):
                    return machine.NotKept(Code.NO_CODE, "the code was closed in the meantime")
                try:
                    await keep(peer)
                except PeerRefused as error:
                    return machine.NotKept(Code.REFUSED, str(error))
                except MeshdError as error:
                    return machine.NotKept(Code.DEGRADED, str(error))
                return machine.Kept()
            case machine.Send(message):
                channel.post(codec.encode(message))
                return None
            case machine.MakeHalf() | machine.MakeKey() | machine.Keep():
                raise RuntimeError(f"{type(effect).__name__} belongs to the other side")

    state = machine.respond(machine.Me(identity.certificate, name, identity.sign))
    try:
        return await _drive(channel, state, [], perform, step_s)
    except PairingError:
        # Also a try that ended in silence: the machine knows only what was said.
        if charged is not None:
            failed(charged)
        raise


def _exchange(
    charged: Try, a: bytes, b: bytes, their_half: bytes, token: Callable[[int], bytes]
) -> machine.Exchanged | machine.ExchangeFailed:
    exchange = pake.responder(charged.code, a, b, token)
    try:
        key = exchange.finish(their_half)
    except pake.ExchangeError:
        return machine.ExchangeFailed()
    return machine.Exchanged(exchange.half, key, charged.tries_left)


async def _drive(
    channel: Channel,
    state: machine.State,
    effects: list[machine.Effect],
    perform: Callable[[machine.Effect], Awaitable[machine.Event | None]],
    step_s: float,
) -> machine.NewPeer:
    """Perform effects and feed events until the machine has an end, or the other side is silent too long."""
    try:
        while True:
            event: machine.Event | None = None
            for effect in effects:
                event = await perform(effect) or event
            match state:
                case machine.Paired(peer):
                    await channel.close()
                    return peer
                case machine.Broken(code, reason, theirs, tries_left):
                    await channel.close(code)
                    raise PairingError(code, reason, theirs=theirs, tries_left=tries_left)
                case _:
                    if event is None:
                        async with asyncio.timeout(step_s):
                            event = machine.Received(_read(await channel.receive()))
                    state, effects = machine.step(state, event)
    except TimeoutError:
        await channel.close(Code.REFUSED, "too slow")
        raise PairingError(None, f"no answer within {step_s:g} s", theirs=False) from None
    except BadMessage as error:
        await channel.close(Code.BAD_MESSAGE)
        raise PairingError(Code.BAD_MESSAGE, str(error), theirs=False) from error
    except MeshdError:
        await channel.close(Code.DEGRADED)
        raise
    except ChannelClosed as closed:
        await channel.close()
        raise PairingError(closed.code, closed.reason or str(closed), theirs=True) from closed


def _read(frame: bytes) -> codec.PairingMessage:
    message = codec.decode(frame, limit=MAX_UNAUTHENTICATED_FRAME_BYTES)
    if not isinstance(message, PairStart | PairReply | PairConfirm | PairRefused):
        raise BadMessage(f"{type(message).__name__} in a pairing")
    return message
