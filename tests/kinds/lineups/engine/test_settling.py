"""What the objective came to after a part of the races is what looking at that part says."""

from itertools import pairwise

import numpy as np
import pytest

from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.quantiles import races_required
from meshd.kinds.lineups.engine.rules import Rules
from meshd.kinds.lineups.engine.settling import marks_of
from meshd.kinds.lineups.engine.steps import Score
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Objective, Quantile, Task
from tests.support.engine_job import DrawnRaces, solve

RACES = DrawnRaces(10, 4_100, 3, holdout=50)
GIVEN = (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    "objective", [Mean(), Quantile(95_000), Beat(Score(4_200)), Cover(Score(4_500)), ExpectedMax()], ids=str
)
def test_every_mark_tells_the_objective_of_the_races_before_it(objective: Objective) -> None:
    lineups = Lineups(10, 6)
    rules = Rules(tuple(range(4_000, 9_000, 500)), cap=41_000)
    task = Task(lineups, rules, Diversity(4, given=(GIVEN,)), objective, RACES.races, (0, 8_000), holdout=50)
    answer = solve(task, RACES).answer
    together = isinstance(objective, Cover | ExpectedMax)
    members = [*([GIVEN] if together else []), *lineups.members(answer.lineups)[: None if together else 1].tolist()]
    best = np.max([RACES.all()[:, list(lineup)].sum(axis=1) for lineup in members], axis=0)
    trail = answer.trail
    assert trail.marks.tolist() == [1_025, 2_050, 4_100]
    for mark, value, width in zip(trail.marks, trail.values, trail.spreads, strict=True):
        part = best[:mark]
        match objective:
            case Quantile(quantile):
                required = races_required(int(mark), quantile)
                assert value == np.sort(part)[-required]
                assert 0 < width < 200
            case Beat(Score(line)) | Cover(Score(line)):
                assert value == width == (part >= line).sum()
            case _:
                assert (value, width) == (part.sum(), (part * part).sum())


@pytest.mark.parametrize("races", [1, 999, 1_000, 1_999, 2_000, 100_000, 5_000_000])
def test_marks_are_halves_of_halves_and_end_with_all(races: int) -> None:
    marks = marks_of(races)
    assert marks[-1] == races
    assert all(one == other // 2 for one, other in pairwise(marks))
    assert len(marks) <= 8
    assert races < 2_000 or marks[0] >= 1_000
