"""How an attempt ends here, and how far it is before that."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from msgspec import Struct

from meshd.kinds.workshop import Made
from meshd_protocol.messages.jobs import FileRef

ErrorKind: TypeAlias = Literal[
    "bad_input",
    "crashed",
    "timeout",
    "out_of_memory",
    "disk_full",
    "lost",
    "bad_checkpoint",
    "refused",
    "exit_status",
]
"""What can go wrong while an attempt runs.

`lost`: the worker was killed from outside, which is not the job's doing. `bad_checkpoint`: what it was to go on
from is not this job's, or another version's. `refused`: its origin may no longer have such jobs done here.
"""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The attempt computed its result."""

    result_json: bytes
    """A JSON object."""

    duration_s: float
    made: tuple[Made, ...] = ()
    """What it has left in its outbox, to be kept."""

    files: tuple[FileRef, ...] = ()
    """What was kept of it: these blobs are pinned, for whoever hears of the outcome."""

    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of what has computed it, by name."""

    printed: bool = False
    """Whether it has printed anything."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt ended without a result."""

    error_kind: ErrorKind
    message: str
    """One sentence for a person."""

    detail: str = ""
    """What is behind it: a traceback, the last lines of the worker's log."""

    exit_code: int | None = None
    """Of a command; 128 and the number of the signal that has ended it."""

    made: tuple[Made, ...] = ()
    files: tuple[FileRef, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody who may do so stopped the attempt."""

    files: tuple[FileRef, ...] = ()
    """What it had printed until then."""


Outcome: TypeAlias = Succeeded | Failed | Cancelled


class ProgressReport(Struct, frozen=True):
    """How far a running attempt is."""

    share: float
    """0..1 of the whole attempt; it never falls."""

    best: str
    note: str
    eta_s: float | None


LOST_PIPE = 74
"""The exit status of a worker that cannot hear or reach the daemon though it lives: EX_IOERR of <sysexits.h>."""


def blame(status: int | None) -> ErrorKind:
    """Return whose doing the end of a worker without a result was: the job's, or the world's.

    Only the world kills: the user, the kernel short of memory, a machine that shuts down.
    """
    return "lost" if status is None or -status in {signal.SIGKILL, signal.SIGTERM, signal.SIGHUP} else "crashed"


def describe_exit(status: int | None) -> str:
    """Say in one sentence how a worker process ended; negative numbers are signals, as in `subprocess`."""
    if status is None:
        return "the worker was lost together with the process that watches over it"
    if status == 0:
        return "the worker ended without a result"
    if status == LOST_PIPE:
        return "the worker lost its pipe to the daemon: a program must leave descriptors 3 and 4 alone"
    if status > 0:
        return f"the worker ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "a signal"
    if -status == signal.SIGKILL:
        return f"the worker was killed by {name} ({-status}); this device may be out of memory"
    return f"the worker was killed by {name} ({-status})"
