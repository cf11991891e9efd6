"""A salary file is read as downloaded, and anything else is refused with the reason."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import kind, sample_slate
from meshd.kinds.lineups.input.salaries import read_salaries

HEADER = "Position,Name + ID,Name,ID,Roster Position,Salary,Game Info,TeamAbbrev,AvgPointsPerGame"


def text(*rows: str, header: str = HEADER, end: str = "\n") -> str:
    return end.join((header, *rows)) + end


def row(number: int, *, position: str = "D", role: str = "D", salary: str = "7000", average: str = "30.5") -> str:
    return f"{position},A B{number} ({number}),A B{number},{number},{role},{salary},Race 400,Nasca,{average}"


PLAIN = text(*(row(number) for number in range(7)))


def test_the_sample_has_thirty_eight_drivers() -> None:
    slate = read_salaries(sample_slate())
    assert slate.name == "Harbor City 400"
    assert len({player.id for player in slate.players}) == 38
    assert {player.salary for player in slate.players} >= {11_200, 4_500}


@pytest.mark.parametrize(
    "changed",
    [
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\n\n"),
        PLAIN.replace("7000", '"$7,000"'),
        "\n".join(line + ",1.5" for line in PLAIN.replace("AvgPointsPerGame", "AvgPointsPerGame,WAvg").splitlines()),
        "\n".join(",,," + line for line in PLAIN.splitlines()),
        "<html><table>"
        + "".join(
            "<tr>" + "".join(f"<td>{cell}</td>" for cell in line.split(",")) + "</tr>" for line in PLAIN.splitlines()
        )
        + "</table></html>",
    ],
    ids=["bom", "crlf", "cr", "semicolons", "tabs", "empty lines", "dollars", "more columns", "indented", "html"],
)
def test_the_same_slate_is_read_however_it_was_saved(changed: str) -> None:
    if '"$7' in changed:
        assert [player.salary for player in read_salaries(changed).players] == [7_000] * 7
    else:
        # "1.5" of the further column must not be taken for anything.
        assert read_salaries(changed) == read_salaries(PLAIN)


@pytest.mark.parametrize("name", ["NASweek1", "NASweek2", "NASweek3", "NASweek4", "NASTweek1"])
def test_real_slates_are_read(name: str, real_file: Callable[[str], str]) -> None:
    slate = read_salaries(real_file(f"nascar-dk/{name}.csv"))
    assert 36 <= len(slate.players) <= 40
    assert all(4_000 <= player.salary <= 12_000 for player in slate.players)
    assert any(player.avg_points > 30 for player in slate.players)
    assert slate.name


def test_a_driver_without_average_points_has_none() -> None:
    slate = read_salaries(text(row(1, average=""), row(2, average="0"), row(3, average="-2.25")))
    assert [player.avg_points for player in slate.players] == [0.0, 0.0, -2.25]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("", "The slate is empty"),
        (" \r\n\n", "The slate is empty"),
        ("PK\x03\x04\0\0 sheet", "not a text file"),
        ("hello, world\n1,2\n", "no line has the column titles Name and Salary"),
        ("<html><body>Please log in</body></html>", "a web page without a table"),
        (text(row(1)).replace(",Salary,", ",Price,"), "lacks the column Salary"),
        ("Name,AvgPointsPerGame\nA,1\n", "lacks the columns Position, ID, Salary of a DraftKings file"),
        ("Name,Salary\nA,1\n", "lacks the columns Position, ID"),
        ("Id,Nickname,FPPG\n1,A,2\n", "lacks the columns Position, Salary of a FanDuel file"),
        (text(row(1), row(2, salary="cheap")), r"salary of A B2 \(line 3\) is 'cheap'"),
        ("Position,Name,ID,Salary\n", "a line of titles and no players"),
        (text("D,,,5,D,7000,,,"), "Line 2 of the slate has no name"),
        (text(row(1)).replace(",1,D", ",,D"), r"A B1 \(line 2\) has no ID"),
        (text(row(1, average="nan")), "average of points of A B1"),
        (text(row(1, salary="0")), r"salary of A B1 \(line 2\) is 0; everybody"),
        ("Entry ID,Contest Name,Contest ID,Entry Fee,D,D\n1,A,2,$1,,\n", "The slate lists entries, and no players"),
        (text(row(1, salary="")), r"salary of A B1 \(line 2\) is ''"),
        (text(row(1, average="many")), "average of points of A B1"),
        ("x" * 1_000_001, "1,000,001 characters"),
    ],
)
def test_what_is_no_nascar_slate_is_refused_with_the_reason(file: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        read_salaries(file)
    assert refused.value.field == "slate_csv"
    assert refused.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": "PG"}, "the slate of no sport known here: it has the positions D, PG"),
        ({"role": "CPT"}, "the roster positions CPT, D"),
    ],
)
def test_a_slate_of_another_game_is_refused_with_its_positions(change: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        kind.validate({"slate_csv": PLAIN + row(8, **change)})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bradical_NBA_20191112_DKSalaries.csv", "not a classic NASCAR slate"),
        ("draftfast_dk-mlb-salaries.csv", "not a classic NASCAR slate"),
        ("draftfast_dk-nba-salaries.csv", "not a classic NASCAR slate"),
        ("draftfast_dk-nfl-salaries.csv", "lacks the column ID"),
        ("draftfast_f1-salaries-showdown.csv", "not a classic NASCAR slate"),
        ("draftfast_fd-nfl-salaries.csv", "not a classic NASCAR slate"),
        ("healy_Golfweek1.csv", "not a classic NASCAR slate"),
    ],
)
def test_real_files_of_other_games_are_refused(name: str, message: str, real_file: Callable[[str], str]) -> None:
    with pytest.raises(BadInput, match=message):
        kind.validate({"sport": "nascar", "slate_csv": real_file(f"other/{name}")})


FANDUEL = """Id,Position,First Name,Nickname,Last Name,FPPG,Raced,Salary,Game,Team,Injury Indicator,Roster Position
77-1,D,Ada,Ada North,North,46.17499923706055,4,14000,,,,Driver
77-2,D,Bo,Bo South,South,,4,2000,,,O,Driver
"""


def test_a_fanduel_file_is_read_with_who_is_out() -> None:
    slate = read_salaries(FANDUEL)
    assert slate.site == "fanduel"
    assert [(player.id, player.name, player.salary) for player in slate.players] == [
        ("77-1", "Ada North", 14_000),
        ("77-2", "Bo South", 2_000),
    ]
    assert [player.avg_points for player in slate.players] == [46.17499923706055, 0.0]
    assert slate.withdrawn == ("Bo South",)


def test_every_real_fanduel_race_is_read(shared_data: Path) -> None:
    files = sorted((shared_data / "nascar-fd").glob("*.csv"))
    for file in files:
        resolved = kind.validate({"slate_csv": file.read_text(encoding="utf-8")})
        assert resolved["site"] == "fanduel"
        assert 36 <= len(cast("list[object]", resolved["drivers"])) <= 44


def test_the_daemons_side_imports_neither_jax_nor_numpy() -> None:
    code = "import sys, meshd.kinds.lineups; print(sorted({'jax', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
