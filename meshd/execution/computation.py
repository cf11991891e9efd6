"""How a worker drives a program from its resolved spec to its result, and tells how far it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, cast

from meshd.clock import Clock
from meshd.errors import BadInput
from meshd.execution import ipc
from meshd.execution.checkpoint import Checkpoint, Keep, gaps, keep_nothing
from meshd.execution.todo import AGAIN_S, PATIENCE_S, Todo
from meshd.execution.wording import one_line
from meshd.kinds.base import DivisibleProgram, Document, Done, PackedPartial, Part, Phase, Program
from meshd.kinds.workshop import Workshop

P = TypeVar("P")

REPORT_EVERY_S = 0.1
"""Ten reports a second look alive on a screen; programs report as often as they like."""

SPAN_S = 1.0
"""Aim of a span: long enough that planning and merging do not count, short enough that little is lost."""

FIRST_SPAN = 1
"""Units, while nobody knows how long one takes: a part of the phase could be minutes, and all of it be lost."""

MAX_GROWTH = 4
"""Of one span over the last: its time includes compilation, or chance."""

ETA_AFTER_S = 0.5
"""Earlier, the time so far is mostly set-up, and says nothing about the rest."""


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

    def __init__(self, *, clock: Clock, tell: Tell, workshop: Workshop | None = None) -> None:
        self.workshop = workshop
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
        self._best = best or self._best
        self._note = note or self._note
        self._untold = True
        if self._clock.boot() - self._told_at >= REPORT_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Tell what is not told yet."""
        if self._untold:
            self._untold = False
            self._told_at = self._clock.boot()
            best, note = (one_line(text, ipc.MAX_LINE) for text in (self._best, self._note))
            self._tell(self._share, best, note, self._eta_s())

    def _eta_s(self) -> float | None:
        elapsed = self._clock.boot() - self._started_at
        done = self._share - (self._base or 0.0)
        if elapsed < ETA_AFTER_S or not done > 0.0:  # NaN, too, is not
            return None
        eta_s = elapsed * (1.0 - self._share) / done
        return eta_s if eta_s <= ipc.MAX_SECONDS else None


def compute(
    program: object,
    resolved: Document,
    course: Course,
    clock: Clock,
    *,
    partials: Sequence[PackedPartial] = (),
    keep: Keep = keep_nothing,
    part: Part | None = None,
    todo: Todo | None = None,
) -> Document | None:
    """Run a program of either sort; return its result, None when it was cancelled.

    A divisible one goes on from `partials`, and hands a checkpoint to `keep` every few seconds. Of a `part` there is
    no result: its units are what it keeps. Through `todo`, units can be given away and come back meanwhile.

    Raises:
        BadCheckpoint: the partials are not of this job, or of another version of its program.
    """
    if hasattr(program, "run_span"):
        divisible = cast(DivisibleProgram[object], program)
        run = _Run(
            divisible,
            resolved,
            course,
            clock.boot,
            Checkpoint(divisible, partials, keep=keep, now=clock.boot),
            todo or Todo(lambda phase, missing: None),
        )
        return run.whole() if part is None else run.part(part)
    if part is not None:
        raise BadInput("a program that is one piece has no parts")
    result: object = cast(Program, program).run(resolved, course)
    if course.cancelled():
        return None
    return as_document(result)


def as_document(result: object) -> Document:
    """Return a program's result; raise `TypeError` when it is no JSON object, as a program without `return` has it."""
    if not isinstance(result, Mapping):
        raise TypeError(f"the program returned {type(result).__name__}, and not an object")
    return cast(Document, result)


@dataclass(slots=True)
class _Pace:
    """How long this device takes for how much of the job, as its phases are weighed."""

    spent_s: float = 0.0
    weight: float = 0.0

    def note(self, phase: Phase, units: int, took_s: float) -> None:
        self.spent_s += took_s
        self.weight += phase.weight * units / phase.units

    def unit_s(self, phase: Phase) -> float | None:
        """Return how long a unit of a phase will take, if anything is known about that."""
        return None if not self.weight > 0.0 else self.spent_s / self.weight * phase.weight / phase.units


@dataclass(frozen=True, slots=True)
class _Run(Generic[P]):
    """One attempt of a divisible program."""

    program: DivisibleProgram[P]
    resolved: Document
    course: Course
    now: Callable[[], float]
    checkpoint: Checkpoint[P]
    todo: Todo
    pace: _Pace = field(default_factory=_Pace)

    def whole(self) -> Document | None:
        """Run all phases; return the result, None when it was cancelled."""
        finished: tuple[P, ...] = ()
        weight_done = 0.0
        while not self.course.cancelled():
            with self.checkpoint.blamed():
                planned = self.program.plan(self.resolved, finished)
            match planned:
                case Done(result):
                    return as_document(result)
                case Phase() as phase:
                    merged = self._phase(phase, weight_done)
                    if merged is None:
                        return None
                    finished = (*finished, merged)
                    weight_done += phase.weight
        return None

    def part(self, part: Part) -> Document | None:
        """Compute the units of a part and keep them; return an empty result, None when it was cancelled."""
        units = part.stop - part.start
        if units < 1 or part.start < 0 or part.stop > part.phase.units:
            raise BadInput(f"units {part.start} to {part.stop} are no part of {part.phase.units}")
        self.todo.begin(part.phase, [(part.start, part.stop)], is_part=True)
        self._compute(part.phase, lambda done: done / units, 0)
        self.todo.end()
        if self.course.cancelled():
            return None
        self.checkpoint.flush()
        self.course.flush()
        return {}

    def _phase(self, phase: Phase, weight_done: float) -> P | None:
        """Return the merged partial of a phase, None when the attempt was cancelled."""
        if phase.units < 1:
            raise ValueError(f"phase {phase.number} ({phase.label}) was planned without units")
        if not (0 <= phase.number < ipc.MAX_NUMBER and phase.units < ipc.MAX_NUMBER):
            raise ValueError(f"phase {phase.number} ({phase.label}) of {phase.units} units is too large to count")
        known = self.checkpoint.of(phase)
        done = sum(stop - start for start, stop, _ in known)
        spans = gaps(phase.units, [(start, stop) for start, stop, _ in known])
        self.todo.begin(phase, spans, unit_s=self.pace.unit_s(phase))
        own: dict[int, P] = {}
        while True:
            own, done = self._compute(phase, lambda done: weight_done + phase.weight * done / phase.units, done, own)
            if self.course.cancelled():
                return None
            if not self.todo.is_shared:
                parts = [*(partial for _, _, partial in known), *own.values()]
                break
            self.course.flush()
            joined = self.todo.wait(self.course.cancelled, self.now, PATIENCE_S)
            if joined is None and self.todo.is_empty:
                # Whoever goes on with the job, should this device be lost in a long wait, is to have it.
                self.checkpoint.flush()
                joined = self.todo.wait(self.course.cancelled, self.now, AGAIN_S)
            if joined is not None:
                parts = self.checkpoint.read(phase, joined)
                break
            self.checkpoint.again(phase)
        self.todo.end()
        self.course.flush()
        return self._merged(parts)

    def _compute(
        self, phase: Phase, share: Callable[[int], float], done: int, own: dict[int, P] | None = None
    ) -> tuple[dict[int, P], int]:
        """Compute what there is to do of a phase; return it by the start of its span, and how many units are done."""
        own = {} if own is None else own
        size, has_begun = FIRST_SPAN, False
        while not self.course.cancelled() and (now := self.todo.take(size)) is not None:
            units = now.stop - now.start
            self.course.enter(share(done), share(done + units), phase.label)
            began = self.now()
            partial = self.program.run_span(self.resolved, phase, now.start, now.stop, self.course)
            if self.course.cancelled():
                break
            if partial is None:
                raise ValueError(
                    f"units {now.start} to {now.stop} of phase {phase.number} ({phase.label}) were not computed"
                )
            own[now.first] = self.program.merge(own[now.first], partial) if now.first in own else partial
            took = max(self.now() - began, 1e-6)
            if has_begun:
                # The first span of a phase has much in it that comes once.
                self.pace.note(phase, units, took)
                self.todo.pace(took / units)
            has_begun = True
            size = max(1, round(min(size * MAX_GROWTH, units * SPAN_S / took)))
            done += units
            self.checkpoint.note(phase, now.first, now.stop, own[now.first])
        return own, done

    def _merged(self, parts: Sequence[P]) -> P:
        merged = parts[0]
        for part in parts[1:]:
            with self.checkpoint.blamed():
                merged = self.program.merge(merged, part)
        return merged
