"""A salary file is read as downloaded, and anything else is refused with the reason."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import sample_slate
from meshd.kinds.lineups.slate import parse_slate

HEADER = "Position,Name + ID,Name,ID,Roster Position,Salary,Game Info,TeamAbbrev,AvgPointsPerGame"


def text(*rows: str, header: str = HEADER, end: str = "\n") -> str:
    return end.join((header, *rows)) + end


def row(number: int, *, position: str = "D", role: str = "D", salary: str = "7000", average: str = "30.5") -> str:
    return f"{position},A B{number} ({number}),A B{number},{number},{role},{salary},Race 400,Nasca,{average}"


PLAIN = text(*(row(number) for number in range(7)))


def test_the_sample_has_thirty_eight_drivers() -> None:
    slate = parse_slate(sample_slate())
    assert slate.name == "Harbor City 400"
    assert len({driver.id for driver in slate.drivers}) == 38
    assert {driver.salary for driver in slate.drivers} >= {11_200, 4_500}


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
        assert [driver.salary for driver in parse_slate(changed).drivers] == [7_000] * 7
    else:
        # "1.5" of the further column must not be taken for anything.
        assert parse_slate(changed) == parse_slate(PLAIN)


@pytest.mark.parametrize("name", ["NASweek1", "NASweek2", "NASweek3", "NASweek4", "NASTweek1"])
def test_real_slates_are_read(name: str, real_file: Callable[[str], str]) -> None:
    slate = parse_slate(real_file(f"nascar-dk/{name}.csv"))
    assert 36 <= len(slate.drivers) <= 40
    assert all(4_000 <= driver.salary <= 12_000 for driver in slate.drivers)
    assert any(driver.avg_points > 30 for driver in slate.drivers)
    assert slate.name


def test_a_driver_without_average_points_has_none() -> None:
    slate = parse_slate(text(row(1, average=""), row(2, average="0"), row(3, average="-2.25")))
    assert [driver.avg_points for driver in slate.drivers] == [0.0, 0.0, -2.25]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("", "The slate is empty"),
        (" \r\n\n", "The slate is empty"),
        ("PK\x03\x04\0\0 sheet", "not a text file"),
        ("hello, world\n1,2\n", "no line has the column titles Name and Salary"),
        ("<html><body>Please log in</body></html>", "a web page without a table"),
        (text(row(1)).replace(",Salary,", ",Price,"), "lacks the column Salary"),
        ("Name,AvgPointsPerGame\nA,1\n", "lacks the columns Position, ID, Salary"),
        ("Name,Salary\nA,1\n", "lacks the columns Position, ID"),
        ("Id,Nickname,FPPG\n1,A,2\n", "FanDuel"),
        (text(row(1, position="PG"), row(2, position="SF")), "not a NASCAR slate: it has the positions PG, SF"),
        (text(row(1), row(2, role="CPT")), "not a classic NASCAR slate: it has the roster positions CPT"),
        (text(row(1), row(2, salary="cheap")), r"salary of A B2 \(line 3\) is 'cheap'"),
        (text(row(1, salary="")), r"salary of A B1 \(line 2\) is ''"),
        (text(row(1, average="many")), "average points of A B1"),
        ("x" * 1_000_001, "1,000,001 characters"),
    ],
)
def test_what_is_no_nascar_slate_is_refused_with_the_reason(file: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        parse_slate(file)
    assert refused.value.field == "slate_csv"
    assert refused.value.hint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bradical_NBA_20191112_DKSalaries.csv", "not a NASCAR slate"),
        ("draftfast_dk-mlb-salaries.csv", "not a NASCAR slate"),
        ("draftfast_dk-nba-salaries.csv", "not a NASCAR slate"),
        ("draftfast_dk-nfl-salaries.csv", "lacks the column ID"),
        ("draftfast_f1-salaries-showdown.csv", "not a NASCAR slate"),
        ("draftfast_fd-nfl-salaries.csv", "FanDuel"),
        ("healy_Golfweek1.csv", "not a NASCAR slate"),
    ],
)
def test_real_files_of_other_games_are_refused(name: str, message: str, real_file: Callable[[str], str]) -> None:
    with pytest.raises(BadInput, match=message):
        parse_slate(real_file(f"other/{name}"))


def test_real_fanduel_races_are_refused_as_such(real_file: Callable[[str], str]) -> None:
    with pytest.raises(BadInput, match="FanDuel"):
        parse_slate(real_file("nascar-fd/fd_20260301_COTA_c775494.csv"))


def test_the_daemons_side_imports_neither_jax_nor_numpy() -> None:
    code = "import sys, meshd.kinds.lineups; print(sorted({'jax', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
