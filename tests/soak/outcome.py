"""Which outcomes of a job are right: what an undisturbed run gives, and what the faults of a soak excuse."""

import functools
from collections.abc import Mapping
from importlib import import_module
from typing import cast

import msgspec

from meshd import kinds
from meshd.clock import SystemClock
from meshd.execution.computation import Course, compute
from meshd_protocol.limits import MAX_LOSSES
from meshd_protocol.localapi import JobRequest
from tests.soak.evidence import JobRow
from tests.soak.workload import is_bad

TOLD_OF_THE_RUN = ("device", "duration_s", "rate_gel_s", "versions")
"""The part of the result of lineups that says where and how fast it was computed."""

CRASHES: Mapping[str, tuple[str, ...]] = {
    "crash": ("SIGABRT",),
    "exit0": ("ended without a result",),
    "garbage": ("not a message",),
}
"""What the errors of jobs that misbehave say, by behaviour."""


def complaint(request: JobRequest, job: JobRow, *, was_cancelled: bool, may_be_taken_for_dead: bool) -> str:
    """Return what is wrong with the end of a job; nothing, if it is right.

    `may_be_taken_for_dead`: a worker was stopped for so long that its daemon had to give it up.
    """
    if is_bad(request):
        return "it is stored, and should have been refused"
    match job.state:
        case "completed":
            if "fail" in request.spec or "behaviour" in request.spec:
                return "it completed, and was to fail"
            return "" if _same(request, job.result or b"") else "its result is not that of an undisturbed run"
        case "cancelled":
            return "" if was_cancelled else "it was cancelled, and nobody had asked for that"
        case "failed":
            return _complaint_about_failure(request, job, may_be_taken_for_dead)
        case _:
            return f"it is {job.state}, which is no end"


def _complaint_about_failure(request: JobRequest, job: JobRow, may_be_taken_for_dead: bool) -> str:
    losses = sum(state in {"lost", "declined", "superseded"} for state in job.attempts)
    behaviour = str(request.spec.get("behaviour", ""))
    excused = (
        (job.error_kind == "lost" and losses >= MAX_LOSSES)
        or (job.error_kind == "crashed" and "fail" in request.spec and "it was to fail" in job.error)
        or (job.error_kind == "crashed" and any(words in job.error for words in CRASHES.get(behaviour, ())))
        or (job.error_kind == "timeout" and request.timeout_s > 0)
        or (job.error_kind == "crashed" and may_be_taken_for_dead and "no sign of life" in job.error)
    )
    return "" if excused else f"it failed without an excuse: {job.error_kind}, {job.error}"


def _same(request: JobRequest, result: bytes) -> bool:
    return _comparable(result) == _undisturbed(request.kind, msgspec.json.encode(request.spec, order="sorted"))


@functools.cache
def _undisturbed(kind: str, spec: bytes) -> bytes:
    """Return what the program gives in this process, where nothing happens to it."""
    found = kinds.find(kind)
    resolved = found.validate(msgspec.json.decode(spec, type=dict[str, object]))
    if kind == "echo":
        resolved["sleep_s"] = 0.0
    clock = SystemClock()

    def keep_silent(share: float, best: str, note: str, eta_s: float | None) -> None:
        del share, best, note, eta_s

    result = compute(import_module(found.program).program, resolved, Course(clock=clock, tell=keep_silent), clock)
    return _comparable(msgspec.json.encode(result))


def _comparable(result: bytes) -> bytes:
    document = cast("dict[str, object]", msgspec.json.decode(result))
    if "certificate" in document:
        for told in TOLD_OF_THE_RUN:
            document.pop(told, None)
    return msgspec.json.encode(document, order="sorted")
