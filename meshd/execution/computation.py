"""How a worker drives a program from its resolved spec to its result, and tells how far it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar, cast

from meshd.clock import Clock
from meshd.errors import BadInput
from meshd.execution.checkpoint import Checkpoint, Keep, gaps, keep_nothing
from meshd.kinds.base import DivisibleProgram, Document, Done, PackedPartial, Phase, Program

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
        self._base: float | None = None
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
        if self._base is None:
            # What a checkpoint brought took no time here, and says nothing about the rest.
            self._base = start
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
        done = self._share - (self._base or 0.0)
        if elapsed < ETA_AFTER_S or done <= 0.0:
            return None
        return elapsed * (1.0 - self._share) / done


def compute(
    program: object,
    resolved: Document,
    course: Course,
    clock: Clock,
    *,
    partials: Sequence[PackedPartial] = (),
    keep: Keep = keep_nothing,
) -> Document | None:
    """Run a program of either sort; return its result, None when it was cancelled.

    A divisible one goes on from `partials`, and hands a checkpoint to `keep` every few seconds.

    Raises:
        BadCheckpoint: the partials are not of this job, or of another version of its program.
    """
    if hasattr(program, "run_span"):
        divisible = cast(DivisibleProgram[object], program)
        checkpoint = Checkpoint(divisible, partials, keep=keep, now=clock.boot)
        return _drive(divisible, resolved, course, clock.boot, checkpoint)
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
    program: DivisibleProgram[P],
    resolved: Document,
    course: Course,
    now: Callable[[], float],
    checkpoint: Checkpoint[P],
) -> Document | None:
    finished: tuple[P, ...] = ()
    weight_done = 0.0
    while not course.cancelled():
        try:
            planned = program.plan(resolved, finished)
        except BadInput as error:
            raise checkpoint.blame(error) from error
        match planned:
            case Done(result):
                return as_document(result)
            case Phase() as phase:
                merged = _run_phase(program, resolved, phase, weight_done, course, now, checkpoint)
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
    checkpoint: Checkpoint[P],
) -> P | None:
    if phase.units < 1:
        raise ValueError(f"phase {phase.number} ({phase.label}) was planned without units")
    known = checkpoint.of(phase)
    parts = [partial for _, _, partial in known]
    done, size = sum(stop - start for start, stop, _ in known), max(1, phase.units // SPANS_AT_FIRST)
    for first, last in gaps(phase.units, [(start, stop) for start, stop, _ in known]):
        own: P | None = None
        at = first
        while at < last:
            stop = min(at + size, last)
            course.enter(
                weight_done + phase.weight * done / phase.units,
                weight_done + phase.weight * (done + stop - at) / phase.units,
                phase.label,
            )
            began = now()
            partial = program.run_span(resolved, phase, at, stop, course)
            if course.cancelled():
                return None
            if partial is None:
                raise ValueError(f"units {at} to {stop} of phase {phase.number} ({phase.label}) were not computed")
            own = partial if own is None else program.merge(own, partial)
            took = max(now() - began, 1e-6)
            size = max(1, round(min(size * MAX_GROWTH, (stop - at) * SPAN_S / took)))
            done += stop - at
            at = stop
            checkpoint.note(phase, first, stop, own)
        if own is not None:
            parts.append(own)
    course.flush()
    merged = parts[0]
    for part in parts[1:]:
        try:
            merged = program.merge(merged, part)
        except BadInput as error:
            raise checkpoint.blame(error) from error
    return merged
