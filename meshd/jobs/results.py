"""Results that no message can carry: a blob at the executor, which the origin fetches before the job is completed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from meshd.errors import MeshdError
from meshd.execution.ipc import MAX_RESULT_BYTES
from meshd.execution.outcome import Failed, Outcome, Succeeded
from meshd.jobs.file_refs import blob_of, write_refs
from meshd.jobs.pins import Pins
from meshd_protocol import codec
from meshd_protocol.errors import BadMessage
from meshd_protocol.limits import MAX_DOCUMENT_BYTES
from meshd_protocol.messages.jobs import FileRef

NAME = "result"


async def set_apart(pins: Pins, outcome: Outcome) -> Outcome:
    """Return the outcome with its result among its files, if that is too long to be told; or why it cannot be kept.

    Its blob is pinned, as those of the other files are.
    """
    if not isinstance(outcome, Succeeded) or _fits(outcome):
        return outcome
    try:
        blob = await pins.blobs.put(outcome.result_json)
    except MeshdError as error:
        message = f"its result of {len(outcome.result_json):,} bytes cannot be kept: {error}"
        return Failed("disk_full", message, files=outcome.files, versions=outcome.versions)
    pins.pin([blob.digest])
    file = FileRef(role="result", name=NAME, digest=blob.digest, size=blob.size)
    return replace(outcome, result_json=b"", files=(*outcome.files, file))


def _fits(outcome: Succeeded) -> bool:
    return len(outcome.result_json) + len(write_refs(outcome.files)) <= MAX_DOCUMENT_BYTES


def result_among(files: Sequence[FileRef]) -> FileRef | None:
    """Return the result that is among the files of an attempt, if one is.

    Raises:
        BadMessage: it is larger than any result.
    """
    found = next((file for file in files if file.role == "result"), None)
    if found is not None and found.size > MAX_RESULT_BYTES:
        raise BadMessage(f"a result of {found.size:,} bytes, where {MAX_RESULT_BYTES:,} are allowed")
    return found


async def read(pins: Pins, file: FileRef) -> bytes:
    """Return a result that is here.

    Raises:
        BadMessage: it is no result.
        NotFound: it is not here any more.
        Degraded: it was damaged.
    """
    result = await pins.blobs.read(blob_of(file))
    # A second or so for the longest: not in the event loop.
    await asyncio.to_thread(codec.decode_document, result)
    return result
