"""The manifest of a job: what has computed it, where and when, so that it can be understood and run again."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from meshd.jobs.model import Attempt, Job
from meshd.jobs.views import iso
from meshd.store import files
from meshd.store.database import Connection
from meshd_protocol.errors import BadMessage
from meshd_protocol.ids import AttemptNumber
from meshd_protocol.messages.jobs import FileRef

_NOTHING = msgspec.Raw(b"null")

MAX_VERSIONS = 32
MAX_VERSION = 200
"""Characters; longer ones are cut."""

_versions = msgspec.json.Decoder(dict[str, str])


def read_versions(document: bytes) -> dict[str, str]:
    """Return what a peer says it has computed with.

    Raises:
        BadMessage: it is not an object of texts.
    """
    if not document:
        return {}
    try:
        found = _versions.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"not an object of versions: {error}") from error
    return {name[:MAX_VERSION]: text[:MAX_VERSION] for name, text in list(found.items())[:MAX_VERSIONS]}


class Ending(Struct, frozen=True):
    """What is known of how an attempt has computed, besides its outcome."""

    attempt: AttemptNumber
    device: str
    """Its name."""

    versions: Mapping[str, str]
    files: Sequence[FileRef]
    has_inputs: bool


class _Seed(msgspec.Struct):
    """What a resolved spec says of chance."""

    seed: msgspec.Raw = _NOTHING


_seed = msgspec.json.Decoder(_Seed)


def manifest(connection: Connection, job: Job, attempt: Attempt, ending: Ending, resolved: bytes) -> bytes:
    """Return the manifest of a job that has ended by this attempt."""
    made = sorted((file for file in ending.files if file.role == "artifact"), key=lambda file: file.name)
    return msgspec.json.encode(
        {
            "attempt": attempt.number,
            "device": ending.device,
            "versions": ending.versions,
            "placement": job.placement,
            "profile": job.profile,
            "seed": _seed.decode(resolved).seed,
            "inputs": files.named(connection, job.id, files.INPUT) if ending.has_inputs else (),
            "outputs": [{"name": file.name, "digest": file.digest, "size": file.size} for file in made],
            "submitted_at": iso(job.created_at),
            "started_at": None if attempt.started_at is None else iso(attempt.started_at),
            "ended_at": None if job.ended_at is None else iso(job.ended_at),
        }
    )
