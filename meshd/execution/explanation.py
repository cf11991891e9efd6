"""What an error of a program means to a person: its kind, a sentence that says what to do, the traceback behind it."""

import errno
from collections.abc import Iterator

from meshd.errors import BadInput, MeshdError
from meshd.execution import ipc
from meshd.execution.checkpoint import BadCheckpoint
from meshd.execution.outcome import ErrorKind
from meshd.execution.wording import one_line, trace_of, words_of
from meshd.kinds.workshop import NonzeroExit

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

MAX_CAUSES = 16
"""How far back causes are followed; they may go in a circle."""


def explain(error: BaseException, job: str, attempt: int) -> ipc.Failed:
    """Say what an exception means to a person, with the traceback behind it."""
    try:
        error_kind, message = _meaning(error)
    except Exception:  # noqa: BLE001 - an error that a program has made can break whoever looks at it
        error_kind, message = "crashed", "the program raised an error that cannot be looked at"
    detail = "" if isinstance(error, BadInput | NonzeroExit) else trace_of(error, ipc.MAX_DETAIL)
    code = error.exit_code & 0xFF if isinstance(error, NonzeroExit) else None
    return ipc.Failed(job, attempt, error_kind, one_line(message, ipc.MAX_MESSAGE), detail, exit_code=code)


def _meaning(error: BaseException) -> tuple[ErrorKind, str]:
    match error:
        case BadCheckpoint():
            return "bad_checkpoint", error.in_full
        case BadInput():
            return "bad_input", error.in_full
        case NonzeroExit():
            return "exit_status", str(error)
        case MeshdError():
            return "crashed", error.in_full
        case _:
            pass
    for cause in _causes(error):
        # JAX has an error of its own for memory, which cannot be named where JAX may not be installed.
        if isinstance(cause, MemoryError) or "RESOURCE_EXHAUSTED" in (words := words_of(cause)):
            return "out_of_memory", f"there was not enough memory ({words_of(cause)}): ask for less at once"
        if isinstance(cause, OSError) and cause.errno in FULL_DISK:
            return "disk_full", f"the disk is full: free some space, and submit it again ({words})"
    return "crashed", f"the program failed: {words_of(error)} (the details say where)"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, what its program says has caused it, and so on."""
    cause: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__
