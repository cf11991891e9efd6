"""The files that an attempt has left, as they are told to its origin."""

from collections.abc import Sequence

import msgspec

from meshd.store.blobs import BlobRef
from meshd.store.files import Role
from meshd_protocol.errors import BadMessage
from meshd_protocol.messages.jobs import FileRef

MAX_REFS_BYTES = 512 << 10
"""Of all names and digests: a thousand files with long names. The result travels beside them."""

LOG_NAME = "log"

_decoder = msgspec.json.Decoder(tuple[FileRef, ...])


def write_refs(files: Sequence[FileRef]) -> bytes:
    """Return the files as a document; nothing for none."""
    return msgspec.json.encode(files) if files else b""


def read_refs(document: bytes) -> tuple[FileRef, ...]:
    """Read what `write_refs` wrote.

    Raises:
        BadMessage: it is anything else, or names a file twice.
    """
    if not document:
        return ()
    try:
        files = _decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"not a list of files: {error}") from error
    if len({(file.role, file.name) for file in files}) < len(files):
        raise BadMessage("two files of one name")
    return files


def blob_of(file: FileRef) -> BlobRef:
    """Return the blob behind a file."""
    return BlobRef(file.digest, file.size)


def lines_of(files: Sequence[FileRef]) -> list[tuple[Role, str, str, int]]:
    """Return the files as they lie in rows."""
    return [(file.role, file.name, file.digest, file.size) for file in files]
