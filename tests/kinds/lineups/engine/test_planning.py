"""A plan depends on the task and the partials, and on nothing else; what does not belong is refused."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.bench import Bench
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.objectives import planner, story_of
from meshd.kinds.lineups.engine.planning import Planned, Planner, Story
from meshd.kinds.lineups.engine.rules import Rules
from meshd.kinds.lineups.engine.spans import Span
from meshd.kinds.lineups.engine.steps import Score, document_of
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Objective, Quantile, Task
from meshd.kinds.lineups.engine.work import run
from meshd.kinds.lineups.partials import Partial
from tests.support.engine_job import DrawnRaces, Patient, solve

RACES = DrawnRaces(10, 1_100, 3, holdout=50)
OBJECTIVES: list[Objective] = [Mean(), Quantile(95_000), Beat(Score(4_200)), Cover(Score(4_500)), ExpectedMax()]


def task_of(objective: Objective) -> Task:
    rules = Rules(tuple(range(4_000, 9_000, 500)), cap=41_000)
    return Task(Lineups(10, 6), rules, Diversity(5), objective, 1_100, (0, 8_000), holdout=50, candidates=8)


def told(planned: Planned | Answer) -> object:
    if isinstance(planned, Planned):
        return planned.label, planned.share, planned.grid, document_of(planned.step)
    return planned.lineups.tolist(), planned.proof


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_job_goes_on_from_any_phase_as_if_it_had_never_stopped(objective: Objective) -> None:
    job = solve(task_of(objective), RACES)
    patient = planner()
    for phases in range(len(job.partials) + 1):
        finished = job.partials[:phases]
        anew = told(planner().plan(task_of(objective), finished))
        assert told(patient.plan(task_of(objective), finished)) == anew
    shares = [planned.share for planned in job.steps]
    assert 0.3 < sum(shares) < 1.2
    assert all(share > 0 for share in shares)


class Counted:
    """Tells stories, and counts how often one is begun."""

    def __init__(self) -> None:
        self.begun = 0

    def __call__(self, task: Task) -> Story:
        self.begun += 1
        return story_of(task)


def test_a_story_is_told_once_where_nothing_interrupts_it() -> None:
    job, tell = solve(task_of(ExpectedMax()), RACES), Counted()
    plans = Planner(tell)
    for phases in range(len(job.partials) + 1):
        plans.plan(task_of(ExpectedMax()), job.partials[:phases])
    assert tell.begun == 1
    plans.plan(task_of(Mean()), ())
    assert tell.begun == 2


def test_partials_of_another_job_are_not_taken_for_those_that_were_told() -> None:
    one, other = (solve(task_of(Beat(Score(4_200))), replace(RACES, seed=seed)) for seed in (3, 4))
    plans = planner()
    plans.plan(task_of(Beat(Score(4_200))), one.partials)
    assert told(plans.plan(task_of(Beat(Score(4_200))), other.partials)) == told(other.answer)
    assert told(other.answer) != told(one.answer)


def strangers(partials: tuple[Partial, ...]) -> Iterator[tuple[Partial, ...]]:
    """Yield partials of which the last one is of another job, or in the wrong place."""
    for place, partial in enumerate(partials):
        yield (*partials[:place], replace(partial, races=partial.races - 1))
        if place:
            yield (*partials[:place], partials[place - 1])
    yield (*partials, partials[-1])


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_partial_of_another_job_is_refused(objective: Objective) -> None:
    partials = solve(task_of(objective), RACES).partials
    for finished in strangers(partials):
        with pytest.raises(BadInput):
            planner().plan(task_of(objective), finished)


def test_a_refused_partial_does_not_spoil_the_next_plan() -> None:
    job, plans = solve(task_of(Mean()), RACES), planner()
    with pytest.raises(BadInput):
        plans.plan(task_of(Mean()), (replace(job.partials[0], races=7),))
    assert told(plans.plan(task_of(Mean()), job.partials)) == told(job.answer)


def test_a_task_without_a_lineup_is_refused_before_any_work() -> None:
    task = replace(task_of(Mean()), rules=Rules(tuple(range(4_000, 9_000, 500)), cap=1))
    with pytest.raises(BadInput, match="No lineup keeps all rules"):
        planner().plan(task, ())


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_every_step_can_be_cancelled_and_reports_its_progress(objective: Objective) -> None:
    task, bench = task_of(objective), Bench()
    job = solve(task, RACES)
    for planned in job.steps:
        # Fresh races are one chunk; of all others there are two.
        for question in (1,) if planned.grid == "fresh" else (1, 2):
            impatient = Patient(cancel_at=question)
            assert run(planned.step, Span(task, RACES, 0, planned.units(task), impatient), bench) is None
            assert impatient.questions == question
        patient = Patient()
        assert run(planned.step, Span(task, RACES, 0, planned.units(task), patient), bench) is not None
        assert patient.reports[-1] == 1.0
        assert patient.reports == sorted(patient.reports)


def test_partials_tell_what_they_took() -> None:
    job = solve(task_of(Beat(Score(4_200))), RACES)
    assert [effort.elements for effort in job.answer.efforts] == [1_100 * 210]
    assert all(partial.effort.microseconds > 0 for partial in job.partials)
