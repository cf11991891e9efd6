"""A worker that shares its units, step by step in virtual time: the same steps as `meshd.execution.computation`.

That one waits in a thread of a process of its own. What is given away, comes back and comes together is kept by the
real `Todo` and the real `Checkpoint`.
"""
# pyright: reportPrivateUsage=false

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from meshd.errors import BadInput
from meshd.execution.checkpoint import Checkpoint, gaps
from meshd.execution.outcome import ProgressReport
from meshd.execution.todo import AGAIN_S, PATIENCE_S, TELL_EVERY_S, Todo
from meshd.kinds.base import Document, Done, PackedPartial, Part, Phase
from tests.simulation.divisible import Tally, TallyProgram

LOOK_S = 0.25
"""How soon a worker that waits goes on, at the latest."""

SPAN = 4
"""Units that it takes at once, at most."""


class Interrupted(Exception):
    """It was told to stop."""


class _NoContext:
    def cancelled(self) -> bool:
        return False

    def report(self, share: float, *, best: str = "", note: str = "") -> None:
        pass


@dataclass
class SharingWorker:
    """One attempt: the whole job, or a part of it."""

    program: TallyProgram
    resolved: Document
    partials: Sequence[PackedPartial]
    unit_s: float
    pause: Callable[[float], Awaitable[bool]]
    """Lets time pass; False: it is to stop."""

    now: Callable[[], float]
    on_progress: Callable[[ProgressReport], None]
    on_partial: Callable[[PackedPartial], None]
    on_shrunk: Callable[[Part | None], None]
    on_waiting: Callable[[int, int, Sequence[tuple[int, int]]], None]
    todo: Todo = field(init=False)
    checkpoint: Checkpoint[Tally] = field(init=False)

    def __post_init__(self) -> None:
        self.todo = Todo(lambda phase, missing: None, self.on_shrunk)
        self.checkpoint = Checkpoint(self.program, self.partials, keep=self.on_partial, now=self.now)

    async def whole(self) -> Document:
        """Compute the job; return its result."""
        finished: tuple[Tally, ...] = ()
        while True:
            with self.checkpoint.blamed():
                planned = self.program.plan(self.resolved, finished)
            if isinstance(planned, Done):
                return planned.result
            finished = (*finished, await self._phase(planned))

    async def part(self, part: Part) -> None:
        """Compute some units and keep them."""
        if part.stop > part.phase.units:
            raise BadInput("no part of the phase")
        self.todo.begin(part.phase, [(part.start, part.stop)], is_part=True)
        await self._compute(part.phase, {})
        self.todo.end()
        self.checkpoint.flush()

    async def _phase(self, phase: Phase) -> Tally:
        known = self.checkpoint.of(phase)
        spans = gaps(phase.units, [(start, stop) for start, stop, _ in known])
        self.todo.begin(phase, spans, unit_s=self.unit_s)
        own: dict[int, Tally] = {}
        while True:
            await self._compute(phase, own)
            if not self.todo.is_shared:
                parts = [*(partial for _, _, partial in known), *own.values()]
                break
            joined = await self._joined(phase, PATIENCE_S)
            if joined is None and self.todo.is_empty:
                self.checkpoint.flush()
                joined = await self._joined(phase, AGAIN_S)
            if joined is not None:
                parts = self.checkpoint.read(phase, joined)
                break
            self.checkpoint.again(phase)
        self.todo.end()
        merged = parts[0]
        for part in parts[1:]:
            merged = merged.plus(part)
        return merged

    async def _compute(self, phase: Phase, own: dict[int, Tally]) -> None:
        while (taken := self.todo.take(SPAN)) is not None:
            units = taken.stop - taken.start
            await self._pass(units * self.unit_s)
            partial = self.program.run_span(self.resolved, phase, taken.start, taken.stop, _NoContext())
            assert partial is not None
            own[taken.first] = own[taken.first].plus(partial) if taken.first in own else partial
            self.todo.pace(self.unit_s)
            self.checkpoint.note(phase, taken.first, taken.stop, own[taken.first])
            left_s = (phase.units - taken.stop) * self.unit_s
            self.on_progress(ProgressReport(taken.stop / phase.units * 0.5 + phase.number * 0.5, "", "", left_s))

    async def _joined(self, phase: Phase, patience_s: float) -> Sequence[PackedPartial] | None:
        """Return the partials of the phase once others have done what they took; None: there is more to do here."""
        told_at = float("-inf")
        until = self.now() + patience_s
        while self.todo._joined is None and not self.todo._spans and self.now() < until:
            if self.now() - told_at >= TELL_EVERY_S:
                told_at = self.now()
                self.on_waiting(phase.number, phase.units, tuple(self.todo._given))
            await self._pass(LOOK_S)
        return self.todo._joined

    async def _pass(self, seconds: float) -> None:
        if not await self.pause(seconds):
            raise Interrupted
