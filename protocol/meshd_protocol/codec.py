# pyright: basic
"""Messages to bytes and back: one msgpack array `[type, body]`, limits first, then types.

The only module of the protocol that knows msgpack, which ships no types of its own.
"""

from collections.abc import Iterable
from typing import TypeAlias, TypeVar

import msgpack
import msgspec

from meshd_protocol.errors import BadMessage
from meshd_protocol.limits import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_DOCUMENT_BYTES,
    MAX_FIELDS,
    MAX_FRAME_BYTES,
    MAX_ITEMS,
    MAX_STRUCTURE_BYTES,
    MAX_TEXT,
)
from meshd_protocol.messages import blobs, jobs, pairing, session, status
from meshd_protocol.messages.base import Message

PairingMessage: TypeAlias = pairing.PairStart | pairing.PairReply | pairing.PairConfirm | pairing.PairRefused
GreetingMessage: TypeAlias = session.Hello | session.Proof | session.Welcome | session.Refusal
StreamMessage: TypeAlias = session.Resume | session.StreamStart | session.Durable | session.Ack | session.Rejected
DurableMessage: TypeAlias = jobs.Offer | jobs.Declined | jobs.Finished | jobs.Cancel | jobs.Shrunk | jobs.Collected
BlobMessage: TypeAlias = blobs.BlobKey | blobs.BlobWanted | blobs.BlobMissing
LoadMessage: TypeAlias = status.Status | status.Ping | status.Pong
SpreadMessage: TypeAlias = jobs.Shrink | jobs.Waiting | jobs.Extend | jobs.Joined
LogMessage: TypeAlias = jobs.LogWanted | jobs.LogPart
AttemptMessage: TypeAlias = jobs.Holding | jobs.Renewed | jobs.Progress | jobs.Kept | SpreadMessage | LogMessage
EphemeralMessage: TypeAlias = AttemptMessage | LoadMessage | BlobMessage
SessionMessage: TypeAlias = StreamMessage | EphemeralMessage | session.Refusal

M = TypeVar("M")

_TYPES: dict[str, type[Message]] = {
    str(kind.__struct_config__.tag): kind
    for module in (pairing, session, jobs, status, blobs)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind.__struct_config__.tag is not None
}


def encode(message: Message) -> bytes:
    """Return the frame that says `message`.

    Raises:
        BadMessage: the frame would be larger than the other side accepts.
    """
    body = msgspec.to_builtins(message, builtin_types=(bytes,))
    tag = body.pop("type")
    frame = bytes(msgpack.packb([tag, body], use_bin_type=True) or b"")
    if len(frame) > MAX_FRAME_BYTES:
        raise BadMessage(f"a {tag} message of {len(frame)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return frame


def decode(frame: bytes, *, limit: int = MAX_FRAME_BYTES) -> Message:
    """Return what `frame` says; the caller checks that the type of message is due.

    Raises:
        BadMessage: anything else than one well-formed message within all limits. Nothing else is ever raised.
    """
    if len(frame) > limit:
        raise BadMessage(f"a frame of {len(frame)} bytes is over the limit of {limit}")
    containers = 0

    def count_list(items: list[object]) -> list[object]:
        nonlocal containers
        containers += 1
        if containers > MAX_CONTAINERS:
            raise BadMessage(f"more than {MAX_CONTAINERS} arrays and maps in one frame")
        return items

    def count_map(pairs: list[tuple[str, object]]) -> dict[str, object]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise BadMessage("a field stands twice in a map")
        count_list([])
        return fields

    try:
        parsed = msgpack.unpackb(
            frame,
            raw=False,
            strict_map_key=True,
            use_list=True,
            list_hook=count_list,
            object_pairs_hook=count_map,
            max_str_len=MAX_TEXT * 4,
            max_bin_len=MAX_FRAME_BYTES,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_FIELDS,
            max_ext_len=0,
        )
    except BadMessage:
        raise
    except Exception as error:
        raise BadMessage(f"not a msgpack frame: {type(error).__name__}") from error
    match parsed:
        case [str(tag), dict(body)]:
            kind = _TYPES.get(tag)
        case _:
            raise BadMessage("a frame must be [type, body]")
    if kind is None:
        raise BadMessage(f"no message is called {tag[:32]!r}")
    if len(frame) > MAX_STRUCTURE_BYTES and (outside := len(frame) - _bytes_in(body.values())) > MAX_STRUCTURE_BYTES:
        raise BadMessage(f"a {tag} message with {outside} bytes outside its documents")
    body["type"] = tag
    try:
        return msgspec.convert(body, kind, strict=True)
    except (msgspec.ValidationError, RecursionError, ValueError) as error:
        raise BadMessage(f"a bad {tag} message: {error}") from error


def _bytes_in(values: Iterable[object]) -> int:
    """Return how long all documents are together, those in lists included."""
    return sum(
        len(value) if isinstance(value, bytes) else sum(len(item) for item in value if isinstance(item, bytes))
        for value in values
        if isinstance(value, bytes | list)
    )


def expect(frame: bytes, kind: type[M], *, limit: int = MAX_FRAME_BYTES) -> M:
    """Return the message in `frame`, which must be a `kind`; raise `BadMessage` for any other."""
    message = decode(frame, limit=limit)
    if not isinstance(message, kind):
        raise BadMessage(f"expected {kind.__name__}, got {type(message).__name__}")
    return message


def encode_document(document: object) -> bytes:
    """Return a JSON document as the bytes that travel inside a message.

    Raises:
        BadMessage: it is larger, or deeper, than a message may carry.
    """
    _check_depth(document)
    data = msgspec.json.encode(document)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise BadMessage(f"a document of {len(data)} bytes is over the limit of {MAX_DOCUMENT_BYTES}")
    return data


def decode_document(data: bytes) -> dict[str, object]:
    """Return the JSON object in `data`, or raise `BadMessage`."""
    try:
        document = msgspec.json.decode(data, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadMessage(f"not a JSON object: {error}") from error
    _check_depth(document)
    return document


def _check_depth(document: object) -> None:
    """Raise `BadMessage` for a document that not every reader could take apart."""
    if isinstance(document, dict) and not any(isinstance(part, dict | list | tuple) for part in document.values()):
        return
    level: list[object] = [document]
    for _ in range(MAX_DEPTH + 1):
        holders = [part for part in level if isinstance(part, dict | list | tuple)]
        if not holders:
            return
        level = [part for holder in holders for part in (holder.values() if isinstance(holder, dict) else holder)]
    raise BadMessage(f"a document of more than {MAX_DEPTH} lists and objects in each other")
