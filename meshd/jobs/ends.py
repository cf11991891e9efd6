"""How the end of an attempt is told to its origin."""

from collections.abc import Sequence
from typing import Final

import msgspec

from meshd.execution.outcome import Cancelled, Failed, Outcome, Succeeded
from meshd.jobs.executor import AttemptKey
from meshd.jobs.file_refs import write_refs
from meshd_protocol.limits import MAX_TEXT
from meshd_protocol.messages import jobs as wire

REFUSED: Final = "refused"
"""The failure kind of an attempt that its device no longer allows: the job goes on elsewhere."""


def told(key: AttemptKey, outcome: Outcome, files: Sequence[wire.FileRef] = ()) -> wire.Finished:
    """Return the message that tells the origin of an attempt how it ended, and what it has left.

    A result that is too long for it is among the files: see `meshd.jobs.results`.
    """
    document = write_refs(files)
    match outcome:
        case Succeeded(result, duration_s):
            return wire.Finished(
                job=key.job,
                attempt=key.number,
                state="succeeded",
                duration_s=duration_s,
                result=result,
                files=document,
                versions=msgspec.json.encode(outcome.versions) if outcome.versions else b"",
            )
        case Failed(error_kind, message, detail, code):
            return wire.Finished(
                job=key.job,
                attempt=key.number,
                state="failed",
                duration_s=0.0,
                error_kind=error_kind,
                error=message[:MAX_TEXT],
                detail=detail[-MAX_TEXT:],
                exit_code=code,
                files=document,
                versions=msgspec.json.encode(outcome.versions) if outcome.versions else b"",
            )
        case Cancelled():
            return wire.Finished(
                job=key.job,
                attempt=key.number,
                state="cancelled",
                duration_s=0.0,
                error="stopped on the executing device",
                files=document,
            )
