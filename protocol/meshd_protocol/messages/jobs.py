"""Attempts: offered, leased, reported. Every message about one names its job and its number."""

from typing import Annotated, Literal

from msgspec import Meta

from meshd_protocol.messages.base import ContentBytes, Digest, Id, Message, Name, Number, Positive, Seconds, Share, Text
from meshd_protocol.messages.blobs import BlobSize

MAX_LOG_PART_BYTES = 64 << 10
"""Of one answer: a thousand lines, and no message behind it waits long for it."""

MAX_FILE_NAME = 1024
"""Characters of a file's path in its working folder."""

FileName = Annotated[str, Meta(min_length=1, max_length=MAX_FILE_NAME)]

EndState = Literal["succeeded", "failed", "cancelled"]


class PartialRef(Message, frozen=True):
    """Where the merged result of units `start <= unit < stop` of a phase of `units` lies: in this blob."""

    phase: Number
    units: Positive
    start: Number
    stop: Positive
    digest: Digest
    size: Positive


class Part(Message, frozen=True):
    """Units `start <= unit < stop` of a phase of `units`, for one device to compute."""

    phase: Number
    units: Positive
    start: Number
    stop: Positive
    plan: ContentBytes
    """The phase as a JSON object: whatever computing its units needs beyond the resolved spec."""


class Offer(Message, frozen=True, tag="offer"):
    """Origin to executor, durable: run this attempt once its lease is granted."""

    job: Id
    attempt: Positive
    kind: Name
    name: Name
    resolved: ContentBytes
    priority: int
    timeout_s: Seconds
    """0 means none."""

    partials: tuple[PartialRef, ...] = ()
    """The checkpoint to go on from: disjoint spans, which the executor fetches before it starts."""

    part: Part | None = None
    """These units and nothing else: the rest of the job is computed elsewhere at the same time."""


class Declined(Message, frozen=True, tag="declined"):
    """Executor to origin, durable: I will not run it; try elsewhere."""

    job: Id
    attempt: Positive
    code: Text
    reason: Text


FileRole = Literal["artifact", "log", "result"]


class FileRef(Message, frozen=True):
    """A file that an attempt has left: what it made, what it printed, or a result that is too long to be told."""

    role: FileRole
    name: FileName
    digest: Digest
    size: BlobSize


class Finished(Message, frozen=True, tag="finished"):
    """Executor to origin, durable: how the attempt ended."""

    job: Id
    attempt: Positive
    state: EndState
    duration_s: Seconds
    result: ContentBytes = b""
    error_kind: Text = ""
    error: Text = ""
    detail: Text = ""
    exit_code: Annotated[int, Meta(ge=0, le=255)] | None = None
    """Of a command that has ended with another status than 0."""

    files: ContentBytes = b""
    """A JSON list of `FileRef`; empty: none. The executor keeps them until the origin says `Collected`.

    With a `result` among them, of an attempt that has succeeded, `result` is empty.
    """

    versions: ContentBytes = b""
    """A JSON object of texts: of what has computed it, by name; empty: not told."""


class Collected(Message, frozen=True, tag="collected"):
    """Origin to executor, durable: the files of the attempt are here, or no longer wanted."""

    job: Id
    attempt: Positive


class Cancel(Message, frozen=True, tag="cancel"):
    """Origin to executor, durable: stop the attempt; its result is no longer wanted."""

    job: Id
    attempt: Positive
    reason: Text


HeldState = Literal["waiting", "running", "finished"]
"""`finished` until the origin has acknowledged how: what `Holding` does not name is nowhere on its way either."""


class HeldAttempt(Message, frozen=True):
    """One line of `Holding`."""

    job: Id
    attempt: Positive
    state: HeldState


class Holding(Message, frozen=True, tag="holding"):
    """Executor to origin, every heartbeat and on each change: these attempts of yours I hold.

    `boot` is drawn when the executor's daemon starts: an attempt that is missing under a new one is lost.
    `number` counts the executor's messages, so that an answer can be matched with the time of its question.
    """

    boot: Id
    number: Number
    attempts: list[HeldAttempt]


class AttemptKey(Message, frozen=True):
    """A job and the number of one of its attempts."""

    job: Id
    attempt: Positive


class Renewed(Message, frozen=True, tag="renewed"):
    """Origin to executor, the answer to `Holding`: these leases run on, those attempts are over."""

    number: Number
    renewed: list[AttemptKey]
    superseded: list[AttemptKey]


class Progress(Message, frozen=True, tag="progress"):
    """Executor to origin, newest wins: how far a running attempt is."""

    job: Id
    attempt: Positive
    share: Share
    eta_s: Seconds | None = None
    best: Text = ""
    note: Text = ""


class Kept(Message, frozen=True, tag="kept"):
    """Executor to origin, newest wins: a checkpoint of a running attempt can be fetched.

    It replaces what this attempt has kept of the same phase from the same start. Told again when a session
    opens, so that none is lost for good; one that is lost costs work, never a result.
    """

    job: Id
    attempt: Positive
    partial: PartialRef


class Shrink(Message, frozen=True, tag="shrink"):
    """Origin to executor: keep this share of the units that you have not begun, and give the others back."""

    job: Id
    attempt: Positive
    keep: Share


class Shrunk(Message, frozen=True, tag="shrunk"):
    """Executor to origin, durable, the answer to `Shrink`: these units are yours again. None: there were none."""

    job: Id
    attempt: Positive
    part: Part | None = None


class Span(Message, frozen=True):
    """Units `start <= unit < stop`."""

    start: Number
    stop: Positive


class Waiting(Message, frozen=True, tag="waiting"):
    """Executor to origin, every second while it is so: all is done here of this phase but these units.

    They were given back. The origin answers with `Extend` or `Joined`, or not yet.
    """

    job: Id
    attempt: Positive
    phase: Number
    units: Positive
    missing: list[Span]


class Extend(Message, frozen=True, tag="extend"):
    """Origin to executor: compute these units as well; whoever had them is lost, or slower."""

    job: Id
    attempt: Positive
    phase: Number
    start: Number
    stop: Positive


class Joined(Message, frozen=True, tag="joined"):
    """Origin to executor: these partials cover what you lack of the phase, or all of it; go on."""

    job: Id
    attempt: Positive
    phase: Number
    partials: list[PartialRef]


class LogWanted(Message, frozen=True, tag="log-wanted"):
    """Origin to executor: what has this attempt printed from byte `after` on? Answered as soon as there is more."""

    job: Id
    attempt: Positive
    after: Number


class LogPart(Message, frozen=True, tag="log-part"):
    """Executor to origin, the answer to `LogWanted`: these bytes, from byte `offset` on."""

    job: Id
    attempt: Positive
    after: Number
    """What was asked for."""

    offset: Number
    """Beyond `after` where what was printed then is gone already."""

    data: Annotated[bytes, Meta(max_length=MAX_LOG_PART_BYTES)]
    end: Number
    """How much was printed so far."""
