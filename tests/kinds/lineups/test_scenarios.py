"""Simulated races keep the rules of racing and of DraftKings' scoring, and are the same everywhere."""

import csv
import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest

from meshd.kinds.lineups import sample_slate
from meshd.kinds.lineups.scenarios import (
    POINTS_BY_FINISH,
    RaceModel,
    RaceResults,
    race_model,
    race_results,
    scores,
    standardised,
)


def model(*, seed: int = 1, drivers: int = 38, grid: bool = False, laps: int = 267) -> RaceModel:
    return race_model(
        salaries=[11_000 - 170 * place for place in range(drivers)],
        average_points=[45.0 - 0.9 * place for place in range(drivers)],
        grid=list(range(drivers, 0, -1)) if grid else None,
        laps=laps,
        seed=seed,
    )


def test_finish_points_are_the_published_table() -> None:
    assert POINTS_BY_FINISH == (
        45, 42, 41, 40, 39, 38, 37, 36, 35, 34, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23,
        21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "finish", "led", "fastest", "points"),
    [
        (1, 1, 0, 0, 45.0),
        (10, 1, 100, 40, 45 + 9 + 25 + 18),
        (3, 37, 7, 2, 4 - 34 + 1.75 + 0.9),
        (40, 11, 0, 1, 32 + 29 + 0.45),
        (20, 41, 0, 0, -21.0),
    ],
)
def test_a_result_scores_as_draftkings_says(start: int, finish: int, led: int, fastest: int, points: float) -> None:
    row = RaceResults(*(np.array([[value]], np.int32) for value in (start, finish, led, fastest)))
    assert row.scores()[0, 0] == round(points * 20)


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("drivers", [6, 38, 48])
def test_starts_and_finishes_are_permutations_in_every_race(drivers: int, *, grid: bool) -> None:
    results = race_results(model(drivers=drivers, grid=grid), 0)
    places = np.arange(1, drivers + 1)
    assert (np.sort(results.start, axis=1) == places).all()
    assert (np.sort(results.finish, axis=1) == places).all()


@pytest.mark.parametrize("laps", [1, 267, 600])
def test_laps_led_and_fastest_laps_add_up_in_every_race(laps: int) -> None:
    results = race_results(model(laps=laps), 3)
    assert (results.laps_led.sum(axis=1) == laps).all()
    assert (results.fastest_laps.sum(axis=1) == laps * 82 // 100).all()
    assert results.laps_led.min() >= 0
    assert results.fastest_laps.min() >= 0


def test_the_winner_leads_the_last_lap() -> None:
    results = race_results(model(), 0)
    assert (results.laps_led[results.finish == 1] >= 1).all()


def test_a_given_grid_is_kept() -> None:
    assert (race_results(model(grid=True), 0).start == np.arange(38, 0, -1)).all()


def test_a_chunk_does_not_depend_on_which_came_before() -> None:
    alone = scores(model(), 5)
    for chunk in range(5):
        scores(model(), chunk)
    assert (scores(model(), 5) == alone).all()


def test_chunks_and_seeds_differ() -> None:
    seen = {scores(model(seed=seed), chunk).tobytes() for seed in (0, 1, 2**53 - 1) for chunk in range(4)}
    assert len(seen) == 12


def test_a_chunk_has_the_same_bits_on_every_device() -> None:
    digests = [
        hashlib.sha256(scores(model(grid=grid), chunk).astype("<i2").tobytes()).hexdigest()[:16]
        for grid, chunk in ((False, 0), (False, 7), (True, 0))
    ]
    assert digests == GOLDEN


GOLDEN = ["e9d628f29ad7ceed", "3c2d31e75abed802", "32653a829df1cf24"]
"""A change here is a change of every result ever computed, and splits a mesh of mixed versions: bump the protocol."""


def test_standardised_values_are_centred_scaled_and_held() -> None:
    values = standardised([*range(100), 10_000])
    assert max(values) == 3 * 37_837
    assert standardised([5, 5, 5]) == [0, 0, 0]
    spread = standardised(list(range(200)))
    assert abs(np.mean(spread)) < 1
    assert np.std(spread) == pytest.approx(37_837, rel=1e-3)


def test_better_drivers_score_more() -> None:
    mean = np.concatenate([scores(model(), chunk) for chunk in range(4)]).mean(axis=0) / 20
    thirds = [mean[:12].mean(), mean[12:25].mean(), mean[25:].mean()]
    assert thirds[0] > thirds[1] + 4 > thirds[2] + 8


def test_a_driver_without_average_points_is_judged_by_salary() -> None:
    salaries = [10_000, 9_000, 8_000, 7_000, 6_000, 5_000]
    judged = race_model(salaries=salaries, average_points=[0.0] * 6, grid=None, laps=100, seed=1)
    assert judged.skill.tolist() == standardised([3 * value for value in standardised(salaries)])


def test_simulated_races_look_like_real_ones() -> None:
    rows = list(csv.DictReader(io.StringIO(sample_slate())))
    races = race_model(
        salaries=[int(row["Salary"]) for row in rows],
        average_points=[float(row["AvgPointsPerGame"]) for row in rows],
        grid=None,
        laps=267,
        seed=1,
    )
    drawn = [race_results(races, chunk) for chunk in range(3)]
    start, finish, led, fastest = (
        np.concatenate([getattr(part, name) for part in drawn])
        for name in ("start", "finish", "laps_led", "fastest_laps")
    )
    # The figures of 225 Cup races, 2019-2025: 0.44, 0.29, 0.42, 9.8, 0.21.
    correlation = np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(start, finish, strict=True)])
    assert 0.36 < correlation < 0.52
    assert 0.24 < led[finish == 1].mean() / 267 < 0.34
    assert 0.35 < led.max(axis=1).mean() / 267 < 0.47
    assert 7.5 < (led > 0).sum(axis=1).mean() < 11.5
    assert 0.16 < fastest.max(axis=1).mean() / 218 < 0.25


def test_the_spread_of_scores_is_that_of_real_results(real_file: Callable[[str], str]) -> None:
    finish_points = (0, *POINTS_BY_FINISH, *([0] * 10))
    rows = [
        row for row in csv.DictReader(io.StringIO(real_file("results/nascar-race-logs.csv"))) if row["series"] == "Cup"
    ]
    distance: dict[str, int] = {}
    for row in rows:
        distance[row["race_date"]] = max(distance.get(row["race_date"], 0), int(row["laps"]))
    real = np.array(
        [
            finish_points[int(row["finish"])]
            + int(row["start"])
            - int(row["finish"])
            + 0.25 * float(row["laps_led"])
            + 0.45 * float(row["fastest_lap"] or 0)
            for row in rows
            if 250 <= distance[row["race_date"]] <= 280
        ]
    )
    simulated = np.concatenate([scores(model(), chunk) for chunk in range(4)]).ravel() / 20
    assert len(real) > 1_000
    for percentile, slack in ((10, 4), (50, 3), (90, 4), (99, 8)):
        assert np.percentile(simulated, percentile) == pytest.approx(np.percentile(real, percentile), abs=slack)
