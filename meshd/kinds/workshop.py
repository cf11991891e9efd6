"""What an attempt that works with files is given: inputs, a place for outputs, somewhere to print."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshd.errors import MeshdError

SIGNALLED = 128
"""What shells add to the number of the signal that ended a command, to have an exit status to show."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that a job needs, by the digest of what is in it."""

    name: str
    digest: str
    """64 hexadecimal digits of SHA-256."""

    size: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of one attempt are, as the daemon tells its worker."""

    inputs: Mapping[str, str]
    """Paths of the inputs, by digest. They are to be copied, never changed."""

    outbox: str
    """An empty folder for what is to be kept."""

    output: str
    """A folder for what the attempt prints; it need not exist yet."""


@dataclass(frozen=True, slots=True)
class Made:
    """A file that an attempt made and that is to be kept."""

    name: str
    """As people call it: its path in the working folder."""

    file: str
    """How it is called in the outbox."""

    size: int


class NonzeroExit(MeshdError):
    """A command has ended with another status than 0, which is its user's to understand."""

    code = "exit_status"

    def __init__(self, status: int) -> None:
        """Take a status as `subprocess` has it: negative for a signal."""
        self.exit_code = status if status >= 0 else SIGNALLED - status
        super().__init__(f"the command {_how(status)}")


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


@dataclass(slots=True)
class Workshop:
    """The files of one attempt, as its program sees them."""

    inputs: Mapping[str, Path]
    """By digest."""

    outbox: Path
    print: Callable[[bytes], None]
    """Keeps what the attempt prints."""

    made: list[Made] = field(default_factory=list[Made])
    """What lies in the outbox and is to be kept, also when the attempt fails."""
