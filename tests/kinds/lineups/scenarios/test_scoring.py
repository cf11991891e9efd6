"""The scoring tables are the sites' own: they account for the change of their averages from race to race."""

import csv
import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from meshd.kinds.lineups.scenarios.race import RaceResults
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS, FANDUEL, SCORING, UNITS_PER_POINT, Scoring, units
from tests.kinds.lineups.scenarios.slates import JudgedSlate


def scored(scoring: Scoring, start: int, finish: int, led: int, fastest: int, completed: int) -> float:
    row = RaceResults(*(np.array([[value]], np.int32) for value in (start, finish, led, fastest, completed)))
    return int(row.scores(scoring)[0, 0]) / UNITS_PER_POINT


def test_draftkings_points_by_finish_are_the_published_table() -> None:
    assert [value / UNITS_PER_POINT for value in DRAFTKINGS.finish] == [
        45, 42, 41, 40, 39, 38, 37, 36, 35, 34, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23,
        21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "points"),
    [
        ((1, 1, 0, 0, 267), 45.0),
        ((10, 1, 100, 40, 267), 45 + 9 + 25 + 18),
        ((3, 37, 7, 2, 30), 4 - 34 + 1.75 + 0.9),
        ((40, 11, 0, 1, 267), 32 + 29 + 0.45),
        ((20, 41, 0, 0, 5), -21.0),
    ],
)
def test_a_result_scores_as_draftkings_says(row: Sequence[int], points: float) -> None:
    assert scored(DRAFTKINGS, *row) == points


@pytest.mark.parametrize(
    ("row", "points"),
    [
        ((1, 1, 58, 20, 95), 58.3),
        ((13, 2, 2, 9, 95), 55.2),
        ((8, 3, 0, 0, 95), 50.0),
        ((2, 35, 4, 0, 93), -0.8),
        ((3, 41, 0, 0, 0), -19.0),
    ],
)
def test_a_result_scores_as_fanduel_says(row: Sequence[int], points: float) -> None:
    assert scored(FANDUEL, *row) == points


def test_both_sites_are_found_by_name() -> None:
    assert {name: table.site for name, table in SCORING.items()} == {"draftkings": "draftkings", "fanduel": "fanduel"}


def test_points_become_the_nearest_units() -> None:
    assert [units(points) for points in (0.0, 47.86, -8.55, 0.449)] == [0, 957, -171, 9]


def test_draftkings_own_averages_change_from_race_to_race_as_the_table_says(slates: list[JudgedSlate]) -> None:
    """An average over k races becomes one over k + 1, both told to a hundredth."""
    explained, of_all, of_whole_season = 0, 0, 0
    for number, (before, after) in enumerate(pairwise(slates)):
        later = dict(zip(after.names, after.averages, strict=True))
        races = 3 + number  # in the file of the season's second points race, full-season drivers have three
        for name, average, points, raced in zip(
            before.names, before.averages, before.points, before.raced, strict=True
        ):
            if not raced or name not in later:
                continue
            of_all += 1
            fits = [
                abs(later[name] * (count + 1) - average * count - points / UNITS_PER_POINT) <= 0.005 * (2 * count + 1.1)
                for count in range(races + 1)
            ]
            explained += any(fits)
            of_whole_season += fits[races]
    assert (explained, of_all) == (106, 106)
    assert of_whole_season == 27 + 26 + 26


COTA_2026 = {
    102623: (1, 1, 58, 95), 188888: (13, 2, 2, 95), 118521: (8, 3, 0, 95), 174405: (9, 4, 5, 95),
    82891: (6, 5, 5, 95), 82888: (15, 6, 0, 95), 82872: (5, 7, 0, 95), 82858: (4, 8, 11, 95),
    82854: (7, 9, 1, 95), 82878: (19, 10, 0, 95), 82904: (24, 11, 0, 95), 82863: (30, 12, 0, 95),
    82864: (10, 13, 1, 95), 222594: (25, 14, 0, 95), 82889: (20, 15, 0, 95), 82870: (21, 16, 0, 95),
    118091: (31, 17, 0, 95), 101999: (29, 18, 0, 95), 82869: (33, 19, 0, 95), 82886: (26, 20, 0, 95),
    164023: (17, 21, 0, 95), 147038: (35, 22, 0, 95), 182931: (32, 23, 0, 95), 82861: (14, 24, 0, 95),
    82901: (23, 25, 0, 95), 150102: (22, 26, 0, 95), 82900: (34, 28, 0, 95), 82867: (18, 29, 0, 95),
    82905: (37, 30, 0, 95), 187152: (12, 31, 0, 95), 146657: (28, 32, 0, 95), 170604: (11, 33, 0, 95),
    82883: (36, 34, 0, 93), 82866: (2, 35, 4, 93), 82859: (16, 36, 0, 89), 146285: (3, 37, 8, 62),
}  # fmt: skip
"""Start, finish, laps led and laps completed of the Cup race at Austin on 1 March 2026, by FanDuel's player number."""


def test_fanduels_own_averages_change_over_a_race_as_the_table_says(shared_data: Path) -> None:
    before, after = (
        {int(row["Id"].split("-")[1]): (float(row["FPPG"]) * int(row["Raced"]), int(row["Raced"])) for row in rows}
        for rows in (
            csv.DictReader(io.StringIO((shared_data / "nascar-fd" / file).read_text(encoding="utf-8-sig")))
            for file in ("fd_20260301_COTA_c775494.csv", "fd_20260308_Phoenix_cc15ed8.csv")
        )
    )
    explained = 0
    for player, (start, finish, led, completed) in COTA_2026.items():
        assert after[player][1] == before[player][1] + 1
        gained = after[player][0] - before[player][0]
        explained += abs(gained - scored(FANDUEL, start, finish, led, 0, completed)) < 0.01
    assert explained == len(COTA_2026) == 36
