"""Jobs and attempts as values: what is true of them, and how they lie in rows."""

from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeAlias, cast

from msgspec import Struct

from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.localapi import AttemptState, JobState

OPEN_ATTEMPT: Final = frozenset({"offered", "accepted", "running"})
"""The states in which an attempt may still change its job."""


Value: TypeAlias = str | bytes | int | float | None


class Row(Protocol):
    """A row of the store; what its columns hold is the schema's promise."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the value of a column."""
        ...


class Failure(Struct, frozen=True):
    """Why a job or an attempt failed: a stable kind, one sentence for a person, and what lies behind it."""

    kind: str
    message: str
    detail: str = ""
    exit_code: int | None = None
    """Of a command that has ended with another status than 0."""


class Span(Struct, frozen=True):
    """Units `start <= unit < stop` of a phase."""

    phase: int
    start: int
    stop: int


class Attempt(Struct, frozen=True):
    """One numbered try on one device."""

    number: AttemptNumber
    device: DeviceId
    state: AttemptState
    offered_at: float
    reason: str = ""
    boot: str = ""
    """The run of the executor's daemon that was last seen to hold it; empty: none was."""

    started_at: float | None = None
    ended_at: float | None = None
    progress: float = 0.0
    checkpoint_units: int = 0
    """Units that it has computed and that are safe here."""

    span: Span | None = None
    """What it computes, if that is a part of the job only."""

    @property
    def is_open(self) -> bool:
        """Whether it may still change its job."""
        return self.state in OPEN_ATTEMPT


class Traits(Struct, frozen=True):
    """What a job promises about running it again."""

    deterministic: bool
    retry_safe: bool


class Job(Struct, frozen=True):
    """A job as its origin knows it, without its documents."""

    id: JobId
    kind: str
    name: str
    state: JobState
    placement: str
    priority: int
    timeout_s: float
    retries: int
    offload_timeout_s: float
    cost: float | None
    created_at: float
    reason: str = ""
    losses: int = 0
    """Attempts lost to the world or declined: not the job's fault, but not without end either."""

    failures: int = 0
    """Attempts that failed by the job's own doing."""

    progress: float = 0.0
    best: str = ""
    device: DeviceId | None = None
    """Of the newest attempt."""

    started_at: float | None = None
    ended_at: float | None = None
    failure: Failure | None = None
    spread: bool = False
    """Whether several devices may compute it at once."""

    retry_safe: bool = False
    """Whether running it twice has no effect outside meshd."""

    profile: str | None = None
    """The named settings with which it was submitted."""

    rerun_of: JobId | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing about it changes any more."""
        return self.ended_at is not None

    def attempt(self, number: int) -> Attempt | None:
        """Return the attempt of this number."""
        return next((attempt for attempt in self.attempts if attempt.number == number), None)

    @property
    def next_number(self) -> AttemptNumber:
        """The number of its next attempt."""
        return AttemptNumber(1 + max((attempt.number for attempt in self.attempts), default=0))

    @property
    def whole(self) -> Attempt | None:
        """The open attempt that computes the job to its end, others may compute parts beside it."""
        return next((attempt for attempt in self.attempts if attempt.is_open and attempt.span is None), None)

    @property
    def open_attempts(self) -> tuple[Attempt, ...]:
        """The attempts that may still change the job."""
        return tuple([attempt for attempt in self.attempts if attempt.state in OPEN_ATTEMPT])


_JOB_COLUMNS = tuple(name for name in Job.__struct_fields__ if name not in {"attempts", "failure"})
_ATTEMPT_COLUMNS = tuple(name for name in Attempt.__struct_fields__ if name != "span")


def job_from_rows(row: Row, attempts: Sequence[Row]) -> Job:
    """Return the job that these rows hold."""
    values = {column: row[column] for column in _JOB_COLUMNS}
    values |= {flag: bool(values[flag]) for flag in ("spread", "retry_safe")}
    failure = None
    if row["error_kind"] is not None:
        failure = Failure(row["error_kind"], row["error_message"], row["error_detail"] or "", row["exit_code"])
    return Job(**values, failure=failure, attempts=tuple(_attempt_from_row(tried) for tried in attempts))


def _attempt_from_row(row: Row) -> Attempt:
    span = None
    if row["part_phase"] is not None:
        span = Span(row["part_phase"], row["part_start"], row["part_stop"])
    return Attempt(**{column: row[column] for column in _ATTEMPT_COLUMNS}, span=span)


def job_values(job: Job) -> dict[str, Value]:
    """Return the columns of the job's row, without its documents."""
    values = {column: cast("Value", getattr(job, column)) for column in _JOB_COLUMNS}
    return values | _failure_values(job.failure)


def _failure_values(failure: Failure | None) -> dict[str, Value]:
    return {
        "error_kind": None if failure is None else failure.kind,
        "error_message": None if failure is None else failure.message,
        "error_detail": None if failure is None else failure.detail,
        "exit_code": None if failure is None else failure.exit_code,
    }


def changes(before: Job, after: Job) -> dict[str, Value]:
    """Return the columns of the job's row that differ."""
    changed: dict[str, Value] = {
        column: value for column in _JOB_COLUMNS if (value := getattr(after, column)) != getattr(before, column)
    }
    if after.failure != before.failure:
        changed |= _failure_values(after.failure)
    return changed


def attempt_values(job: JobId, attempt: Attempt) -> dict[str, Value]:
    """Return the columns of the attempt's row."""
    span = attempt.span
    return {
        "job": job,
        **{column: cast("Value", getattr(attempt, column)) for column in _ATTEMPT_COLUMNS},
        "part_phase": None if span is None else span.phase,
        "part_start": None if span is None else span.start,
        "part_stop": None if span is None else span.stop,
    }


def attempt_changes(before: Attempt, after: Attempt) -> dict[str, Value]:
    """Return the columns of the attempt's row that differ; which units it computes never does."""
    return {
        column: value for column in _ATTEMPT_COLUMNS if (value := getattr(after, column)) != getattr(before, column)
    }
