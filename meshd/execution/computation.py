"""How a worker drives a program from its resolved spec to its result, and tells how far it is."""

import math
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar, cast

from meshd.clock import Clock
from meshd.kinds.base import DivisibleProgram, Document, Done, Phase, Program

P = TypeVar("P")

REPORT_EVERY_S = 0.1
"""Ten reports a second look alive on a screen; programs report as often as they like."""

SPAN_S = 1.0
"""Aim of a span: long enough that planning and merging do not count, short enough that little is lost."""

SPANS_AT_FIRST = 32
"""The first span's part of a phase, while nobody knows how long a unit takes."""

MAX_GROWTH = 4
"""Of one span over the last: its time includes compilation, or chance."""

ETA_AFTER_S = 0.5
"""Earlier, the time so far is mostly set-up, and says nothing about the rest."""

MAX_LINE = 500
"""Characters of a best answer or a note; the pipe's limit."""


class Tell(Protocol):
    """Where reports go."""

    def __call__(self, share: float, best: str, note: str, eta_s: float | None) -> None:
        """Take the newest report."""
        ...


class Course:
    """The `Context` of one attempt: whether to stop, and how far it is as a whole.

    A program speaks of its span; this speaks of the job. What it tells never falls, and comes at most every 0.1 s,
    but for the newest before the end.
    """

    def __init__(self, *, clock: Clock, tell: Tell) -> None:
        self._clock = clock
        self._tell = tell
        self._started_at = clock.boot()
        self._told_at = -math.inf
        self._untold = False
        self._from = 0.0
        self._to = 1.0
        self._share = 0.0
        self._best = ""
        self._note = ""
        self._cancelled = False

    def cancel(self) -> None:
        """Let `cancelled` be true; called from the thread that hears it."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Return whether to stop."""
        return self._cancelled

    def enter(self, start: float, stop: float, note: str) -> None:
        """Take the reports that follow for this part of the whole."""
        self._from, self._to, self._note = start, stop, note
        self.report(0.0)

    def report(self, share: float, *, best: str = "", note: str = "") -> None:
        """Take how much of the current part is done, and tell it when the last telling is long enough ago."""
        if share == share:  # not NaN
            part = min(max(share, 0.0), 1.0)
            self._share = max(self._share, min(self._from + part * (self._to - self._from), 1.0))
        self._best = best[:MAX_LINE] or self._best
        self._note = note[:MAX_LINE] or self._note
        self._untold = True
        if self._clock.boot() - self._told_at >= REPORT_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Tell what is not told yet."""
        if self._untold:
            self._untold = False
            self._told_at = self._clock.boot()
            self._tell(self._share, self._best, self._note, self._eta_s())

    def _eta_s(self) -> float | None:
        elapsed = self._clock.boot() - self._started_at
        if elapsed < ETA_AFTER_S or self._share <= 0.0:
            return None
        return elapsed * (1.0 - self._share) / self._share


def compute(program: object, resolved: Document, course: Course, clock: Clock) -> Document | None:
    """Run a program of either sort; return its result, None when it was cancelled."""
    if hasattr(program, "run_span"):
        return _drive(cast(DivisibleProgram[object], program), resolved, course, clock.boot)
    result: object = cast(Program, program).run(resolved, course)
    if course.cancelled():
        return None
    return as_document(result)


def as_document(result: object) -> Document:
    """Return a program's result; raise `TypeError` when it is no JSON object, as a program without `return` has it."""
    if not isinstance(result, Mapping):
        raise TypeError(f"the program returned {type(result).__name__}, and not an object")
    return cast(Document, result)


def _drive(
    program: DivisibleProgram[P], resolved: Document, course: Course, now: Callable[[], float]
) -> Document | None:
    finished: tuple[P, ...] = ()
    weight_done = 0.0
    while not course.cancelled():
        match program.plan(resolved, finished):
            case Done(result):
                return as_document(result)
            case Phase() as phase:
                merged = _run_phase(program, resolved, phase, weight_done, course, now)
                if merged is None:
                    return None
                finished = (*finished, merged)
                weight_done += phase.weight
    return None


def _run_phase(
    program: DivisibleProgram[P],
    resolved: Document,
    phase: Phase,
    weight_done: float,
    course: Course,
    now: Callable[[], float],
) -> P | None:
    if phase.units < 1:
        raise ValueError(f"phase {phase.number} ({phase.label}) was planned without units")
    merged: P | None = None
    done, size = 0, max(1, phase.units // SPANS_AT_FIRST)
    while done < phase.units:
        stop = min(done + size, phase.units)
        course.enter(
            weight_done + phase.weight * done / phase.units,
            weight_done + phase.weight * stop / phase.units,
            phase.label,
        )
        began = now()
        partial = program.run_span(resolved, phase, done, stop, course)
        if course.cancelled():
            return None
        if partial is None:
            raise ValueError(f"units {done} to {stop} of phase {phase.number} ({phase.label}) were not computed")
        merged = partial if merged is None else program.merge(merged, partial)
        took = max(now() - began, 1e-6)
        size = max(1, round(min(size * MAX_GROWTH, (stop - done) * SPAN_S / took)))
        done = stop
    return merged
