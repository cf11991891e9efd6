"""A streamed lineup job, driven in one process: planned, cut into spans, merged, planned again."""

from collections.abc import Callable
from dataclasses import dataclass

from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.spans import Races, Span
from meshd.kinds.lineups.engine.steps import document_of
from meshd.kinds.lineups.packing import pack, unpack
from meshd.kinds.lineups.partials import Partial, merge
from meshd.kinds.lineups.sports.exact.steps import read_exact_step
from meshd.kinds.lineups.sports.exact.story import PlannedExact, exact_planner
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.exact.work import Desk, run
from tests.support.engine_job import MAX_PHASES, Patient

Cut = Callable[[int], list[tuple[int, int]]]
"""Returns in which spans, and in what order, so many units are done."""


def in_one(units: int) -> list[tuple[int, int]]:
    """Return one span."""
    return [(0, units)]


def backwards(units: int) -> list[tuple[int, int]]:
    """Return a span for each unit, the last one first."""
    return [(unit, unit + 1) for unit in reversed(range(units))]


@dataclass
class ExactJob:
    """What a solved task took."""

    answer: Answer
    steps: list[PlannedExact]
    partials: tuple[Partial, ...]


def solve_exactly(task: StreamedTask, races: Races, *, cut: Cut = in_one, desk: Desk | None = None) -> ExactJob:
    """Drive a task to its answer as workers would; partials and steps travel as bytes."""
    plans, desk = exact_planner(), desk or Desk()
    finished: tuple[Partial, ...] = ()
    steps: list[PlannedExact] = []
    for _ in range(MAX_PHASES):
        planned = plans.plan(task, finished)
        if isinstance(planned, Answer):
            return ExactJob(planned, steps, finished)
        steps.append(planned)
        step = read_exact_step(document_of(planned.step))
        merged: Partial | None = None
        for start, stop in cut(planned.units(task)):
            partial = run(step, Span(task, races, start, stop, Patient()), desk)
            assert partial is not None
            partial = unpack(pack(partial))
            merged = partial if merged is None else merge(merged, partial)
        assert merged is not None
        finished = (*finished, merged)
    raise AssertionError(f"the job has more than {MAX_PHASES} phases")
