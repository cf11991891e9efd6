"""The durable stream from one device to another: every message takes effect exactly once, in order.

The sender numbers messages in the transaction that causes them, and sends them again after a reconnect. The
receiver applies a message in the transaction that moves its cursor, and acknowledges after the commit. Both
remember the stream's random name: when it or the digest of the last message differs, one side has lost or
restored its database, and the sender opens a new stream with what it still has.
"""

import hashlib
from collections import deque

from msgspec import Struct

from meshd_protocol.errors import Code, RemoteError
from meshd_protocol.ids import StreamId
from meshd_protocol.limits import BATCH_BYTES, MAX_WINDOW
from meshd_protocol.messages.session import Durable

NOTHING = b""
"""The digest before the first message of a stream."""


def digest(frame: bytes) -> bytes:
    """Return what both sides compare to see that they mean the same message."""
    return hashlib.sha256(frame).digest()[:16]


# The sender


class Outbound(Struct, frozen=True):
    """A stream as its sender knows it: numbers up to `last` are given, up to `acked` applied over there."""

    stream: StreamId
    last: int
    acked: int


class Continue(Struct, frozen=True):
    """Go on after `after`; everything up to it is applied over there and may be forgotten here."""

    after: int


class Reopen(Struct, frozen=True):
    """The other side does not know this stream's past: number what is unacknowledged from 1 in a new stream."""


def resume(outbound: Outbound, *, stream: str, received: int, ours: bytes | None, theirs: bytes) -> Continue | Reopen:
    """Decide where the stream goes on, from how far the other side says it has applied it.

    `ours` is the digest of message `received` where it is still in the outbox, None where it is acknowledged
    and gone; `theirs` is the digest that the other side remembers.
    """
    if stream != outbound.stream or not outbound.acked <= received <= outbound.last:
        return Reopen()
    if ours is not None and ours != theirs:
        return Reopen()
    return Continue(received)


def sendable(outbound: Outbound, sent: int) -> range:
    """Return the numbers that may be sent now, when `sent` was the last: no more than a window is under way."""
    return range(sent + 1, min(outbound.last, outbound.acked + MAX_WINDOW) + 1)


class Due(Struct, frozen=True):
    """A message of the stream that may be sent."""

    seq: int
    frame: bytes
    answered: int = 0
    """Which `holding` of the other side had been answered when it was committed; 0: none of this session."""


def take_batch(waiting: deque[Due], stop: int) -> Durable:
    """Take those messages from the front that travel together; none has the number `stop`, or a higher one.

    `waiting` is not empty, and its numbers follow each other.
    """
    first = waiting.popleft()
    frames, size = [first.frame], len(first.frame)
    while waiting and waiting[0].seq < stop and (size := size + len(waiting[0].frame)) <= BATCH_BYTES:
        frames.append(waiting.popleft().frame)
    # What was answered before the first was written, was before the others, too.
    return Durable(seq=first.seq, frames=frames, answered=first.answered)


def acknowledge(outbound: Outbound, seq: int, *, sent: int) -> Outbound:
    """Return the stream after the other side has applied it up to `seq`.

    Raises:
        RemoteError: it acknowledges what was never sent.
    """
    if seq > sent:
        raise RemoteError(f"message {seq} was acknowledged, but {sent} was the last one sent")
    return Outbound(outbound.stream, outbound.last, max(outbound.acked, seq))


# The receiver


class Inbound(Struct, frozen=True):
    """A stream as its receiver knows it: applied up to `last`, whose digest is `digest`."""

    stream: StreamId
    last: int
    digest: bytes


class Apply(Struct, frozen=True):
    """Apply the message and move the cursor to `then`, in one transaction; acknowledge after it."""

    then: Inbound


class Again(Struct, frozen=True):
    """The message was applied before: acknowledge, do nothing else."""


def start(inbound: Inbound | None, stream: StreamId, after: int) -> Inbound:
    """Return the cursor once the sender has said where its stream goes on.

    Raises:
        RemoteError: messages are missing between the cursor and what the sender wants to send.
    """
    if inbound is not None and inbound.stream == stream and after <= inbound.last:
        return inbound
    if after == 0:
        return Inbound(stream, 0, NOTHING)
    raise RemoteError(f"stream {stream} starts after message {after}, which never came here", code=Code.UNEXPECTED)


def receive(inbound: Inbound, seq: int, frame: bytes) -> Apply | Again:
    """Decide what to do with message `seq`.

    Raises:
        RemoteError: a message is missing before this one.
    """
    if seq <= inbound.last:
        return Again()
    if seq > inbound.last + 1:
        raise RemoteError(f"message {seq} came where {inbound.last + 1} was due")
    return Apply(Inbound(inbound.stream, seq, digest(frame)))
