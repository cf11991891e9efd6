"""Opening a session over `/mesh`, keeping its durable streams, and saying goodbye."""

from typing import Annotated

from msgspec import Meta

from meshd_protocol.limits import MAX_WINDOW
from meshd_protocol.messages.base import Id, Message, Number, Opaque, Positive, Text


class Hello(Message, frozen=True, tag="hello"):
    """Server to client: a fresh nonce."""

    version: Positive
    nonce: Opaque


class Proof(Message, frozen=True, tag="proof"):
    """Client to server: who I am, proven by the pair key and by my private key."""

    version: Positive
    device: Id
    nonce: Opaque
    mac: Opaque
    signature: Opaque


class Welcome(Message, frozen=True, tag="welcome"):
    """Server to client: I hold the pair key as well. The session is open."""

    mac: Opaque


class Refusal(Message, frozen=True, tag="refusal"):
    """Either side, before it closes: why. `code` is one of `errors.Code`."""

    code: Text
    reason: Text = ""


class Resume(Message, frozen=True, tag="resume"):
    """Both sides, first on an open session: how far I have applied your stream; no name: I know none."""

    stream: Text
    received: Number
    digest: Opaque
    """Of message `received`."""


class StreamStart(Message, frozen=True, tag="stream-start"):
    """What follows in my stream to you begins after `after`; an unknown stream starts at 0."""

    stream: Id
    after: Number


class Durable(Message, frozen=True, tag="durable"):
    """Messages of the stream that follow each other, from number `seq` on: each is applied once, in order."""

    seq: Positive
    frames: Annotated[list[bytes], Meta(min_length=1, max_length=MAX_WINDOW)]
    """Encoded messages."""

    answered: Number = 0
    """All of these were written after I had answered your `holding` of this number, in this session: the attempts that
    they offer are leased from then on. 0: they may be arbitrarily old."""


class Ack(Message, frozen=True, tag="ack"):
    """I have applied your stream up to `seq`, and that is on my disk."""

    seq: Number


class Rejected(Message, frozen=True, tag="rejected"):
    """Your message `seq` cannot be read here; it counts as applied and must not be sent again."""

    seq: Positive
    code: Text
    reason: Text


class Unpaired(Message, frozen=True, tag="unpaired"):
    """I no longer trust you: forget me too."""
