"""The ceremony: how two devices that share a 6-digit code come to share a key for ever.

B shows the code, A enters it. Four messages; the initiator confirms first, so that a guesser learns nothing
without spending one of the code's tries, and B charges the try before it says anything.

    A  Opening ─ half ▶ Calling ─ PairReply ▶ Deriving ─ key ▶ Confirming ─ PairConfirm ▶ Paired
    B  Waiting ─ PairStart ▶ Charging ─ half, key ▶ Answered ─ PairConfirm ▶ Keeping ─ kept ▶ Paired

Everything that is not the next expected message ends in `Broken`, and nothing was kept. The exchange itself
(SPAKE2) is an effect: it takes milliseconds of arithmetic and random numbers, so the driver does it.
"""

import hmac
from dataclasses import dataclass, field
from typing import TypeAlias

from meshd_protocol.codec import PairingMessage
from meshd_protocol.crypto import (
    PAIRING_LABEL,
    PairingKeys,
    Sign,
    device_of,
    exchange_identities,
    fingerprint,
    mac,
    mac_holds,
    number,
    pairing_keys,
    signature_holds,
    transcript,
)
from meshd_protocol.errors import BadMessage, Code, LocalError, Refused
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages.pairing import PairConfirm, PairRefused, PairReply, PairStart
from meshd_protocol.version import PROTOCOL_VERSION, negotiate

_SIGNED_BY_A = PAIRING_LABEL + b"/sigA"
_SIGNED_BY_B = PAIRING_LABEL + b"/sigB"

_NOT_ITS_KEY = "the other side does not hold the private key of its certificate"


@dataclass(frozen=True, slots=True)
class Me:
    """This device's part in a pairing."""

    certificate: bytes
    name: str
    sign: Sign
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class NewPeer:
    """What a completed pairing says about the other device; every field is proven or agreed."""

    device: DeviceId
    name: str
    certificate: bytes
    pair_key: bytes = field(repr=False)
    version: int


# States of the initiator, A.


@dataclass(frozen=True, slots=True)
class Opening:
    """The connection stands, and A's half of the exchange is being made."""

    me: Me
    theirs: bytes
    """The certificate that the TLS connection showed; never one from a message."""


@dataclass(frozen=True, slots=True)
class Calling:
    """`PairStart` is out."""

    me: Me
    theirs: bytes
    half: bytes


@dataclass(frozen=True, slots=True)
class Deriving:
    """Both halves are known, and the shared key is being computed."""

    me: Me
    theirs: bytes
    reply: PairReply
    half: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Confirming:
    """A has confirmed, and waits for B to do the same."""

    transcript: bytes
    confirm_b: bytes = field(repr=False)
    peer: NewPeer


# States of the responder, B.


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody has connected and said nothing."""

    me: Me


@dataclass(frozen=True, slots=True)
class Charging:
    """`PairStart` is here; a try is being taken off the code, and the exchange computed."""

    me: Me
    start: PairStart
    device: DeviceId
    version: int


@dataclass(frozen=True, slots=True)
class Answered:
    """B has told its half; A must prove that it knows the code."""

    me: Me
    transcript: bytes
    keys: PairingKeys = field(repr=False)
    peer: NewPeer
    tries_left: int


@dataclass(frozen=True, slots=True)
class Keeping:
    """A is proven; the code is being spent and the peer stored. A hears of it only after that."""

    me: Me
    transcript: bytes
    confirm_b: bytes = field(repr=False)
    peer: NewPeer


# Ends, of either side.


@dataclass(frozen=True, slots=True)
class Paired:
    """Both sides hold the same key and know each other's certificate."""

    peer: NewPeer


@dataclass(frozen=True, slots=True)
class Broken:
    """It did not work out, and nothing was kept on this side."""

    code: Code
    reason: str
    theirs: bool
    """Whether the other side said so."""

    tries_left: int = 0
    """How often the code may still be tried, when the other side said that it was wrong."""


Initiator: TypeAlias = Opening | Calling | Deriving | Confirming
Responder: TypeAlias = Waiting | Charging | Answered | Keeping
State: TypeAlias = Initiator | Responder | Paired | Broken


# Events.


@dataclass(frozen=True, slots=True)
class HalfMade:
    """A's half of the exchange is made."""

    half: bytes


@dataclass(frozen=True, slots=True)
class KeyMade:
    """The exchange gave a shared key; whether it is the same one on both sides is yet to be confirmed."""

    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """B's half is made, and the shared key with it; the code takes `tries_left` more tries."""

    half: bytes
    key: bytes = field(repr=False)
    tries_left: int


@dataclass(frozen=True, slots=True)
class ExchangeFailed:
    """What the other side sent is not a half of this exchange."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The code was still open and is spent now; the peer is on disk."""


@dataclass(frozen=True, slots=True)
class NotKept:
    """There is no open code (any more), or the peer could not be stored."""

    code: Code
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the other side."""

    message: PairingMessage


Event: TypeAlias = HalfMade | KeyMade | Exchanged | ExchangeFailed | Kept | NotKept | Received


# Effects.


@dataclass(frozen=True, slots=True)
class MakeHalf:
    """A: begin an exchange with these identities; answer `HalfMade`."""

    identity_a: bytes
    identity_b: bytes


@dataclass(frozen=True, slots=True)
class MakeKey:
    """A: finish it with B's half; answer `KeyMade` or `ExchangeFailed`."""

    their_half: bytes


@dataclass(frozen=True, slots=True)
class TakeTry:
    """B: charge the open code one try, then do the exchange.

    Answer `Exchanged`, `ExchangeFailed`, or `NotKept` when no code is open.
    """

    identity_a: bytes
    identity_b: bytes
    their_half: bytes


@dataclass(frozen=True, slots=True)
class SpendAndKeep:
    """B: spend the code and store the peer; answer `Kept` or `NotKept`."""

    peer: NewPeer


@dataclass(frozen=True, slots=True)
class Keep:
    """A: store the peer."""

    peer: NewPeer


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message."""

    message: PairingMessage


Effect: TypeAlias = MakeHalf | MakeKey | TakeTry | SpendAndKeep | Keep | Send


def initiate(me: Me, theirs: bytes) -> tuple[State, list[Effect]]:
    """Begin as A, towards the device whose TLS certificate is `theirs`."""
    try:
        other = device_of(theirs)
    except BadMessage as error:
        return Broken(error.code, str(error), theirs=False), []
    if other == device_of(me.certificate):
        return Broken(Code.OWN_DEVICE, "that address is this device", theirs=False), []
    identity_a, identity_b = exchange_identities(fingerprint(me.certificate), fingerprint(theirs))
    return Opening(me, theirs), [MakeHalf(identity_a, identity_b)]


def respond(me: Me) -> State:
    """Begin as B."""
    return Waiting(me)


def step(state: State, event: Event) -> tuple[State, list[Effect]]:
    """Return the state that follows, and what the driver must do.

    Raises:
        LocalError: the driver reports something that it was not asked for.
    """
    match state:
        case Paired() | Broken():
            # Whatever arrives after the end, arrives too late to change it.
            return state, []
        case Opening() | Calling() | Deriving() | Confirming():
            return _step_initiator(state, event)
        case Waiting() | Charging() | Answered() | Keeping():
            return _step_responder(state, event)


def _step_initiator(state: Initiator, event: Event) -> tuple[State, list[Effect]]:
    match state, event:
        case _, Received(PairRefused() as refused):
            return _refused_by_them(refused), []
        case Opening(me, theirs), HalfMade(half):
            return Calling(me, theirs, half), [
                Send(PairStart(version=me.version, certificate=me.certificate, name=me.name, pake=half))
            ]
        case Calling(me, theirs, half), Received(PairReply() as reply):
            if hmac.compare_digest(half, reply.pake):
                return _refuse(Code.REFUSED, "the other side sent this side's own message back")
            try:
                version = negotiate(reply.version)
            except Refused as error:
                return _refuse(error.code, str(error))
            return Deriving(me, theirs, reply, half, version), [MakeKey(reply.pake)]
        case Deriving(me, theirs, reply, half, version), KeyMade(key):
            spoken = _transcript(
                versions=(me.version, reply.version),
                certificates=(me.certificate, theirs),
                names=(me.name, reply.name),
                halves=(half, reply.pake),
            )
            keys = pairing_keys(key, spoken)
            peer = NewPeer(device_of(theirs), reply.name, theirs, keys.pair, version)
            proof = PairConfirm(mac=mac(keys.confirm_a, spoken), signature=me.sign(_SIGNED_BY_A + spoken))
            return Confirming(spoken, keys.confirm_b, peer), [Send(proof)]
        case Deriving(), ExchangeFailed():
            return _refuse(Code.REFUSED, "the other side's half of the exchange is malformed")
        case Confirming(spoken, confirm_b, peer), Received(PairConfirm() as confirm):
            if not mac_holds(confirm_b, confirm.mac, spoken):
                return _refuse(Code.REFUSED, "the other side does not hold the same key")
            if not signature_holds(peer.certificate, confirm.signature, _SIGNED_BY_B + spoken):
                return _refuse(Code.REFUSED, _NOT_ITS_KEY)
            return Paired(peer), [Keep(peer)]
        case _, Received(message):
            return _refuse(Code.UNEXPECTED, f"{type(message).__name__} is not due")
        case _, (HalfMade() | KeyMade() | Exchanged() | ExchangeFailed() | Kept() | NotKept()):
            raise _not_asked_for(state, event)


def _step_responder(state: Responder, event: Event) -> tuple[State, list[Effect]]:
    match state, event:
        case Waiting(me), Received(PairStart() as start):
            return _check_start(me, start)
        case Charging(me, start, device, version), Exchanged(half, key, tries_left):
            spoken = _transcript(
                versions=(start.version, me.version),
                certificates=(start.certificate, me.certificate),
                names=(start.name, me.name),
                halves=(start.pake, half),
            )
            keys = pairing_keys(key, spoken)
            peer = NewPeer(device, start.name, start.certificate, keys.pair, version)
            reply = PairReply(version=me.version, name=me.name, pake=half)
            return Answered(me, spoken, keys, peer, tries_left), [Send(reply)]
        case Charging(), ExchangeFailed():
            return _refuse(Code.REFUSED, "the other side's half of the exchange is malformed")
        case ((Charging() | Keeping()), NotKept(code, reason)):
            return _refuse(code, reason)
        case Answered(me, spoken, keys, peer, tries_left), Received(PairConfirm() as confirm):
            if not mac_holds(keys.confirm_a, confirm.mac, spoken):
                refused = PairRefused(code=Code.WRONG_CODE, tries_left=tries_left)
                return Broken(Code.WRONG_CODE, "the code is wrong", theirs=False), [Send(refused)]
            if not signature_holds(peer.certificate, confirm.signature, _SIGNED_BY_A + spoken):
                return _refuse(Code.REFUSED, _NOT_ITS_KEY)
            return Keeping(me, spoken, keys.confirm_b, peer), [SpendAndKeep(peer)]
        case Keeping(me, spoken, confirm_b, peer), Kept():
            proof = PairConfirm(mac=mac(confirm_b, spoken), signature=me.sign(_SIGNED_BY_B + spoken))
            return Paired(peer), [Send(proof)]
        case _, Received(PairRefused() as refused):
            return _refused_by_them(refused), []
        case _, Received(message):
            return _refuse(Code.UNEXPECTED, f"{type(message).__name__} is not due")
        case _, (HalfMade() | KeyMade() | Exchanged() | ExchangeFailed() | Kept() | NotKept()):
            raise _not_asked_for(state, event)


def _check_start(me: Me, start: PairStart) -> tuple[State, list[Effect]]:
    """Refuse what cannot become a pairing before it costs a try."""
    try:
        version = negotiate(start.version)
        device = device_of(start.certificate)
    except (Refused, BadMessage) as error:
        return _refuse(error.code, str(error))
    if device == device_of(me.certificate):
        return _refuse(Code.OWN_DEVICE, "that is this device itself")
    identity_a, identity_b = exchange_identities(fingerprint(start.certificate), fingerprint(me.certificate))
    return Charging(me, start, device, version), [TakeTry(identity_a, identity_b, start.pake)]


def _transcript(
    *,
    versions: tuple[int, int],
    certificates: tuple[bytes, bytes],
    names: tuple[str, str],
    halves: tuple[bytes, bytes],
) -> bytes:
    """Return the hash over everything that A and B said, A's part first in each pair.

    Both offered versions are in it: nobody in between can make two devices speak an older one.
    """
    return transcript(
        PAIRING_LABEL,
        *(number(version) for version in versions),
        *certificates,
        *(name.encode() for name in names),
        *halves,
    )


def _refuse(code: Code, reason: str) -> tuple[Broken, list[Effect]]:
    return Broken(code, reason, theirs=False), [Send(PairRefused(code=code))]


def _not_asked_for(state: State, event: Event) -> LocalError:
    return LocalError(f"{type(event).__name__} was not asked for in {type(state).__name__}")


def _refused_by_them(refused: PairRefused) -> Broken:
    try:
        code = Code(refused.code)
    except ValueError:
        code = Code.REFUSED
    return Broken(code, "the other side refused", theirs=True, tries_left=refused.tries_left)
