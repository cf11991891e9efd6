"""What the daemon and a worker say to each other, over two pipes of their own.

Not over stdin and stdout: a job may print. A frame is four bytes of length and a msgpack map; msgspec checks
every field on both sides, so that garbage ends as a `BadFrame` and nowhere else.
"""

import struct
from collections.abc import Iterator
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from meshd.errors import BadInput
from meshd.execution.outcome import ErrorKind
from meshd.kinds.base import PackedPartial

WORKER_READS = 3
"""The descriptor on which a worker finds the daemon's messages."""

WORKER_WRITES = 4
"""The descriptor on which the daemon finds the worker's messages."""

MAX_FRAME_BYTES = 64 << 20
"""A result is a document: the largest (150 lineups with all figures) is below 1 MB, and a bug must not fill memory."""

MAX_RESULT_BYTES = MAX_FRAME_BYTES - (64 << 10)
"""The frame without room for the fields around the result."""

MAX_LINE = 500
"""Characters of a note or of a best answer: one line on a screen."""

MAX_MESSAGE = 2000
"""Characters of an error's sentence: more is detail."""

MAX_DETAIL = 32 << 10
"""Characters of a traceback; what is longer is recursion."""

Line: TypeAlias = Annotated[str, Meta(max_length=MAX_LINE)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0)]


class Message(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """What one frame says; the tag is the class's name."""


class Start(Message, frozen=True):
    """Daemon to worker: run this attempt. One at a time."""

    job: str
    attempt: int
    kind: str
    program: str
    """The module to import."""

    resolved: dict[str, object]
    cores: tuple[int, int] | None = None
    """Keep to so many cores, from this one on: (first, count)."""

    partials: tuple[PackedPartial, ...] = ()
    """The checkpoint to go on from."""


class Stop(Message, frozen=True):
    """Daemon to worker: the running attempt's result is no longer wanted."""


class Calibrate(Message, frozen=True):
    """Daemon to worker: measure this device's rate."""

    kind: str
    program: str


class Quit(Message, frozen=True):
    """Daemon to worker: you are no longer needed."""


class Ready(Message, frozen=True):
    """Worker to daemon, once: waiting for the first attempt."""

    pid: int
    python: str
    versions: dict[str, str]


class Heartbeat(Message, frozen=True):
    """Worker to daemon, every second of an attempt: this process is not stopped, and its interpreter not stuck."""


class Progress(Message, frozen=True):
    """Worker to daemon: how far the attempt is."""

    job: str
    attempt: int
    share: Share
    best: Line = ""
    note: Line = ""
    eta_s: Seconds | None = None


class Kept(Message, frozen=True):
    """Worker to daemon: a checkpoint; it replaces the one of the same phase and start."""

    job: str
    attempt: int
    partial: PackedPartial


class Finished(Message, frozen=True):
    """Worker to daemon: the attempt's result."""

    job: str
    attempt: int
    result: bytes
    """A JSON object."""

    spent: bool = False
    """The attempt has left processes behind: end this worker, and them with it."""


class Failed(Message, frozen=True):
    """Worker to daemon: why there is no result. Also the answer to a calibration that does not work."""

    job: str
    attempt: int
    error_kind: ErrorKind
    message: Annotated[str, Meta(max_length=MAX_MESSAGE)]
    detail: Annotated[str, Meta(max_length=MAX_DETAIL)] = ""
    spent: bool = False


class Stopped(Message, frozen=True):
    """Worker to daemon: the attempt ended early, as asked."""

    job: str
    attempt: int
    spent: bool = False


class Calibrated(Message, frozen=True):
    """Worker to daemon: units per second."""

    kind: str
    rate: Annotated[float, Meta(gt=0)]


ToWorker: TypeAlias = Start | Stop | Calibrate | Quit
FromWorker: TypeAlias = Ready | Heartbeat | Progress | Kept | Finished | Failed | Stopped | Calibrated


class BadFrame(BadInput):
    """What came through the pipe is no message."""


_LENGTH = struct.Struct(">I")
_to_worker = msgspec.msgpack.Decoder(ToWorker)
_from_worker = msgspec.msgpack.Decoder(FromWorker)
_json_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def write_frame(message: ToWorker | FromWorker) -> bytes:
    """Return the message as it travels.

    Raises:
        BadInput: it holds something that no frame can carry, or too much of it.
    """
    try:
        body = msgspec.msgpack.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadInput(f"this cannot be sent to a worker: {error}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise BadInput(f"{len(body):,} bytes are more than the {MAX_FRAME_BYTES:,} that a worker can be sent")
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Bytes in, bodies of frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what has arrived; yield each body that is complete now.

        Raises:
            BadFrame: a length that no frame has; nothing after it can be understood.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            length: int = _LENGTH.unpack_from(self._buffer)[0]
            if length > MAX_FRAME_BYTES:
                raise BadFrame(f"a frame of {length:,} bytes was announced, {MAX_FRAME_BYTES:,} are allowed")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[_LENGTH.size : end])
            del self._buffer[:end]
            yield body


def read_to_worker(body: bytes) -> ToWorker:
    """Read what the daemon says; raise `BadFrame` for anything else."""
    try:
        return _to_worker.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadFrame(str(error)) from error


def read_from_worker(body: bytes) -> FromWorker:
    """Read what a worker says, a result's JSON included; raise `BadFrame` for anything else."""
    try:
        message = _from_worker.decode(body)
        if isinstance(message, Finished):
            _json_object.decode(message.result)
            message.result.decode()  # msgspec skips over texts that it does not have to return
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(str(error)) from error
    # Comparisons with NaN are all false, and so pass a check for "too small" and "too large".
    if isinstance(message, Progress) and not 0 <= message.share <= 1:
        raise BadFrame(f"a share of {message.share}")
    return message
