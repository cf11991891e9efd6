"""Names of things that two devices speak about."""

import base64
import hashlib
import re
from typing import NewType

from meshd_protocol.errors import BadMessage

DeviceId = NewType("DeviceId", str)
"""16 base32 characters of the SHA-256 of the device's raw Ed25519 public key: 80 bits, for display and look-up.

What decides identity is the fingerprint of the certificate, never this.
"""

JobId = NewType("JobId", str)
"""12 base32 characters (60 random bits), drawn by the job's origin."""

StreamId = NewType("StreamId", str)
"""16 base32 characters (80 random bits): one life of a one-way durable stream between two devices."""

AttemptNumber = NewType("AttemptNumber", int)
"""1, 2, 3 …: the fencing token of an attempt; unique within its job."""

Fingerprint = NewType("Fingerprint", bytes)
"""SHA-256 of a certificate in DER: 32 bytes."""

_PATTERNS = {16: re.compile(r"[a-z2-7]{16}"), 12: re.compile(r"[a-z2-7]{12}")}


def device_id(public_key: bytes) -> DeviceId:
    """Return the id of the device that holds this raw Ed25519 public key (32 bytes)."""
    digest = hashlib.sha256(public_key).digest()
    return DeviceId(base64.b32encode(digest).decode().lower()[:16])


def parse_device_id(text: str) -> DeviceId:
    """Return `text` as a device id, or raise `BadMessage`."""
    if not _PATTERNS[16].fullmatch(text):
        raise BadMessage(f"{text[:32]!r} is not a device id")
    return DeviceId(text)


def job_id(random: bytes) -> JobId:
    """Return the job id made of these 8 random bytes."""
    return JobId(base64.b32encode(random).decode().lower()[:12])


def stream_id(random: bytes) -> StreamId:
    """Return the stream id made of these 10 random bytes."""
    return StreamId(base64.b32encode(random).decode().lower()[:16])
