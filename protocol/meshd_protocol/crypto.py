"""What two devices hash, derive and sign: transcripts, keys, proofs. Pure computation."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meshd_protocol.errors import BadMessage
from meshd_protocol.ids import DeviceId, Fingerprint, device_id

KEY_BYTES: Final = 32
"""Every derived key, MAC and nonce: the strength of SHA-256."""

PAIRING_LABEL: Final = b"meshd/pair/1"
SESSION_LABEL: Final = b"meshd/session/1"
"""Separate the two uses of a device's keys: what is signed for one proves nothing in the other."""

Sign = Callable[[bytes], bytes]
"""Signs with this device's Ed25519 key."""


@dataclass(frozen=True, slots=True)
class PairingKeys:
    """What both sides derive from the exchange: two keys that confirm it, and the key that outlives it."""

    confirm_a: bytes = field(repr=False)
    confirm_b: bytes = field(repr=False)
    pair: bytes = field(repr=False)


def transcript(label: bytes, *parts: bytes) -> bytes:
    """Return the SHA-256 of the label and the parts, each with its length before it.

    Two different lists of parts never hash alike: the lengths make the encoding injective.
    """
    digest = hashlib.sha256()
    for part in (label, *parts):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()


def number(value: int) -> bytes:
    """Return a protocol version as a part of a transcript."""
    return value.to_bytes(8, "big")


def exchange_identities(initiator: Fingerprint, responder: Fingerprint) -> tuple[bytes, bytes]:
    """Return the two identities that go into the password-authenticated exchange.

    With the certificates in them, someone who stands between the two TLS connections ends up with another key
    than either side, even with the right code.
    """
    return PAIRING_LABEL + b"/A" + initiator, PAIRING_LABEL + b"/B" + responder


def pairing_keys(shared: bytes, pairing_transcript: bytes) -> PairingKeys:
    """Return the keys that follow from the exchange's shared key, bound to everything that was said."""

    def derive(name: bytes) -> bytes:
        info = PAIRING_LABEL + b"/" + name
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=pairing_transcript, info=info).derive(shared)

    return PairingKeys(derive(b"confirmA"), derive(b"confirmB"), derive(b"pair"))


def mac(key: bytes, *parts: bytes) -> bytes:
    """Return the HMAC-SHA256 of the parts."""
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def mac_holds(key: bytes, claimed: bytes, *parts: bytes) -> bool:
    """Return whether `claimed` is that HMAC, in a time that does not depend on where they differ."""
    return hmac.compare_digest(mac(key, *parts), claimed)


def signature_holds(certificate: bytes, signature: bytes, data: bytes) -> bool:
    """Return whether the holder of the certificate's private key signed `data`.

    Raises:
        BadMessage: as `public_key`.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key(certificate)).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def public_key(certificate: bytes) -> bytes:
    """Return the raw Ed25519 public key (32 bytes) in a DER certificate.

    Dates, names and the certificate's own signature are not looked at: what is pinned is the certificate as a
    whole, and a wrong clock must not lock anyone out.

    Raises:
        BadMessage: it is not a certificate, or not one for an Ed25519 key.
    """
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise BadMessage("not a certificate in DER form") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadMessage("a device's certificate must hold an Ed25519 key")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def fingerprint(certificate: bytes) -> Fingerprint:
    """Return the SHA-256 of a DER certificate."""
    return Fingerprint(hashlib.sha256(certificate).digest())


def device_of(certificate: bytes) -> DeviceId:
    """Return the id of the device that this certificate belongs to; raise `BadMessage` as `public_key`."""
    return device_id(public_key(certificate))
