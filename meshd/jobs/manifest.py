"""The manifest of a job: what has computed it, where and when, so that it can be understood and run again."""

from collections.abc import Mapping

import msgspec

from meshd.jobs.model import job_from_rows
from meshd.jobs.views import iso
from meshd.net.streams import Transaction
from meshd.store import files
from meshd.store import jobs as rows
from meshd_protocol.errors import BadMessage
from meshd_protocol.ids import AttemptNumber, JobId

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


def record(
    transaction: Transaction, job: JobId, attempt: AttemptNumber, device: str, versions: Mapping[str, str]
) -> None:
    """Store the manifest of a job that has ended by this attempt; of any other job, do nothing."""
    found = rows.rows(transaction.connection, job)
    if found is None:
        return
    row, attempts = found
    ended = job_from_rows(row, attempts)
    tried = ended.attempt(attempt)
    if ended.ended_at is None or tried is None or tried.state not in {"succeeded", "failed"}:
        return
    resolved = msgspec.json.decode(row["resolved"], type=dict[str, msgspec.Raw])
    manifest: dict[str, object] = {
        "attempt": attempt,
        "device": device,
        "versions": dict(versions),
        "placement": ended.placement,
        "profile": ended.profile,
        "seed": resolved.get("seed"),
        "inputs": files.named(transaction.connection, job, files.INPUT),
        "outputs": files.named(transaction.connection, job, attempt),
        "submitted_at": iso(ended.created_at),
        "started_at": None if tried.started_at is None else iso(tried.started_at),
        "ended_at": iso(ended.ended_at),
    }
    rows.put_manifest(transaction.connection, job, msgspec.json.encode(manifest))
