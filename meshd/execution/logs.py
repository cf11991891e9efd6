"""The file into which a worker prints, and what it says about one attempt. Its callers run in threads."""

import os
from pathlib import Path

MAX_LOG_BYTES = 16 << 20
"""A job that prints in a loop must not fill the disk before somebody looks."""

KEPT_BYTES = 64 << 10
"""What stays of a log that became too long: its end."""

SPARE_BYTES = 64 << 20
"""With less room on the disk, the ends of logs must do: what else is to be written is worth more."""

EXCERPT_BYTES = 8 << 10
"""What goes into an error's detail: about a hundred lines."""


def header(job: str, attempt: int) -> str:
    """Return the line with which the output of an attempt begins."""
    return f"--- attempt {attempt} of {job} ---\n"


def open_log(path: Path) -> int:
    """Return a descriptor that appends to the file; nobody else may read it, for jobs print what they like."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def bound(path: Path) -> None:
    """Cut the file down to its end when it is too long. Its writer appends, and so goes on at the new end.

    Raises:
        OSError: the disk refuses; the file is as it was, or has lost its end, too.
    """
    try:
        if path.stat().st_size <= (MAX_LOG_BYTES if _has_room(path.parent) else 2 * KEPT_BYTES):
            return
        with path.open("r+b") as file:
            file.seek(-KEPT_BYTES, os.SEEK_END)
            end = file.read(KEPT_BYTES)
            file.truncate(0)
            file.seek(0)
            file.write(b"--- too much for this disk: the beginning was dropped ---\n" + end)
    except FileNotFoundError:
        return


def _has_room(folder: Path) -> bool:
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize >= SPARE_BYTES


def excerpt(path: Path, job: str, attempt: int) -> str:
    """Return the last lines that the attempt has printed, or nothing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - EXCERPT_BYTES))
            text = file.read(EXCERPT_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return text.rpartition(header(job, attempt))[2]
