"""Jobs as the local API shows them."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import Raw

from meshd.jobs.model import Attempt, Failure, Job
from meshd.store.database import Row
from meshd_protocol.ids import DeviceId
from meshd_protocol.localapi import NO_DOCUMENT, AttemptView, JobError, JobView, TransitionView


@dataclass(frozen=True, slots=True)
class Live:
    """How far the newest attempt is: newer than what is on disk."""

    share: float
    best: str
    eta_s: float | None


Names = Callable[[DeviceId], str]


def iso(at: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC, to the millisecond."""
    second, micros = divmod(round(at * 1e6), 1_000_000)
    return f"{_to_the_second(second)}.{micros // 1000:03d}Z"


@functools.lru_cache(64)
def _to_the_second(at: int) -> str:
    # Short jobs have many instants in the same second.
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)


def job_view(
    job: Job,
    *,
    names: Names,
    now: float,
    live: Live | None = None,
    documents: Row | None = None,
    story: Sequence[Row] | None = None,
) -> JobView:
    """Return what the API shows of `job`; with its documents and its story where they are given."""
    return JobView(
        id=job.id,
        kind=job.kind,
        name=job.name,
        state=job.state,
        reason=job.reason,
        placement=job.placement,
        priority=job.priority,
        progress=max(job.progress, live.share) if live is not None and not job.has_ended else job.progress,
        best=live.best or job.best if live is not None else job.best,
        eta_s=live.eta_s if live is not None and job.state == "running" else None,
        device=None if job.device is None else names(job.device),
        created_at=iso(job.created_at),
        started_at=_iso(job.started_at),
        ended_at=_iso(job.ended_at),
        duration_s=_duration_s(job, now),
        error=None if job.failure is None else _error(job.failure),
        attempts=[_attempt_view(attempt, names, live) for attempt in job.attempts],
        profile=job.profile,
        rerun_of=job.rerun_of,
        story=None if story is None else [_transition_view(row) for row in story],
        spec=NO_DOCUMENT if documents is None else Raw(documents["spec"]),
        resolved=NO_DOCUMENT if documents is None else Raw(documents["resolved"]),
        result=NO_DOCUMENT if documents is None or documents["result"] is None else Raw(documents["result"]),
        manifest=NO_DOCUMENT if documents is None or documents["manifest"] is None else Raw(documents["manifest"]),
    )


def _error(failure: Failure) -> JobError:
    return JobError(kind=failure.kind, message=failure.message, detail=failure.detail, exit_code=failure.exit_code)


def _duration_s(job: Job, now: float) -> float | None:
    if job.started_at is None:
        return None
    # The wall clock may have been set back meanwhile.
    return round(max(0.0, (now if job.ended_at is None else job.ended_at) - job.started_at), 3)


def _attempt_view(attempt: Attempt, names: Names, live: Live | None) -> AttemptView:
    share = attempt.progress
    if live is not None and attempt.state == "running":
        share = max(share, live.share)
    return AttemptView(
        number=attempt.number,
        device=names(attempt.device),
        state=attempt.state,
        reason=attempt.reason,
        started_at=_iso(attempt.started_at),
        ended_at=_iso(attempt.ended_at),
        progress=share,
        checkpoint_units=attempt.checkpoint_units,
        units=None if attempt.span is None else attempt.span.stop - attempt.span.start,
    )


def _transition_view(row: Row) -> TransitionView:
    return TransitionView(at=iso(row["at"]), state=row["state"], attempt=row["attempt"], cause=row["cause"])
