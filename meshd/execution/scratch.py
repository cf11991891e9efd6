"""The folders in which workers stand: each has one of its own, which goes when it goes. Its callers run in threads."""

import contextlib
import itertools
from pathlib import Path

from meshd.errors import Degraded
from meshd.execution.premises import remove


class Scratch:
    """The folder of these folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Short names: sockets of programs are among their temporary files, and a socket's path has 104 characters.
        self._numbers = itertools.count(1)

    def new(self) -> Path:
        """Return a folder that nobody has used; raise `Degraded` when the disk refuses."""
        for number in self._numbers:
            folder = self._folder / f"{number}"
            try:
                folder.mkdir(mode=0o700, parents=True)
            except FileExistsError:
                continue  # It could not be removed when its worker went.
            except OSError as error:
                raise Degraded(f"no worker can be started: {error.strerror}", hint="free some disk space") from error
            return folder
        raise AssertionError("there are always more numbers")

    def clear(self) -> None:
        """Remove what workers have left: this daemon's, or those of one that was killed."""
        with contextlib.suppress(OSError):
            for folder in self._folder.iterdir():
                remove(folder)
