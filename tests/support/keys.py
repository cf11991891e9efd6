"""Device keys that are the same in every run."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from meshd_protocol.crypto import device_of
from meshd_protocol.ids import DeviceId


@dataclass(frozen=True)
class KeyPair:
    """A certificate, and what signs."""

    certificate: bytes
    sign: Callable[[bytes], bytes]

    @property
    def device(self) -> DeviceId:
        return device_of(self.certificate)


@functools.cache
def key_pair(seed: bytes) -> KeyPair:
    """Return the key and certificate that follow from `seed`."""
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed).digest())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, seed.hex())])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        .sign(key, algorithm=None)
    )
    return KeyPair(certificate.public_bytes(Encoding.DER), key.sign)
