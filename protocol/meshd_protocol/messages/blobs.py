"""Blobs between two devices: what the session says about them. Their bytes travel over HTTP beside it."""

from typing import Annotated

from msgspec import Meta

from meshd_protocol.messages.base import Message

MAX_BLOB_BYTES = 4 << 30
"""One blob. The largest artifacts are model weights of a few GB; a peer that declares more is refused at once."""

DIGEST_PATTERN = "[0-9a-f]{64}"

Digest = Annotated[str, Meta(pattern=f"^{DIGEST_PATTERN}$")]
"""SHA-256 in hexadecimal."""

BlobSize = Annotated[int, Meta(ge=0, le=MAX_BLOB_BYTES)]
Token = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{32,128}$")]


class BlobKey(Message, frozen=True, tag="blob-key"):
    """Listening side to dialler, first on an open session: show this with every HTTP request until it ends."""

    token: Token


class BlobWanted(Message, frozen=True, tag="blob-wanted"):
    """Listening side to dialler: PUT me this blob, from byte `start` on."""

    digest: Digest
    size: BlobSize
    start: BlobSize = 0


class BlobMissing(Message, frozen=True, tag="blob-missing"):
    """Dialler to listening side: I do not have the blob that you want, or do not give it to you."""

    digest: Digest
