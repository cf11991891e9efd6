"""Attempts: offered, leased, reported. Every message about one names its job and its number."""

from typing import Literal

from meshd_protocol.messages.base import ContentBytes, Digest, Id, Message, Name, Number, Positive, Seconds, Share, Text

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
    """Origin to executor: these partials cover the phase that you wait for; go on."""

    job: Id
    attempt: Positive
    phase: Number
    partials: list[PartialRef]
