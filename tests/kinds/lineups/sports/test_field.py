# pyright: basic
"""Opponents of a sport with rosters fill the site's places, keep its rules, and spend their money."""

import numpy as np
import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.task import Beat, FieldLine
from meshd.kinds.lineups.sports.annealing.board import board_of, placed
from meshd.kinds.lineups.sports.annealing.site import keeps_site
from meshd.kinds.lineups.sports.annealing.task import AnnealedTask
from meshd.kinds.lineups.sports.field import field_of
from meshd.kinds.lineups.sports.solving import Linear
from tests.support.sport_slates import basketball

LINE = FieldLine(500, 99_000, 7, 50_000, 46_000)


def task_of(line: FieldLine = LINE) -> AnnealedTask:
    roster, players = basketball(120)
    return AnnealedTask(roster, players, Beat(line), Diversity(1), 1_024, seed=1)


def field(task: AnnealedTask, line: FieldLine = LINE):
    salaries = tuple(player.salary for player in task.players)
    return field_of(line, [player.average for player in task.players], 1, salaries, task.open_to_places)


def test_every_opponent_is_a_lineup_of_the_site_and_spends_what_people_spend() -> None:
    task = task_of()
    drawn = task.opponents(field(task))
    spent = np.array([player.salary for player in task.players])[drawn].sum(axis=1)
    assert drawn.shape == (500, 8)
    assert keeps_site(task.roster, task.players, drawn).all()
    assert all(placed(board_of(task), lineup) is not None for lineup in drawn.tolist())
    assert field(task).floor <= spent.min() <= spent.max() <= 50_000
    assert field(task).floor >= 45_000
    assert np.array_equal(drawn, task_of().opponents(field(task)))


def test_opponents_prefer_points_to_the_same_money_spent_worse() -> None:
    task = task_of()
    weights = np.array(field(task).weights, float)
    averages, salaries = (np.array([getattr(p, name) for p in task.players]) for name in ("average", "salary"))
    for salary in set(salaries.tolist()):
        same = np.flatnonzero(salaries == salary)
        assert (np.argsort(averages[same], kind="stable") == np.argsort(weights[same], kind="stable")).all()


def test_opponents_are_nearly_as_good_as_the_best_lineup() -> None:
    task = task_of()
    averages = np.array([player.average for player in task.players])
    asked = Linear(task.roster, task.players)
    asked.spend("cap", 0, 50_000)
    best = asked.solve(averages.tolist()).bound

    means = averages[task.opponents(field(task))].sum(axis=1)

    assert 0.86 * best <= means.mean() <= 0.96 * best


def test_ownership_that_leaves_a_place_to_nobody_is_refused() -> None:
    task = task_of()
    shares = tuple(0.0 if "C" in player.positions else 0.1 for player in task.players)
    owned = FieldLine(500, 99_000, 7, 50_000, 46_000, ownership=shares)
    with pytest.raises(BadInput, match="Nobody whom opponents take can fill one of the places"):
        task.opponents(field(task, owned))
