"""What an attempt prints, on disk: indexed by offset, bounded, and readable while it grows.

Segments of a few megabytes, each named by the offset of its first byte. The first one stays, because it tells how
things began; of the rest the oldest goes when there is too much. One process writes, others read files that only grow.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEGMENT_BYTES = 8 << 20
"""What goes at once when there is too much."""

MAX_BYTES = 64 << 20
"""Of one attempt. A job that prints in a loop must not fill the disk."""

_SUFFIX = ".log"


class OutputWriter:
    """Appends what an attempt prints."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, max_bytes: int = MAX_BYTES) -> None:
        """Write to `folder`, which is made with the first byte: most attempts print nothing."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._kept = max(2, max_bytes // segment_bytes)
        found = segments(folder)
        self._starts = [start for start, _ in found]
        self._end = found[-1][1] if found else 0
        self._descriptor: int | None = None
        self._room = 0

    @property
    def end(self) -> int:
        """Return how many bytes were written, those that are gone included."""
        return self._end

    def append(self, data: bytes) -> None:
        """Write `data`; raise `OSError` when the disk does not take it."""
        view = memoryview(data)
        while view:
            if self._descriptor is None or not self._room:
                self._descriptor = self._turn()
            written = os.write(self._descriptor, view[: self._room])
            self._end += written
            self._room -= written
            view = view[written:]

    def close(self) -> None:
        """End the segment that is open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _turn(self) -> int:
        """Begin the next segment; let the oldest go when there are too many."""
        self.close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{self._end:016d}{_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._room = self._segment_bytes
        if self._end not in self._starts:
            self._starts.append(self._end)
        while len(self._starts) > self._kept:
            gone = self._starts.pop(1)
            with contextlib.suppress(FileNotFoundError):
                (self._folder / f"{gone:016d}{_SUFFIX}").unlink()
        return descriptor


@dataclass(frozen=True, slots=True)
class Output:
    """Some of what an attempt has printed."""

    offset: int
    """Of the first byte of `data`: beyond what was asked for, where that is gone."""

    data: bytes
    end: int
    """How much was printed so far."""


def segments(folder: Path) -> list[tuple[int, int]]:
    """Return (start, stop) of what is there, by offset."""
    found: list[tuple[int, int]] = []
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            start = entry.name.removesuffix(_SUFFIX)
            # A segment that goes meanwhile is as one that went before.
            with contextlib.suppress(FileNotFoundError):
                if entry.name.endswith(_SUFFIX) and start.isdecimal():
                    found.append((int(start), int(start) + entry.stat(follow_symlinks=False).st_size))
    return sorted(found)


def end_of(folder: Path) -> int:
    """Return how many bytes were printed, those that are gone included."""
    found = segments(folder)
    return found[-1][1] if found else 0


def read(folder: Path, after: int, limit: int) -> Output:
    """Return up to `limit` bytes from offset `after` on, or from the first one behind it that is left."""
    found = segments(folder)
    end = found[-1][1] if found else 0
    for start, stop in found:
        if stop <= after:
            continue
        offset = max(start, after)
        with contextlib.suppress(FileNotFoundError), (folder / f"{start:016d}{_SUFFIX}").open("rb") as file:
            file.seek(offset - start)
            data = file.read(limit)
            if data:
                return Output(offset, data, max(end, offset + len(data)))
    return Output(max(after, end), b"", end)


def tail_offset(folder: Path, size: int) -> int:
    """Return from where on the last `size` bytes are."""
    return max(0, end_of(folder) - size)


def lines(folder: Path, chunk: int = 1 << 20) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its offset, without its end; very long ones in pieces of `chunk`."""
    at, rest = 0, b""
    while True:
        part = read(folder, at + len(rest), chunk)
        if not part.data:
            if rest:
                yield at, rest
            return
        if part.offset != at + len(rest):
            if rest:
                yield at, rest
            at, rest = part.offset, b""
        rest += part.data
        *whole, rest = rest.split(b"\n")
        for line in whole:
            yield at, line
            at += len(line) + 1
        if len(rest) >= chunk:
            yield at, rest
            at, rest = at + len(rest), b""


def join(folder: Path) -> Path | None:
    """Write all that is left into one file in `folder`, with a line where something is missing; None: nothing is.

    Raises:
        OSError: the disk refuses.
    """
    found = segments(folder)
    if not found:
        return None
    whole = folder / "whole"
    at = 0
    with whole.open("wb") as file:
        for start, stop in found:
            if start > at:
                file.write(f"\n--- {start - at:,} bytes were dropped here: too much was printed ---\n".encode())
            with (folder / f"{start:016d}{_SUFFIX}").open("rb") as segment:
                shutil.copyfileobj(segment, file, 1 << 20)
            at = stop
    return whole
