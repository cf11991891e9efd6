"""The ceremony: four messages over `/pair`. A enters the code that B shows."""

from meshd_protocol.messages.base import Message, Name, Number, Opaque, Positive, Text


class PairStart(Message, frozen=True, tag="pair-start"):
    """A to B: who I am, and my half of the password-authenticated key exchange."""

    version: Positive
    certificate: Opaque
    name: Name
    pake: Opaque


class PairReply(Message, frozen=True, tag="pair-reply"):
    """B to A: my half. B's certificate is the one that the TLS connection showed."""

    version: Positive
    name: Name
    pake: Opaque


class PairConfirm(Message, frozen=True, tag="pair-confirm"):
    """A to B, then B to A: I have the same key, and the private key of my certificate."""

    mac: Opaque
    signature: Opaque


class PairRefused(Message, frozen=True, tag="pair-refused"):
    """Either side: no. `code` is one of `errors.Code`."""

    code: Text
    tries_left: Number = 0
    """After a wrong code: how many more the shown one takes."""
