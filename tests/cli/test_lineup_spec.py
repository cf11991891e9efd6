"""What the options of `meshd optimize` become in a spec, and how its result looks."""

import json
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from meshd.cli.lineup_spec import Value, spec_of
from meshd.cli.lineups import put_lineups
from meshd.cli.optimize import optimize
from meshd.errors import BadInput
from tests.support.services import job_view, lineups_result

NOT_OF_THE_SPEC = {"file", "where", "name", "spread", "no_wait", "upload", "as_json"}


@pytest.fixture
def slate(tmp_path: Path) -> Path:
    file = tmp_path / "slate.csv"
    file.write_bytes("\ufeffPosition,Name\r\nD,Suárez\r\n".encode())
    return file


def parsed(*options: str) -> dict[str, Value]:
    """Return the options as the command gets them."""
    given = optimize.make_context("optimize", [*options]).params
    return {name: value for name, value in given.items() if name not in NOT_OF_THE_SPEC}


def test_every_option_has_its_place_in_the_spec(slate: Path) -> None:
    options = parsed(
        str(slate),
        *("--lineups", "150", "--objective", "cover:1%", "--scenarios", "9000", "--holdout", "2000", "--seed", "3"),
        *("--randomness", "2.5", "--site", "fanduel", "--projections", str(slate), "--grid", str(slate)),
        *("--track", "short", "--laps", "400", "--salary-cap", "49000", "--salary-min", "47000"),
        *("--lock", "A", "--lock", "B", "--exclude", "C", "--withdrawn", "D"),
        *("--exposure", "Kyle Busch=10%-40%", "--exposure", "E=0.5", "--max-exposure", "35%", "--min-exposure", "0.01"),
        *("--group", "0-1: A, B", "--group", "2- if C: A,B,D", "--max-from-team", "2", "--min-from-team", "2"),
        *("--stack", "4 of C,1B", "--stack", "with QB: 2 of WR, TE from opponent", "--stack", "3 from game"),
        *("--max-overlap", "4", "--exclude-lineups", str(slate), "--existing", str(slate)),
    )
    text = "Position,Name\r\nD,Suárez\r\n"
    assert spec_of(slate, options) == {
        "slate_csv": text,
        "lineup_count": 150,
        "objective": "cover:1%",
        "scenarios": 9_000,
        "holdout": 2_000,
        "seed": 3,
        "randomness": 2.5,
        "site": "fanduel",
        "projections_csv": text,
        "grid": text,
        "model": {"preset": "short", "laps": 400},
        "constraints": {
            "salary_cap": 49_000,
            "salary_min": 47_000,
            "locked": ["A", "B"],
            "excluded": ["C"],
            "withdrawn": ["D"],
            "exposure": {"Kyle Busch": [0.1, 0.4], "E": [0.0, 0.5]},
            "global_exposure_max": 0.35,
            "global_exposure_min": 0.01,
            "groups": [{"ids": ["A", "B"], "min": 0, "max": 1}, {"ids": ["A", "B", "D"], "min": 2, "if": "C"}],
            "max_from_team": 2,
            "min_from_team": 2,
            "stacks": [
                {"min": 4, "of": ["C", "1B"]},
                {"min": 2, "with": ["QB"], "of": ["WR", "TE"], "from": "opponent"},
                {"min": 3, "from": "game"},
            ],
            "max_overlap": 4,
            "exclude_lineups": text,
            "existing_lineups": text,
        },
    }


def test_what_is_not_given_is_left_to_the_daemon(slate: Path) -> None:
    assert spec_of(slate, parsed(str(slate))) == {"slate_csv": "Position,Name\r\nD,Suárez\r\n"}


def test_options_count_over_a_spec_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"num_lineups": 5, "constraints": {"max_stack": 2, "salary_cap": 1}, "seed": 1}))
    spec = spec_of(file, parsed(str(file), "--seed", "2", "--salary-cap", "2", "--laps", "9"))
    assert spec == {
        "num_lineups": 5,
        "constraints": {"max_stack": 2, "salary_cap": 2},
        "seed": 2,
        "model": {"laps": 9},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--exposure", "Kyle Busch"), "expected NAME=LEAST-MOST"),
        (("--exposure", "A=1..2"), "'1..2' is not a share"),
        (("--max-exposure", "most"), "'most' is not a share"),
        (("--max-exposure", "35"), "--max-exposure: 35 is more than 100%"),
        (("--randomness", "nan"), "--randomness: nan is not a number of points"),
        (("--group", "A, B"), "expected LEAST-MOST"),
    ],
)
def test_an_option_that_is_written_in_a_wrong_way_is_refused(
    options: tuple[str, ...], message: str, slate: Path
) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        spec_of(slate, parsed(str(slate), *options))
    assert refused.value.hint


def test_a_spreadsheet_is_told_from_a_salary_file(tmp_path: Path) -> None:
    file = tmp_path / "DKSalaries.csv"
    file.write_bytes(b"PK\x03\x04\x14\x00\xff")
    with pytest.raises(BadInput, match="a spreadsheet or a ZIP archive, not a CSV file") as refused:
        spec_of(file, {})
    assert refused.value.hint


def test_a_negative_exposure_reaches_the_daemon_which_refuses_it(slate: Path) -> None:
    rules = spec_of(slate, parsed(str(slate), "--exposure", "A=-10%-40%"))["constraints"]
    assert rules == {"exposure": {"A": [-0.1, 0.4]}}


def test_a_file_that_begins_like_json_and_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text("{oh")
    with pytest.raises(BadInput, match="not a JSON object"):
        spec_of(file, {})


def test_the_result_tells_chances_gains_fresh_races_and_what_was_handled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = lineups_result()
    (lineup,) = msgspec.convert(told["lineups"], list[dict[str, object]])
    portfolio = msgspec.convert(told["portfolio"], dict[str, object])
    told["lineups"] = [{**lineup, "gain": 0.0231, "holdout": {"mean": 190.0, "p90": 260.0, "p_win": 0.0199}}]
    told["portfolio"] = {
        **portfolio,
        "what": "share of races in which at least one lineup reaches the line",
        "objective": 0.35,
        "holdout_objective": 0.31,
        "holdout_objective_se": 0.0033,
    }
    told["infeasible"] = {"binding": ["max_overlap"], "message": "9 lineups were asked for.", "hint": "Loosen it."}
    told["notices"] = ["Bo South is marked as out\x1b[2J"]
    put_lineups(job_view("j1", "completed", result=Raw(msgspec.json.encode(told))))
    out = capsys.readouterr().out
    assert "entries" not in out
    for words in (
        "1.99%",
        "2.31%",
        "31.00% ± 0.33 in 20,000 fresh races, 35.00% in those that chose",
        "9 lineups were asked for. Loosen it.",
        "note: Bo South is marked as out\\x1b[2J",
    ):
        assert words in out
    assert max(map(len, out.splitlines())) <= 80


def test_what_became_of_entries_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    told = lineups_result()
    told["entries"] = {
        "rows": [{"id": str(at), "became": became} for at, became in enumerate(["kept", "left", "kept"])]
    }
    put_lineups(job_view("j1", "completed", result=Raw(msgspec.json.encode(told))))
    assert "entries: 2 kept; 1 could not be changed" in capsys.readouterr().out


def test_games_are_not_called_races_and_what_chains_found_is_not_called_proven(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = lineups_result()
    certificate = msgspec.convert(told["certificate"], dict[str, object])
    told |= {"sport": "nba", "certificate": {**certificate, "exact": False, "lineups_evaluated": 1_024}}
    put_lineups(job_view("j1", "completed", result=Raw(msgspec.json.encode(told))))
    out = capsys.readouterr().out
    assert "not proven: the best by" in out
    assert "that 1,024 chains found in" in out
    assert "races" not in out
