"""The disk of a machine, small enough to be filled: a tmpfs; for those who may not mount one, a limit on files."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

SIZE = "64m"
"""Room for the database, the logs and the checkpoints of a run, and filled within a moment."""

FILL = "fill"
PIECE = bytes(1 << 20)


class Disk(Protocol):
    """What a daemon writes to."""

    def fill(self) -> None:
        """Let every write that needs more room fail from now on."""
        ...

    def release(self) -> None:
        """Let there be room again."""
        ...


class Tmpfs:
    """A file system of its own."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / FILL

    def fill(self) -> None:
        """Take all that is left, to the last byte."""
        filler = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for piece in (PIECE, PIECE[:4096], PIECE[:1]):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(filler, piece)
        finally:
            os.close(filler)

    def release(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)


class LimitedFiles:
    """No disk of its own, but a daemon whose files may not grow: it is told EFBIG instead of ENOSPC."""

    def __init__(self, pid: Callable[[], int | None]) -> None:
        self._pid = pid

    def fill(self) -> None:
        """Let no byte be written to any file."""
        self._limit(0)

    def release(self) -> None:
        """Let files grow again."""
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        pid = self._pid()
        if pid is not None:
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size == resource.RLIM_INFINITY else size, hard))


@contextmanager
def mounted(folder: Path) -> Generator[Tmpfs]:
    """Mount a small disk at `folder`; leaving the block unmounts it, and all on it is gone."""
    folder.mkdir(mode=0o700, parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "meshd-soak", str(folder)], check=True)
    try:
        yield Tmpfs(folder)
    finally:
        # At once, even if a process that nobody could end still uses it.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
