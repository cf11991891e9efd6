"""Planning a job: which step comes after those that are finished, and when there is an answer.

Each objective is a story, told as a generator: it asks for a step, is given that step's partial, and asks on. What it
asks for is worked out only when it is wanted, as a story is told again from the beginning where a job goes on from a
checkpoint. A plan depends on the task and the partials, and on nothing else.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.steps import Step
from meshd.kinds.lineups.engine.task import Task
from meshd.kinds.lineups.partials import Partial

Grid: TypeAlias = Literal["races", "fresh", "once"]
"""Over what a step's units run: chunks of the races, chunks of fresh ones, or one unit for all."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The step that comes next."""

    step: Step
    grid: Grid
    label: str
    """What a person reads beside the progress bar."""

    share: float
    """The step's part of the whole job's time, an estimate."""

    best: str = ""
    """The best answer so far, in one short line."""

    def units(self, task: Task) -> int:
        """Return how many units the step has."""
        match self.grid:
            case "races":
                return task.chunks
            case "fresh":
                return task.holdout_chunks
            case "once":
                return 1


T = TypeVar("T")

Ask: TypeAlias = Callable[[], Planned]
"""Works out the step that is wanted."""

Telling: TypeAlias = Generator[Ask, Partial, T]
"""Asks for steps, is given their partials, and ends with what it was told for."""

Story: TypeAlias = Telling[Answer]
"""A whole one."""


K = TypeVar("K")
W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class _Ended(Generic[T]):
    answer: T


class Planner(Generic[K, W, T]):
    """Tells a task's story as far as there are partials; goes on where it stood when one is added to them."""

    def __init__(self, tell: Callable[[K], Generator[Callable[[], W], Partial, T]]) -> None:
        self._tell = tell
        self._task: K | None = None
        self._told: tuple[Partial, ...] = ()
        self._story: Generator[Callable[[], W], Partial, T] | None = None
        self._wanted: Callable[[], W] | None = None
        self._ended: _Ended[T] | None = None

    def plan(self, task: K, finished: tuple[Partial, ...]) -> W | T:
        """Return the step that follows the finished ones (one merged partial each), or the answer.

        Raises:
            BadInput: the task has no answer, or a partial is not this job's.
        """
        self._resume(task, finished)
        if self._ended is not None:
            return self._ended.answer
        if self._wanted is None:
            raise AssertionError("a story begins by asking")
        return self._wanted()

    def _resume(self, task: K, finished: tuple[Partial, ...]) -> None:
        told = len(self._told)
        goes_on = (
            self._story is not None
            and task == self._task
            and told <= len(finished)
            and all(one is other for one, other in zip(self._told, finished, strict=False))
        )
        if not goes_on:
            self._task, self._told, self._ended, told = task, (), None, 0
            self._story = self._tell(task)
            self._wanted = next(self._story)
        story = self._story
        # Broken off by an error, the story is told anew next time.
        self._story = None
        for partial in finished[told:]:
            if story is None or self._ended is not None:
                raise BadInput("There are more partials than this job has phases.", hint="Submit the job again.")
            try:
                self._wanted = story.send(partial)
            except StopIteration as end:
                self._ended = _Ended(end.value)
        self._story, self._told = story, finished
