"""A streamed lineup job, driven in one process."""

from typing import TypeAlias

from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.spans import Races, Span
from meshd.kinds.lineups.sports.exact.steps import read_exact_step
from meshd.kinds.lineups.sports.exact.story import PlannedExact, exact_planner
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.exact.work import Desk, run
from tests.support.drive import Cut, Driven, drive, whole
from tests.support.engine_job import Patient

ExactJob: TypeAlias = Driven[PlannedExact, Answer]


def solve_exactly(task: StreamedTask, races: Races, *, cut: Cut = whole, desk: Desk | None = None) -> ExactJob:
    """Drive a task to its answer."""
    desk = desk or Desk()
    return drive(
        exact_planner(),
        task,
        Answer,
        step_of=lambda planned: (planned.step, planned.units(task)),
        compute=lambda told, start, stop: run(read_exact_step(told), Span(task, races, start, stop, Patient()), desk),
        cut=cut,
    )
