"""The ledger: what was asked, answered, done and seen in a run, each line on disk before anything else happens.

It lies outside of meshd and knows nothing that meshd says about itself but what a user would have been told.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from meshd_protocol.localapi import JobRequest

NAME = "ledger.jsonl"


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One line; `at` counts seconds from the beginning of the run."""

    at: float = 0.0


class Began(Entry, frozen=True):
    """What was to be done, and what less than that would prove nothing."""

    seed: int
    seconds: float
    machines: tuple[str, ...]
    network: bool
    canary: str
    """A secret of the daemons' environment that must not turn up anywhere."""

    minimum: dict[str, int]
    """How many faults of each class there must be."""

    minimum_jobs: int


class Stage(Entry, frozen=True):
    """The run has come to `warm-up`, `chaos`, `quiet` or `over`."""

    name: str


# Jobs


class Asked(Entry, frozen=True):
    """A job is about to be submitted, for the first time, under this key."""

    key: str
    origin: str
    request: JobRequest


class Unanswered(Entry, frozen=True):
    """The submission was made, and no answer came: nobody knows whether the job is stored."""

    key: str


class Taken(Entry, frozen=True):
    """The submission was acknowledged."""

    key: str
    job: str


class Refused(Entry, frozen=True):
    """The submission was refused for good."""

    key: str
    code: str


class CancelAsked(Entry, frozen=True):
    """The job's user is about to cancel it."""

    job: str


class EndSeen(Entry, frozen=True):
    """Its origin said that the job has come to this end."""

    origin: str
    job: str
    state: str


# Faults


class Fault(Entry, frozen=True):
    """Something was broken."""

    kind: str
    machine: str
    other: str = ""
    lasts_s: float = 0.0


class Died(Entry, frozen=True):
    """A daemon ended that nobody had killed."""

    machine: str
    status: int


class StartRefused(Entry, frozen=True):
    """A daemon did not start, because its disk was full."""

    machine: str
    status: int


class Ready(Entry, frozen=True):
    """A daemon that was started answers."""

    machine: str
    after_s: float


class Gone(Entry, frozen=True):
    """What a daemon had started was looked for after its end."""

    machine: str
    after_s: float
    left: tuple[str, ...]
    """The processes that were still there."""


# Connections


class CanTalk(Entry, frozen=True):
    """Nothing that this soak does keeps two machines apart."""

    pair: str


class CannotTalk(Entry, frozen=True):
    """Two machines are kept apart."""

    pair: str


class Connected(Entry, frozen=True):
    """Both say that they have a session with the other."""

    pair: str


class Disconnected(Entry, frozen=True):
    """One of them says that it has none."""

    pair: str


# Bounds


class Sampled(Entry, frozen=True):
    """How much a daemon holds."""

    machine: str
    pid: int
    rss_bytes: int
    descriptors: int


class Leaked(Entry, frozen=True):
    """The canary was seen in a process that a daemon had started."""

    machine: str
    where: str


class Unsettled(Entry, frozen=True):
    """Something had not come to rest when the quiet was over."""

    what: str


class Stopped(Entry, frozen=True):
    """A daemon that was asked to stop has ended."""

    machine: str
    status: int
    after_s: float


AnyEntry = (
    Began
    | Stage
    | Asked
    | Unanswered
    | Taken
    | Refused
    | CancelAsked
    | EndSeen
    | Fault
    | Died
    | StartRefused
    | Ready
    | Gone
    | CanTalk
    | CannotTalk
    | Connected
    | Disconnected
    | Sampled
    | Leaked
    | Unsettled
    | Stopped
)


class Ledger:
    """Appends entries, from any thread; `with` it."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self.now = now
        """Seconds from the beginning of the run."""

        self._file = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()

    def __enter__(self) -> "Ledger":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        with self._lock:
            os.close(self._file)

    def write(self, entry: Entry) -> None:
        """Return once the entry, with its time, is on disk."""
        with self._lock:
            os.write(self._file, line(entry, self.now()))
            os.fsync(self._file)


def line(entry: Entry, at: float) -> bytes:
    """Return the entry as a line of the file."""
    return msgspec.json.encode(msgspec.structs.replace(entry, at=round(at, 3))) + b"\n"


def read(folder: Path) -> list[AnyEntry]:
    """Return the entries of a run, in order."""
    decoder = msgspec.json.Decoder(AnyEntry)
    return [decoder.decode(line) for line in (folder / NAME).read_bytes().splitlines()]
