"""The premises of a worker: what each attempt finds there, and must leave for the next.

A worker serves one attempt after the other. What one leaves behind and the next would notice makes the worker
unfit for another: processes, threads, open files, a pending alarm, closed streams, deaf ears for signals. Its own
folder is where an attempt stands, and where its temporary files are; it is emptied after each.
"""

import contextlib
import importlib
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

SPARE_FILES = 256
"""Files that attempts may leave open, all together: libraries keep some, and a thousand is the limit in many places."""


SIGNALS = sorted(signal.valid_signals())

_handler: Callable[[int], object] = getattr(importlib.import_module("_signal"), "getsignal", signal.getsignal)
"""What `signal.getsignal` calls, without its names for what comes back: there are 64 signals to look at."""


class Premises:
    """This process's folder, and what it looked like before its first attempt."""

    def __init__(self) -> None:
        self._folder = Path.cwd()
        self._state = _state()
        self._files = _open_files() or 0
        self._threads = set(threading.enumerate())

    def enter(self) -> None:
        """Stand in the worker's folder, wherever the last attempt has gone, and whatever was deleted since.

        Raises:
            OSError: there can be no such folder; the disk may be full.
        """
        try:
            os.chdir(self._folder)
        except OSError:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chdir(self._folder)
        self._threads = set(threading.enumerate())

    def leave(self) -> bool:
        """Remove what the attempt has written; return whether the next one would notice anything else of it."""
        try:
            return not (
                self._is_empty()
                and not has_left_processes()
                and not self._has_left_threads()
                and _has_flushed()
                and _state() == self._state
                and (files := _open_files()) is not None
                and files <= self._files + SPARE_FILES
            )
        except Exception:  # noqa: BLE001 - whatever is wrong here is of the attempt's making
            return True

    def _is_empty(self) -> bool:
        """Empty the folder, and return whether that was possible."""
        # A folder that was replaced by a link to another one is none: nothing is deleted through it.
        if self._is_folder() and os.listdir(self._folder):  # noqa: PTH208 - half the time, after every attempt
            remove(self._folder)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            return next(self._folder.iterdir(), None) is None
        return not self._folder.is_symlink()

    def _is_folder(self) -> bool:
        try:
            return stat.S_ISDIR(os.lstat(self._folder).st_mode)
        except OSError:
            return False

    def _has_left_threads(self) -> bool:
        left = set(threading.enumerate()) - self._threads
        # Threads of libraries that have called Python once stay on the list for ever, under this name.
        return any(not thread.name.startswith("Dummy-") for thread in left)


def remove(folder: Path) -> None:
    """Remove a folder and what is in it, as far as that is possible; links in it are removed, not followed."""
    import shutil  # Few attempts leave files; all workers would load the archive formats behind it.

    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        return
    # What is left may be in folders that their owner has closed to itself.
    with contextlib.suppress(OSError):
        folder.chmod(0o700)
        for parent, names, _ in os.walk(folder):
            for path in (Path(parent, name) for name in names):
                if not path.is_symlink():
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def has_left_processes() -> bool:
    """Return whether an attempt that is over has left any process behind (on Linux, at whatever remove)."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


def _has_flushed() -> bool:
    """Return whether all that was printed is in the log."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # a full disk; a closed stream
        return False
    return True


def _state() -> tuple[object, ...]:
    """Return what must be as it was: the streams, how signals are handled, whether one is due."""
    logs = [os.fstat(descriptor) for descriptor in (1, 2)]
    return (
        id(sys.stdout),
        id(sys.stderr),
        [(log.st_dev, log.st_ino) for log in logs],
        [_handler(number) for number in SIGNALS],
        signal.pthread_sigmask(signal.SIG_BLOCK, []),
        signal.getitimer(signal.ITIMER_REAL)[0] > 0,
    )


def _open_files() -> int | None:
    """Return how many files are open; None when there is not even room to look."""
    try:
        return len(os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"))  # noqa: PTH208
    except OSError:
        return None
