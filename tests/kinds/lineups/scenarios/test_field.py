"""Skill follows from what is known of a driver, and a field that cannot race is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.field import race_model
from meshd.kinds.lineups.scenarios.model import RaceModel
from meshd.kinds.lineups.scenarios.quantiles import NORMAL_SD, standardised
from meshd.kinds.lineups.scenarios.race import race_results
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS
from meshd.kinds.lineups.scenarios.tracks import PRESETS, TRACK_TYPES

Field = Callable[..., list[Entry]]


def model(entries: list[Entry], track_type: str = "intermediate") -> RaceModel:
    return race_model(entries, track=PRESETS[track_type], scoring=DRAFTKINGS, seed=1)


@pytest.mark.parametrize("track_type", TRACK_TYPES)
def test_better_drivers_finish_ahead(track_type: str, invented: Field) -> None:
    finish = race_results(model(invented(), track_type), 0).finish.mean(axis=0)
    thirds = [finish[:12].mean(), finish[12:25].mean(), finish[25:].mean()]
    assert thirds[0] + 1 < thirds[1] < thirds[2] - 1


def test_salary_counts_four_times_as_much_as_average_points() -> None:
    entries = [Entry(salary=salary, average=average) for salary, average in ((9, 5), (7, 8), (5, 2))]
    salaries, averages = standardised([9, 7, 5]), standardised([5, 8, 2])
    both = [4 * salary + average for salary, average in zip(salaries, averages, strict=True)]
    assert model(entries).skill.tolist() == standardised(both)


def test_a_driver_without_average_points_is_judged_by_salary() -> None:
    salaries = [10_000, 9_000, 8_000, 7_000, 6_000, 5_000]
    judged = model([Entry(salary=salary) for salary in salaries]).skill
    assert judged.tolist() == standardised([5 * value for value in standardised(salaries)])


def test_one_driver_without_average_points_does_not_change_the_scale_of_the_others() -> None:
    salaries, averages = [9_000, 8_000, 7_000, 6_000], [900, 0, 300, 600]
    by_salary, known = standardised(salaries), standardised([900, 300, 600])
    by_average = [known[0], by_salary[1], known[1], known[2]]
    both = [4 * salary + average for salary, average in zip(by_salary, by_average, strict=True)]
    entries = [Entry(salary=salary, average=average) for salary, average in zip(salaries, averages, strict=True)]
    assert model(entries).skill.tolist() == standardised(both)


def test_a_given_skill_is_taken_and_held() -> None:
    skills = [1.25, -0.5, 9.0, None]
    entries = [Entry(salary=5_000, skill=skill) for skill in skills]
    assert (model(entries).skill / NORMAL_SD).tolist() == [1.25, -0.5, 4.0, 0.0]


def test_starting_in_front_helps(invented: Field) -> None:
    equal = [replace(entry, skill=0.0) for entry in invented(grid=True)]
    finish = race_results(model(equal), 0).finish.mean(axis=0)
    assert finish[-10:].mean() + 3 < finish[:10].mean(), "the last drivers of the slate start first"


def test_starting_positions_may_have_gaps() -> None:
    entries = [Entry(salary=5_000 + place, start=3 * place + 2) for place in range(10)]
    results = race_results(model(entries), 0)
    assert (results.start == [3 * place + 2 for place in range(10)]).all()


def test_starting_positions_are_known_of_all_or_of_none(invented: Field) -> None:
    entries = invented(grid=True)
    with pytest.raises(BadInput, match="known of 37 of 38"):
        model([replace(entries[0], start=None), *entries[1:]])
    assert model([replace(entries[0], start=None, withdrawn=True), *entries[1:]]).grid is not None


@pytest.mark.parametrize("drivers", [0, 1, 65])
def test_a_field_that_cannot_be_simulated_is_refused(drivers: int, invented: Field) -> None:
    with pytest.raises(BadInput, match=f"{drivers} drivers start"):
        model(invented(drivers))


def test_the_same_field_is_modelled_once(invented: Field) -> None:
    entries = [replace(entry, mean=600) for entry in invented()]
    one, other = model(entries), race_model(entries, track=PRESETS["intermediate"], scoring=DRAFTKINGS, seed=2)
    assert one.edge is other.edge
    assert (one.seed, other.seed) == (1, 2)
