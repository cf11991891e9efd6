"""Entries are filled, changed where they can be, and told apart from those that cannot."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.base import Done
from meshd.kinds.lineups import kind
from meshd.kinds.lineups.program import program
from meshd.kinds.lineups.upload import upload_csv
from tests.support.entry_files import entries_file
from tests.support.lineups_job import answer_of, backwards, lineups_of, part_of, run_job
from tests.support.sport_slates import basketball_row, formula_one_rows, salary_file

MakeSpec = Callable[[int], dict[str, object]]

D = ("D",) * 6
DRIVERS = 11
EMPTY: list[str] = []


def cell(number: int, locked: bool = False) -> str:
    return f"Driver {number} ({100 + number})" + (" (LOCKED)" if locked else "")


def job(small_slate: MakeSpec, *lineups: list[str], **change: object) -> dict[str, object]:
    rules = {"salary_cap": 52_000, **cast("dict[str, object]", change.pop("constraints", {}))}
    return {
        **small_slate(DRIVERS),
        "entries_csv": entries_file("draftkings", D, lineups),
        "scenarios": 1_024,
        "holdout": 1_000,
        "constraints": rules,
        **change,
    }


def rows_of(result: Mapping[str, object]) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", part_of(result, "entries")["rows"])


def uploaded(result: Mapping[str, object]) -> list[list[str]]:
    return list(csv.reader(io.StringIO(upload_csv(json.dumps(result).encode()), newline="")))


def ids_in(row: Mapping[str, object]) -> frozenset[str]:
    return frozenset(cast("list[str]", row["ids"]))


def test_empty_entries_get_the_lineups_of_a_job_without_entries(small_slate: MakeSpec) -> None:
    spec = job(small_slate, [], [], [])
    result = run_job(spec)
    plain = run_job({name: value for name, value in spec.items() if name != "entries_csv"} | {"lineup_count": 3})
    assert [each["ids"] for each in lineups_of(result)] == [each["ids"] for each in lineups_of(plain)]
    assert [each["entry_id"] for each in lineups_of(result)] == ["9001", "9002", "9003"]
    assert result["portfolio"] == plain["portfolio"]
    assert [row["became"] for row in rows_of(result)] == ["filled"] * 3


def test_the_upload_file_has_every_entry_with_its_contest_and_those_that_were_kept_as_they_were(
    small_slate: MakeSpec,
) -> None:
    kept = [cell(number) for number in (0, 2, 4, 6, 8, 10)]
    titles, first, second = uploaded(run_job(job(small_slate, kept, [], constraints={"salary_cap": 60_000})))
    assert titles == ["Entry ID", "Contest Name", "Contest ID", "Entry Fee", *D]
    assert first == ["9001", "Big, bold contest [20 Entry Max]", "150", "$5", *kept]
    assert second[:4] == ["9002", *first[1:4]]
    assert all(name.startswith("Driver ") and name.endswith(")") for name in second[4:])


def test_fanduels_template_comes_back_in_its_own_order(small_slate: MakeSpec) -> None:
    spec = job(small_slate, site="fanduel", entries_csv=entries_file("fanduel", ("Driver",) * 5, [[]]))
    titles, row = uploaded(run_job(spec))
    assert titles == ["entry_id", "contest_id", "contest_name", "entry_fee", *["Driver"] * 5]
    assert row[:4] == ["9001", "150", "Big contest", "$5"]
    assert all(":Driver " in each for each in row[4:])


def test_what_was_uploaded_can_be_read_as_entries_again(small_slate: MakeSpec) -> None:
    first = run_job(job(small_slate, [], []))
    again = job(small_slate, entries_csv=upload_csv(json.dumps(first).encode()), swap="all")
    assert [ids_in(row) for row in rows_of(run_job(again))] == [ids_in(row) for row in rows_of(first)]


@pytest.mark.parametrize("objective", ["mean", "p90", "cover:230", "cover:320"])
def test_locked_players_stay_in_their_places_and_no_lineup_comes_twice(objective: str, small_slate: MakeSpec) -> None:
    lineups = [
        [cell(0), cell(3, locked=True), *[cell(n) for n in (1, 2, 4, 5)]],
        [cell(3, locked=True), *[cell(n) for n in (0, 1, 2, 4, 5)]],
        [],
        [cell(n) for n in (5, 4, 3, 2, 1, 0)],
    ]
    result = run_job(job(small_slate, *lineups, swap="all", objective=objective))
    rows = rows_of(result)
    assert cast("list[str]", rows[0]["ids"])[1] == cast("list[str]", rows[1]["ids"])[0] == "103"
    assert cast("list[str]", rows[0]["cells"])[1] == cell(3, locked=True)
    assert len({ids_in(row) for row in rows}) == len(rows) == 4
    assert part_of(result, "portfolio")["max_overlap"] == max(
        len(ids_in(one) & ids_in(other)) for one in rows for other in rows if one is not other
    )
    settled = cast("list[dict[str, object]]", result["convergence"])[-1]["best"]
    assert settled == pytest.approx(part_of(result, "portfolio")["objective"], abs=1e-6)


def test_that_nobody_reaches_a_line_is_said_only_where_it_is_so_of_all_entries(small_slate: MakeSpec) -> None:
    weak = [*[cell(number, locked=True) for number in (0, 3, 6, 9, 10)], ""]

    def notices(line: int) -> tuple[list[object], list[str]]:
        rules = {"salary_cap": 60_000}
        result = run_job(job(small_slate, weak, [], swap="all", objective=f"beat:{line}", constraints=rules))
        return [lineup["p_win"] for lineup in lineups_of(result)], cast("list[str]", result["notices"])

    (locked, free), told = notices(400)
    assert locked == 0 < cast("float", free)
    assert not any("No lineup reaches" in notice for notice in told)
    (locked, free), told = notices(1_000)
    assert (locked, free) == (0, 0)
    assert sum("No lineup reaches 1000 points" in notice for notice in told) == 1


def test_the_best_lineup_of_all_is_given_to_one_entry_only(small_slate: MakeSpec) -> None:
    (best,) = lineups_of(run_job(job(small_slate, [])))
    (one,) = cast("list[str]", best["ids"])[:1]
    held = [f"D ({one}) (LOCKED)", *[""] * 5]
    first, second = rows_of(run_job(job(small_slate, held, [])))
    assert ids_in(first) == set(cast("list[str]", best["ids"]))
    assert ids_in(second) != ids_in(first)


def test_players_whose_game_has_begun_are_in_no_entry_that_does_not_hold_them_already(small_slate: MakeSpec) -> None:
    held = [cell(n) for n in (7, 1, 2, 3, 4, 5)]
    result = run_job(job(small_slate, held, [], swap="all", started=["Driver 7", "Driver 8"]))
    first, second = map(ids_in, rows_of(result))
    assert "107" in first
    assert "108" not in first
    assert not {"107", "108"} & second


def test_an_entry_without_an_answer_is_left_as_it_was_and_does_not_stop_the_others(small_slate: MakeSpec) -> None:
    spec = small_slate(DRIVERS)
    dear = sorted(
        range(DRIVERS), key=lambda n: -cast("int", cast("list[dict[str, object]]", spec["drivers"])[n]["salary"])
    )
    hopeless = [*[cell(n, locked=True) for n in dear[:5]], ""]
    result = run_job(job(small_slate, [], hopeless, [], constraints={"salary_cap": 45_000}))
    assert [row["became"] for row in rows_of(result)] == ["filled", "left", "filled"]
    assert rows_of(result)[1]["cells"] == hopeless
    assert "No lineup keeps all constraints" in str(rows_of(result)[1]["why"])
    assert result["status"] == "fewer"
    assert str(part_of(result, "infeasible")["message"]).startswith("1 entry is as before (9002): No lineup keeps")


def test_only_when_no_entry_can_be_filled_the_job_fails(small_slate: MakeSpec) -> None:
    rules = {"groups": [{"ids": ["Driver 1"], "min": 1}, {"ids": ["Driver 1"], "max": 0}]}
    with pytest.raises(BadInput, match="No lineup keeps all constraints"):
        run_job(job(small_slate, [], [cell(2, locked=True), *[""] * 5], constraints=rules))


def test_an_entry_with_a_stranger_is_left_and_said(small_slate: MakeSpec) -> None:
    strange = ["Nobody (7)", *[cell(n) for n in range(5)]]
    result = run_job(job(small_slate, strange, []))
    assert [row["became"] for row in rows_of(result)] == ["left", "filled"]
    assert "The slate has no Nobody (7)." in str(part_of(result, "infeasible")["message"])
    assert uploaded(result)[1][4:] == strange


def test_shares_are_those_of_all_entries_not_of_those_with_the_same_locks(small_slate: MakeSpec) -> None:
    locked = [[cell(number, locked=True), *[""] * 5] for number in (0, 1, 2)]
    rules = {"salary_cap": 60_000, "exposure": {"Driver 9": [0.5, 0.5]}, "global_exposure_max": 0.9}
    result = run_job(job(small_slate, *locked, *[EMPTY] * 7, constraints=rules))
    assert [row["became"] for row in rows_of(result)] == ["changed"] * 3 + ["filled"] * 7
    assert sum("109" in ids_in(row) for row in rows_of(result)) == 5
    counts = [sum(str(100 + n) in ids_in(row) for row in rows_of(result)) for n in range(DRIVERS)]
    assert max(counts) <= 9


@pytest.mark.parametrize("objective", ["mean", "p90"])
def test_a_job_of_entries_is_the_same_whichever_way_it_is_cut_and_wherever_it_goes_on(
    objective: str, small_slate: MakeSpec
) -> None:
    lineups = [[cell(number, locked=True), *[""] * 5] for number in (0, 1)]
    spec = job(small_slate, *lineups, [], objective=objective, scenarios=2_048)
    whole = answer_of(run_job(spec))
    assert answer_of(run_job(spec, spans=backwards, through_bytes=True, runner=type(program)())) == whole  # pyright: ignore[reportCallIssue]


def test_entries_of_basketball_keep_who_is_locked_in_his_place() -> None:
    rows = [basketball_row(number) for number in range(60)]
    slate = "\n".join([",".join(rows[0]), *[",".join(row.values()) for row in rows]])
    titles = ("PG", "SG", "SF", "PF", "C", "G", "F", "UTIL")
    plain: dict[str, object] = {"slate_csv": slate, "scenarios": 1_024, "holdout": 1_000}
    (best,) = lineups_of(run_job({**plain, "lineup_count": 1}))
    guard, name = cast("list[str]", best["ids"])[0], cast("list[str]", best["names"])[0]
    held = [*[""] * 7, f"{name} ({guard}) (LOCKED)"]
    spec = {**plain, "entries_csv": entries_file("draftkings", titles, [held, []])}
    assert kind.validate(spec)["sport"] == "nba"
    first, second = rows_of(run_job(spec))
    assert cast("list[str]", first["ids"])[-1] == guard
    assert len(ids_in(first)) == len(ids_in(second)) == 8
    assert ids_in(first) != ids_in(second)


def test_a_kept_entry_with_a_captain_is_not_given_again() -> None:
    plain: dict[str, object] = {"slate_csv": salary_file(formula_one_rows(10)), "scenarios": 1_024, "holdout": 1_000}
    first, second = lineups_of(run_job({**plain, "lineup_count": 2}))
    names, ids = (cast("list[str]", first[each]) for each in ("names", "ids"))
    held = [f"{name} ({who})" for name, who in zip(names, ids, strict=True)]
    titles = ("CPT", *("D",) * 4, "CNSTR")
    kept, filled = rows_of(run_job({**plain, "entries_csv": entries_file("draftkings", titles, [held, []])}))
    assert kept["ids"] == first["ids"]
    assert filled["ids"] == second["ids"]


def test_a_plan_tells_which_entries_are_at_work(small_slate: MakeSpec) -> None:
    spec = job(small_slate, [cell(0, locked=True), *[""] * 5], [])
    # A job that was done before begins anew: a plan follows from the partials, not from what is remembered.
    run_job(spec)
    planned = program.plan(kind.validate(spec), ())
    assert not isinstance(planned, Done)
    assert planned.label.endswith("entries 1 of 2")
    assert 0 < planned.weight < 0.5
