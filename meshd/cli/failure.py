"""How a command that failed says so: one line of error, one line of hint, and an exit code that a script can read."""

import sys

from meshd.client.connection import DaemonUnreachable
from meshd.errors import MeshdError, NotFound, PeerRefused, PeerUnreachable, Unauthorized, UsageError
from meshd.logs import escape

FAILED = 1
USAGE = 2
NO_DAEMON = 3
NOT_FOUND = 4
REFUSED = 5
TIMED_OUT = 6
INTERRUPTED = 130


def exit_code(error: MeshdError) -> int:
    """Return the exit code that tells a script what kind of error this was."""
    match error:
        case DaemonUnreachable():
            return NO_DAEMON
        case NotFound():
            return NOT_FOUND
        case PeerRefused() | Unauthorized():
            return REFUSED
        case PeerUnreachable():
            return TIMED_OUT
        case UsageError():
            return USAGE
        case MeshdError(code="timeout"):
            return TIMED_OUT
        case _:
            own = getattr(error, "exit_status", FAILED)
            return own if isinstance(own, int) else FAILED


def complain(error: MeshdError) -> None:
    """Print the error and what to try."""
    for line in ("error: " + error.message).splitlines():
        print(escape(line), file=sys.stderr)
    if error.hint:
        print("hint: " + escape(error.hint), file=sys.stderr)
