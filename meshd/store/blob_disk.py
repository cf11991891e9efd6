"""The disk under the blobs: what it can do, and what it says when it cannot."""

import contextlib
import errno
import hashlib
import logging
import os
from collections.abc import Collection, Generator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from meshd.errors import Degraded, NotFound
from meshd.store.blobs import BlobRef

log = logging.getLogger(__name__)

O_BINARY: int = getattr(os, "O_BINARY", 0)
"""Windows alone has it, and changes line ends without it."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def append(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of `data`; an unbuffered file may take less at a time, when the disk is nearly full."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def create(path: Path) -> FileIO:
    """Return a new file, only for this user's eyes."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | O_BINARY, 0o600), "wb", buffering=0)


def sync(folder: Path) -> None:
    """Wait until the names in `folder` are on disk, where the system can tell."""
    if os.name == "posix":
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def size_of(blob: Path) -> int | None:
    """Return how many bytes the file has, None where there is none."""
    try:
        return blob.stat().st_size
    except OSError:
        return None


def is_intact(blob: Path, ref: BlobRef) -> bool:
    """Return whether the file is what the digest says, reading all of it."""
    if size_of(blob) != ref.size:
        return False
    with blob.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == ref.digest


def forget(files: Collection[Path]) -> int:
    """Delete the files and return how many that were; what Windows holds open stays for the next sweep."""
    gone = 0
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
            gone += 1
    return gone


def absent(ref: BlobRef) -> NotFound:
    """Return the error that says so."""
    return NotFound(f"the blob {ref} is not here")


def damaged(blob: Path, ref: BlobRef) -> Degraded:
    """Delete what is no longer the blob, so that it is fetched anew, and return the error that says so."""
    forget([blob])
    log.error("the blob %s was damaged on this disk and is deleted", ref)
    return Degraded(f"the blob {ref} was damaged on this disk", hint="check the disk; the blob is fetched or made anew")


@contextmanager
def trouble(what: str) -> Generator[None]:
    """Turn what the disk says into what a person reads."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in _FULL
        raise Degraded(
            f"{what}: {error.strerror or error}",
            hint="free some disk space, then try again" if is_full else "check the disk, then try again",
        ) from error
