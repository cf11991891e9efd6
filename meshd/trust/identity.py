"""Who this device is: one Ed25519 key and one self-signed certificate, made once and kept for ever."""

import contextlib
import os
import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshd.errors import Degraded
from meshd_protocol.crypto import device_of, fingerprint
from meshd_protocol.ids import DeviceId, Fingerprint, device_id

FILE = "identity.pem"
"""Key and certificate in one file: a crash cannot leave one without the other."""

_NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(2099, 12, 31, tzinfo=UTC)
"""Nobody checks them, the certificate is pinned; but a library may, on a machine without a battery clock."""


@dataclass(frozen=True, slots=True)
class Identity:
    """This device: its names, and what only it can do."""

    device: DeviceId
    fingerprint: Fingerprint
    certificate: bytes
    """DER, as other devices pin it."""

    sign: Callable[[bytes], bytes]
    """Sign with the private key, which never leaves this object and its file."""

    file: Path

    def server_ssl_context(self) -> ssl.SSLContext:
        """Return the TLS settings of the peer port: TLS 1.3, nothing resumable. Reads the file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.file)
        # A ticket would let a peer come back after it was unpaired, without showing anything new.
        context.num_tickets = 0
        return context


def load_or_create_identity(folder: Path) -> Identity:
    """Return the identity that is kept in `folder`, made on first use. Blocks for a few milliseconds.

    Raises:
        Degraded: the folder or the file cannot be used, is damaged, or others could read it.
    """
    file = folder / FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _create(file)
        _check_private(folder)
        _check_private(file)
        return _load(file)
    except OSError as error:
        raise Degraded(
            f"the identity in {folder} cannot be used: {error.strerror or error}",
            hint="check the permissions of the folder and the disk",
        ) from error


def _load(file: Path) -> Identity:
    data = file.read_bytes()
    try:
        key = load_pem_private_key(data, password=None)
        certificate = x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("not an Ed25519 key")
        device = device_id(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        if device_of(certificate) != device:
            raise ValueError("key and certificate do not belong together")
    except (ValueError, TypeError) as error:
        raise Degraded(
            f"{file} is damaged: {error}",
            hint="restore it from a backup; or move it away, start again, and pair every device anew",
        ) from error
    return Identity(device, fingerprint(certificate), certificate, key.sign, file)


def _create(file: Path) -> None:
    """Write a new key and certificate, all at once and only for this user's eyes."""
    key = Ed25519PrivateKey.generate()
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    data += make_certificate(key).public_bytes(Encoding.PEM)
    # The same name each time: what a daemon leaves that is killed just here goes at the next start.
    draft = file.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
    if os.name == "posix":
        entry = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def make_certificate(key: Ed25519PrivateKey) -> x509.Certificate:
    """Return a self-signed certificate for this key; its name is the device id and tells nothing else."""
    public = key.public_key()
    device = device_id(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{device}.local")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, algorithm=None)
    )


def _check_private(path: Path) -> None:
    """Refuse a key that others on this machine may have copied. Windows keeps lists of its own."""
    if os.name != "posix":
        return
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 or status.st_uid != os.getuid():
        raise Degraded(
            f"{path} is open to other users of this machine (mode {mode:o})",
            hint=f"run `chmod go-rwx {path}` if you are sure that nobody has copied it",
        )
