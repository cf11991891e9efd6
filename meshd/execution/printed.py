"""What an attempt prints, copied from its worker's log to a place of its own. For kinds that use no other way."""

import contextlib
import os
import sys
import threading
from pathlib import Path

from meshd.execution.output import OutputWriter

LOG = 2
"""The descriptor of the worker's log, which can be read, too."""

CHUNK_BYTES = 1 << 20


class Printed:
    """Copies what has come to the log since the attempt began. Two threads may ask for it."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._writer: OutputWriter | None = None
        """Made with the first byte: most attempts print nothing."""

        self._at = _size()
        self._lock = threading.Lock()

    def copy(self) -> bool:
        """Copy what is new; return whether the attempt has printed anything so far."""
        with self._lock:
            # A disk that is full loses what is printed, and nothing else.
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
                end = _size()
                # A log that grew too long was cut.
                self._at = min(self._at, end)
                while self._at < end and (data := os.pread(LOG, min(CHUNK_BYTES, end - self._at), self._at)):
                    self._writer = self._writer or OutputWriter(self._folder)
                    self._writer.append(data)
                    self._at += len(data)
            return self._writer is not None and self._writer.end > 0

    def close(self) -> bool:
        """Copy the rest; return whether the attempt has printed anything."""
        found = self.copy()
        if self._writer is not None:
            self._writer.close()
        return found


def _size() -> int:
    return os.fstat(LOG).st_size
