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
from meshd.kinds.base import PackedPartial, Part
from meshd.kinds.workshop import Made, Places

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
MAX_SECONDS = 1e10
"""Of an estimate: what is further away, no peer would take."""

MAX_RATE = 1e18
"""Units per second: what is faster, no peer would take."""

MAX_NUMBER = 2**53
"""Of phases and units: larger numbers are not exact in JSON, and no peer would take them."""

Versions: TypeAlias = Annotated[dict[str, Line], Meta(max_length=32)]
ExitCode: TypeAlias = Annotated[int, Meta(ge=0, le=255)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]


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

    part: Part | None = None
    """Only these units; None: the whole job."""

    places: Places | None = None
    """Where its files are, if its kind works with files."""

    output: str = ""
    """Into which folder goes what it prints otherwise; empty: it stays in the worker's log."""


class Shrink(Message, frozen=True):
    """Daemon to worker: give back what you have not begun, but for this share of it."""

    job: str
    attempt: int
    keep: Share


class Extend(Message, frozen=True):
    """Daemon to worker: compute these units, which you gave back, after all."""

    job: str
    attempt: int
    phase: int
    start: int
    stop: int


class Joined(Message, frozen=True):
    """Daemon to worker: one of the `of` partials that cover what you lack of a phase; a frame each."""

    job: str
    attempt: int
    partial: PackedPartial
    of: int


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


class Shrunk(Message, frozen=True):
    """Worker to daemon, the answer to `Shrink`: these units are not computed here. None: there was nothing to give."""

    job: str
    attempt: int
    part: Part | None


class Waiting(Message, frozen=True):
    """Worker to daemon, every second while it is so: all of this phase is computed here but these spans."""

    job: str
    attempt: int
    phase: int
    units: int
    missing: tuple[tuple[int, int], ...]


class Finished(Message, frozen=True):
    """Worker to daemon: the attempt's result."""

    job: str
    attempt: int
    result: bytes
    """A JSON object."""

    spent: bool = False
    """The attempt has left processes behind: end this worker, and them with it."""

    made: tuple[Made, ...] = ()
    """What lies in the outbox, to be kept."""

    versions: Versions = msgspec.field(default_factory=dict[str, str])
    """Of what has computed it, by name."""

    printed: bool = False
    """Whether there is anything in `output`."""


class Failed(Message, frozen=True):
    """Worker to daemon: why there is no result. Also the answer to a calibration that does not work."""

    job: str
    attempt: int
    error_kind: ErrorKind
    message: Annotated[str, Meta(max_length=MAX_MESSAGE)]
    detail: Annotated[str, Meta(max_length=MAX_DETAIL)] = ""
    spent: bool = False
    exit_code: ExitCode | None = None
    made: tuple[Made, ...] = ()
    versions: Versions = msgspec.field(default_factory=dict[str, str])


class Stopped(Message, frozen=True):
    """Worker to daemon: the attempt ended early, as asked."""

    job: str
    attempt: int
    spent: bool = False


class Calibrated(Message, frozen=True):
    """Worker to daemon: units per second."""

    kind: str
    rate: Annotated[float, Meta(gt=0, le=MAX_RATE)]


ToWorker: TypeAlias = Start | Shrink | Extend | Joined | Stop | Calibrate | Quit
FromWorker: TypeAlias = (
    Ready | Heartbeat | Progress | Kept | Shrunk | Waiting | Finished | Failed | Stopped | Calibrated
)


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
    match message:
        case Kept(partial=kept):
            _check_span(kept.phase, kept.units, kept.start, kept.stop)
            if not kept.data:
                raise BadFrame("a checkpoint of no bytes")
        case Shrunk(part=Part(phase, start, stop)):
            _check_span(phase.number, phase.units, start, stop)
        case Waiting(phase=number, units=units, missing=missing):
            for start, stop in missing:
                _check_span(number, units, start, stop)
        case _:
            pass
    return message


def _check_span(phase: int, units: int, start: int, stop: int) -> None:
    """Raise `BadFrame` for a span that is none; a peer to whom it is told would end the session."""
    if not (0 <= phase < MAX_NUMBER and 0 <= start < stop <= units < MAX_NUMBER):
        raise BadFrame(f"units {start} to {stop} of {units} in phase {phase}")
