"""The sites' salary files are read as they are: columns, captains, games, who is out."""

import csv
import io
from collections.abc import Callable

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.sports.players import Row, clashes_of, columns_of, parts_of, players_of
from meshd.kinds.lineups.sports.roster import roster_of
from tests.support.sport_slates import basketball_row, fights, formula_one

REAL = [
    ("draftkings", "nba", "other/bradical_NBA_20191112_DKSalaries.csv", 266, "LeBron James", 10_500, "LAL@PHO"),
    ("draftkings", "nfl", "other/draftfast_dk-nfl-salaries.csv", 782, "Julio Jones", 9_400, "TB@Atl"),
    ("draftkings", "mlb", "other/draftfast_dk-mlb-salaries.csv", 678, "Chris Sale", 10_800, "BAL@BOS"),
    ("fanduel", "nfl", "other/draftfast_fd-nfl-salaries.csv", 537, "Todd Gurley II", 9_800, "LAR@DET"),
    ("draftkings", "f1", "other/draftfast_f1-salaries-showdown.csv", 52, "Max Verstappen", 18_000, ""),
    ("draftkings", "golf", "other/healy_Golfweek1.csv", 89, "Scottie Scheffler", 11_100, ""),
]


def rows_of(text: str) -> list[Row]:
    return list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))


@pytest.mark.parametrize(("site", "sport", "file", "count", "name", "salary", "game"), REAL)
def test_a_real_file_is_read(
    site: str,
    sport: str,
    file: str,
    count: int,
    name: str,
    salary: int,
    game: str,
    real_file: Callable[[str], str],
) -> None:
    roster = roster_of(site, sport)

    players = players_of(roster, rows_of(real_file(file)))

    assert len(players) == count
    assert (players[0].name, players[0].salary, players[0].game) == (name, salary, game)
    for slot in roster.slots:
        assert any(set(player.positions) & set(slot.eligible) for player in players), slot.name


def test_a_captain_and_the_driver_that_he_is_are_never_in_one_lineup() -> None:
    roster, players = formula_one(6)
    columns = columns_of(roster, players)

    clashes = clashes_of(roster, players, columns)

    captain, driver = (
        next(at for at, column in enumerate(columns) if players[column.player].id == f"Driver 4 {slot}")
        for slot in ("CPT", "D")
    )
    assert ((captain, driver), 1) in clashes
    assert columns[captain].points_percent == 150
    assert columns[captain].salary == players[columns[captain].player].salary, "the file's own, not half as much again"
    assert [part.count for part in parts_of(roster, columns)] == [1, 4, 1]


def test_two_of_a_team_are_the_most_in_formula_one() -> None:
    roster, players = formula_one(6)
    columns = columns_of(roster, players)

    of_a_team = [some for some, most in clashes_of(roster, players, columns) if most == 2]

    assert {len(some) for some in of_a_team} == {5}, "two drivers, each as captain too, and the constructor"


def test_an_mvp_costs_what_he_costs_and_opponents_exclude_each_other() -> None:
    roster, players = fights("fanduel", 4)
    columns = columns_of(roster, players)

    assert len(columns) == 16
    assert {column.salary for column in columns if column.player == 3} == {players[3].salary}
    fighters = [some for some, most in clashes_of(roster, players, columns) if most == 1 and len(some) == 4]
    assert len(fighters) == 4


def test_who_is_out_is_told() -> None:
    row = {
        "Id": "1",
        "Position": "WR",
        "Nickname": "A B",
        "FPPG": "12.5",
        "Salary": "7,500",
        "Game": "LAR@DET",
        "Team": "DET",
    }
    roster = roster_of("fanduel", "nfl")

    players = players_of(roster, [{**row, "Injury Indicator": mark} for mark in ("O", "Q", "", "IR")])

    assert [player.is_out for player in players] == [True, False, False, True]
    assert (players[0].salary, players[0].average) == (7_500, 250)


@pytest.mark.parametrize("column", ["Position", "Name", "Salary"])
def test_a_missing_column_is_named(column: str) -> None:
    row = {title: cell for title, cell in basketball_row(0).items() if title != column}

    with pytest.raises(BadInput, match=column):
        players_of(roster_of("draftkings", "nba"), [row])


@pytest.mark.parametrize("salary", ["cheap", "-5", "", "1e3", "4000.5", "9,999,999"])
def test_a_salary_that_is_none_is_refused(salary: str) -> None:
    with pytest.raises(BadInput, match="salary of Player 0"):
        players_of(roster_of("draftkings", "nba"), [{**basketball_row(0), "Salary": salary}])


def test_a_file_of_another_sport_is_refused() -> None:
    rows = [basketball_row(number) for number in range(9)]

    with pytest.raises(BadInput, match="Nobody in the file plays"):
        players_of(roster_of("draftkings", "golf"), rows)


def test_ten_thousand_players_are_refused() -> None:
    with pytest.raises(BadInput, match="10,000 players"):
        players_of(roster_of("draftkings", "nba"), [basketball_row(number) for number in range(10_000)])
