"""The common form of all messages."""

from typing import Annotated

import msgspec
from msgspec import Meta

from meshd_protocol.limits import MAX_DOCUMENT_BYTES, MAX_NAME, MAX_TEXT


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """One message: fields by name. Unknown fields are skipped, so that a newer peer may add some."""


Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Id = Annotated[str, Meta(pattern="^[a-z2-7]{12,16}$")]
Opaque = Annotated[bytes, Meta(max_length=2048)]
"""Keys, nonces, proofs and certificates."""

ContentBytes = Annotated[bytes, Meta(max_length=MAX_DOCUMENT_BYTES)]
"""A JSON document that the session does not look into."""

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
"""SHA-256 of a blob."""

Number = Annotated[int, Meta(ge=0, lt=2**53)]
Positive = Annotated[int, Meta(ge=1, lt=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=1e10)]
"""Bounds also refuse NaN and infinities."""

Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=1e18)]
