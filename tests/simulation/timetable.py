"""What a worker will do and when, found out beforehand by the real driver of programs, on a clock of its own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from meshd.execution.checkpoint import BadCheckpoint
from meshd.execution.computation import Course, compute
from meshd.execution.outcome import Failed, Outcome, ProgressReport, Succeeded
from meshd.kinds.base import Document, PackedPartial
from tests.simulation.divisible import PassTime, TallyProgram

REPORT_EVERY_S = 3.0
"""Reports are news: more of them would slow the simulation down and show nothing."""

Moment: TypeAlias = tuple[float, ProgressReport | PackedPartial]
"""When, and what is told then."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """The life of a worker that nobody disturbs."""

    moments: Sequence[Moment]
    seconds: float
    outcome: Outcome
    answer: object = None
    """The result of a divisible job."""


def plain(job: str, attempt: int, seconds: float) -> Timetable:
    """Return the life of a worker that computes one piece."""
    steps = max(1, round(seconds / REPORT_EVERY_S))
    moments: list[Moment] = [
        (seconds * step / steps, ProgressReport(step / steps, "", "", None)) for step in range(1, steps + 1)
    ]
    return Timetable(moments, seconds, Succeeded(result_of(job, attempt), seconds))


def divided(
    job: str,
    attempt: int,
    resolved: Document,
    unit_s: float,
    partials: Sequence[PackedPartial],
    *,
    is_of_another_version: bool,
) -> Timetable:
    """Return the life of a worker that goes on from `partials`."""
    clock = PassTime(unit_s)
    moments: list[Moment] = []
    told_at = 0.0

    def tell(share: float, best: str, note: str, eta_s: float | None) -> None:
        nonlocal told_at
        if clock.now - told_at >= REPORT_EVERY_S:
            told_at = clock.now
            moments.append((clock.now, ProgressReport(share, best, note, eta_s)))

    def keep(partial: PackedPartial) -> None:
        moments.append((clock.now, partial))

    program = TallyProgram(clock, is_of_another_version=is_of_another_version)
    try:
        found = compute(program, resolved, Course(clock=clock, tell=tell), clock, partials=partials, keep=keep)
    except BadCheckpoint as error:
        return Timetable(moments, clock.now, Failed("bad_checkpoint", str(error)))
    assert found is not None
    outcome = Succeeded(result_of(job, attempt, found), clock.now)
    return Timetable(moments, clock.now, outcome, found["answer"])


def result_of(job: str, attempt: int, found: Document | None = None) -> bytes:
    """Return a result that says whose it is."""
    return json.dumps({"job": job, "attempt": attempt, **(found or {})}).encode()
