"""The greeting: how two paired devices prove to each other who they are, each time they connect.

    client  Calling ── Hello ──▶ Proving ── Welcome ──▶ Open
    server  Greeting ── Proof ──▶ Checking ── the peer's secrets ──▶ Open

The client has pinned the server's certificate in TLS before the first byte; here it proves itself, by a
signature (a stolen peer table is not enough) and by the pair key (a stolen private key is not enough), over
nonces of both sides and both certificates, so that no proof can be replayed or passed on. The server's
answer proves that it holds the pair key as well.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from meshd_protocol.codec import GreetingMessage
from meshd_protocol.crypto import (
    KEY_BYTES,
    SESSION_LABEL,
    Sign,
    device_of,
    fingerprint,
    mac,
    mac_holds,
    number,
    signature_holds,
    transcript,
)
from meshd_protocol.errors import Code, LocalError, Refused
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages.session import Hello, Proof, Refusal, Welcome
from meshd_protocol.version import PROTOCOL_VERSION, negotiate

_CLIENT = SESSION_LABEL + b"/c"
_SERVER = SESSION_LABEL + b"/s"


@dataclass(frozen=True, slots=True)
class Me:
    """This device's part in a greeting. `nonce` is 32 random bytes that were never used before."""

    certificate: bytes
    nonce: bytes
    sign: Sign
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Secrets:
    """What this device holds of another since they were paired."""

    certificate: bytes
    pair_key: bytes = field(repr=False)


# States.


@dataclass(frozen=True, slots=True)
class Calling:
    """Client: connected to the pinned server, which speaks first."""

    me: Me
    peer: Secrets


@dataclass(frozen=True, slots=True)
class Proving:
    """Client: the proof is out."""

    transcript: bytes
    peer: Secrets
    version: int


@dataclass(frozen=True, slots=True)
class Greeting:
    """Server: the nonce is out."""

    me: Me


@dataclass(frozen=True, slots=True)
class Checking:
    """Server: somebody claims to be `proof.device`; what is held of that device is being looked up."""

    me: Me
    proof: Proof
    version: int


@dataclass(frozen=True, slots=True)
class Open:
    """Both sides are proven."""

    peer: DeviceId
    version: int


@dataclass(frozen=True, slots=True)
class Broken:
    """There is no session."""

    code: Code
    reason: str
    theirs: bool
    """Whether the other side said so."""


State: TypeAlias = Calling | Proving | Greeting | Checking | Open | Broken


# Events.


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the other side."""

    message: GreetingMessage


@dataclass(frozen=True, slots=True)
class Known:
    """The claimed device is a peer."""

    secrets: Secrets


@dataclass(frozen=True, slots=True)
class Former:
    """The claimed device was a peer once."""

    secrets: Secrets


@dataclass(frozen=True, slots=True)
class Unknown:
    """The claimed device has never been a peer."""


Event: TypeAlias = Received | Known | Former | Unknown


# Effects.


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message."""

    message: GreetingMessage


@dataclass(frozen=True, slots=True)
class LookUp:
    """Server: answer `Known`, `Former` or `Unknown`."""

    device: str


Effect: TypeAlias = Send | LookUp


def call(me: Me, peer: Secrets) -> State:
    """Begin as the client, on a TLS connection whose server showed the peer's certificate."""
    return Calling(me, peer)


def greet(me: Me) -> tuple[State, list[Effect]]:
    """Begin as the server."""
    return Greeting(me), [Send(Hello(version=me.version, nonce=me.nonce))]


def step(state: State, event: Event) -> tuple[State, list[Effect]]:
    """Return the state that follows, and what the driver must do.

    Raises:
        LocalError: the driver reports something that it was not asked for.
    """
    match state, event:
        case ((Open() | Broken()), _):
            return state, []
        case _, Received(Refusal() as refusal):
            return _refused_by_them(refusal), []

        case Calling(me, peer), Received(Hello() as hello):
            return _prove(me, peer, hello)
        case Proving(spoken, peer, version), Received(Welcome() as welcome):
            if not mac_holds(peer.pair_key, welcome.mac, _SERVER, spoken):
                return _refuse(Code.REFUSED, "the other side does not hold the pair key")
            return Open(device_of(peer.certificate), version), []

        case Greeting(me), Received(Proof() as proof):
            try:
                version = negotiate(proof.version)
            except Refused as error:
                return _refuse(error.code, str(error))
            return Checking(me, proof, version), [LookUp(proof.device)]
        case Checking(me, proof, version), Known(secrets):
            spoken = _transcript_at_server(me, proof, secrets)
            if not _proof_holds(proof, secrets, spoken):
                return _refuse(Code.REFUSED, "the proof does not hold")
            welcome = Welcome(mac=mac(secrets.pair_key, _SERVER, spoken))
            return Open(device_of(secrets.certificate), version), [Send(welcome)]
        case Checking(me, proof, _), Former(secrets):
            if not _proof_holds(proof, secrets, _transcript_at_server(me, proof, secrets)):
                return _refuse(Code.REFUSED, "the proof does not hold")
            return _refuse(Code.UNPAIRED, "these two devices were unpaired")
        case Checking(me, proof, _), Unknown():
            # The same work and the same answer as for a bad proof: nobody learns who is paired here.
            decoy = Secrets(me.certificate, bytes(KEY_BYTES))
            _proof_holds(proof, decoy, _transcript_at_server(me, proof, decoy))
            return _refuse(Code.REFUSED, "the proof does not hold")

        case _, Received(message):
            return _refuse(Code.UNEXPECTED, f"{type(message).__name__} is not due")
        case _, (Known() | Former() | Unknown()):
            raise LocalError(f"{type(event).__name__} was not asked for in {type(state).__name__}")


def _prove(me: Me, peer: Secrets, hello: Hello) -> tuple[State, list[Effect]]:
    if len(hello.nonce) != KEY_BYTES:
        return _refuse(Code.BAD_MESSAGE, f"a nonce has {KEY_BYTES} bytes")
    try:
        version = negotiate(hello.version)
    except Refused as error:
        return _refuse(error.code, str(error))
    device = device_of(me.certificate)
    spoken = _transcript(
        versions=(me.version, hello.version),
        devices=(device, device_of(peer.certificate)),
        certificates=(me.certificate, peer.certificate),
        nonces=(me.nonce, hello.nonce),
    )
    proof = Proof(
        version=me.version,
        device=device,
        nonce=me.nonce,
        mac=mac(peer.pair_key, _CLIENT, spoken),
        signature=me.sign(_CLIENT + spoken),
    )
    return Proving(spoken, peer, version), [Send(proof)]


def _transcript_at_server(me: Me, proof: Proof, secrets: Secrets) -> bytes:
    return _transcript(
        versions=(proof.version, me.version),
        devices=(DeviceId(proof.device), device_of(me.certificate)),
        certificates=(secrets.certificate, me.certificate),
        nonces=(proof.nonce, me.nonce),
    )


def _transcript(
    *,
    versions: tuple[int, int],
    devices: tuple[DeviceId, DeviceId],
    certificates: tuple[bytes, bytes],
    nonces: tuple[bytes, bytes],
) -> bytes:
    """Return the hash over everything that both proofs are about, the client's part first in each pair."""
    return transcript(
        SESSION_LABEL,
        *(number(version) for version in versions),
        *(device.encode() for device in devices),
        *(fingerprint(certificate) for certificate in certificates),
        *nonces,
    )


def _proof_holds(proof: Proof, secrets: Secrets, spoken: bytes) -> bool:
    # Both are always computed: which of them failed must not show in the time it takes.
    signed = signature_holds(secrets.certificate, proof.signature, _CLIENT + spoken)
    keyed = mac_holds(secrets.pair_key, proof.mac, _CLIENT, spoken)
    return signed and keyed and len(proof.nonce) == KEY_BYTES


def _refuse(code: Code, reason: str) -> tuple[State, list[Effect]]:
    told = reason if code in (Code.VERSION, Code.UNPAIRED) else ""
    return Broken(code, reason, theirs=False), [Send(Refusal(code=code, reason=told))]


def _refused_by_them(refusal: Refusal) -> State:
    try:
        code = Code(refusal.code)
    except ValueError:
        code = Code.REFUSED
    return Broken(code, refusal.reason, theirs=True)
