"""Entries files are read as the sites write them, and decide how many lineups a job makes."""

from collections.abc import Callable
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import kind, sample_slate
from meshd.kinds.lineups.input.entries import has_entries, read_entries
from meshd.kinds.lineups.input.players import Player
from tests.support.entry_files import entries_file

MakeSpec = Callable[[int], dict[str, object]]

PLAYERS = [Player(str(100 + number), f"Driver {number}", 5_000) for number in range(8)]
D = ("D",) * 6
FILLED = [f"Driver {number} ({100 + number})" for number in range(6)]


def spec_of(small_slate: MakeSpec, *lineups: list[str], **change: object) -> dict[str, object]:
    rules = {"salary_cap": 60_000, **cast("dict[str, object]", change.pop("constraints", {}))}
    file = entries_file("draftkings", D, lineups)
    return {**small_slate(10), "entries_csv": file, "constraints": rules, **change}


def rows_of(resolved: dict[str, object]) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", cast("dict[str, object]", resolved["entries"])["rows"])


def test_entries_of_draftkings_are_read_with_their_contests_and_locked_places() -> None:
    text = entries_file("draftkings", D, [["Driver 1 (101) (LOCKED)", *FILLED[2:6], ""], []])
    first, second = read_entries(text, PLAYERS, D, frozenset()).entries
    assert (first.id, first.contest, first.contest_id, first.fee) == (
        "9001", "Big, bold contest [20 Entry Max]", "150", "$5",
    )  # fmt: skip
    assert [place.id for place in first.places] == ["101", "102", "103", "104", "105", ""]
    assert first.locked == (0,)
    assert second.locked == ()
    assert not any(place.text for place in second.places)


def test_entries_of_fanduel_are_read_with_their_contests() -> None:
    titles = ("Driver",) * 5
    text = entries_file("fanduel", titles, [[f"{100 + number}:Driver {number}" for number in range(5)]])
    (entry,) = read_entries("\ufeff" + text, PLAYERS, titles, frozenset({"103"})).entries
    assert (entry.contest_id, entry.contest) == ("150", "Big contest")
    assert [place.id for place in entry.places] == ["100", "101", "102", "103", "104"]
    assert entry.locked == (3,)


def test_an_entries_file_is_told_from_a_salary_file() -> None:
    assert has_entries(entries_file("draftkings", D, [[]]))
    assert has_entries('"entry_id","contest_id","contest_name","entry_fee","Driver"\n')
    assert not has_entries(sample_slate())


def test_entries_that_lack_a_player_or_hold_one_who_is_out_are_filled_and_the_others_kept(
    small_slate: MakeSpec,
) -> None:
    part = [*FILLED[:5], ""]
    out = [*FILLED[:5], "Driver 9 (109)"]
    spec = spec_of(small_slate, FILLED, [], part, out, constraints={"withdrawn": ["Driver 9"]})
    resolved = kind.validate(spec)
    assert resolved["lineup_count"] == 3
    constraints = cast("dict[str, object]", resolved["constraints"])
    assert constraints["existing_lineups"] == [[str(100 + number) for number in range(6)]]


def test_all_free_places_are_chosen_anew_where_that_is_asked_for(small_slate: MakeSpec) -> None:
    locked = [f"{cell} (LOCKED)" for cell in FILLED]
    spec = spec_of(small_slate, FILLED, locked, FILLED[::-1], swap="all")
    assert kind.validate(spec)["lineup_count"] == 2


def test_a_spec_with_entries_is_resolved_once_and_for_all(small_slate: MakeSpec) -> None:
    resolved = kind.validate(spec_of(small_slate, FILLED, [], swap="all", started=["Driver 3"]))
    assert kind.validate(resolved) == resolved
    assert cast("dict[str, object]", resolved["entries"])["started"] == ["103"]
    places = cast("list[dict[str, object]]", rows_of(resolved)[0]["places"])
    assert [at for at, place in enumerate(places) if place["locked"]] == [3]


def test_a_file_with_entries_and_players_is_slate_and_entries_in_one() -> None:
    titles, *players = sample_slate().splitlines()
    right = "," * 12
    head = ",".join(["Entry ID", "Contest Name", "Contest ID", "Entry Fee", *D, "", "Instructions"])
    entries = "9001,Contest,150,$5,,,,,,,,Do this\n9002,Contest,150,$5,,,,,,,,And this\n"
    file = f"{head}\n{entries}{right}{titles}\n" + "\n".join(f"{right}{line}" for line in players)
    resolved = kind.validate({"slate_csv": file})
    assert resolved["lineup_count"] == 2
    assert len(cast("list[object]", resolved["drivers"])) == 38
    assert kind.validate({"slate_csv": file, "lineup_count": 7})["lineup_count"] == 7


def test_players_whose_game_the_salary_file_says_to_have_begun_are_locked() -> None:
    lines = ["Position,Name + ID,Name,ID,Roster Position,Salary,Game Info,TeamAbbrev,AvgPointsPerGame"]
    for number in range(24):
        info = "In Progress" if number % 4 == 0 else "BOS@CHI 11/12/2019 09:00PM ET"
        lines.append(
            f"{('PG', 'SG', 'SF', 'PF', 'C')[number % 5]},x,P {number},{number},UTIL,5000,{info},T{number % 4},20"
        )
    titles = ("PG", "SG", "SF", "PF", "C", "G", "F", "UTIL")
    entries = entries_file("draftkings", titles, [["P 0 (0)", "", "", "", "P 4 (4)", "", "", ""]])
    (row,) = rows_of(kind.validate({"slate_csv": "\n".join(lines), "entries_csv": entries}))
    places = cast("list[dict[str, object]]", row["places"])
    assert [at for at, place in enumerate(places) if place["locked"]] == [0, 4]


EMPTY: list[str] = []

SENSELESS: list[tuple[list[list[str]], dict[str, object], str]] = [
    ([FILLED], {}, "Nothing is to be done: none of the 1 entries"),
    ([EMPTY, EMPTY], {"lineup_count": 5}, "5 lineups are asked for, and 2 entries are to be filled"),
    ([EMPTY], {"swap": "some"}, "swap is 'some'; it is one of broken, all"),
    ([EMPTY], {"started": ["Nobody"]}, "started names 'Nobody'"),
    ([EMPTY], {"constraints": {"existing_lineups": []}}, "and so does existing_lineups"),
    ([], {}, "no entries"),
    ([EMPTY], {"entries_csv": "Position,Name\nD,A"}, "no line with the column titles Entry ID"),
    ([EMPTY], {"entries_csv": 5}, "entries_csv must be the text of a file"),
    ([EMPTY], {"entries_csv": entries_file("draftkings", ("G",) * 6, [EMPTY])}, "are of lineups of G, G"),
    (
        [EMPTY],
        {"entries_csv": entries_file("draftkings", D[:5], [EMPTY])},
        "those of the slate are of D, D, D, D, D, D",
    ),
    ([EMPTY], {"entries": {"rows": "x"}}, "The entries cannot be read"),
    ([EMPTY], {"entries": {"rows": [], "swap": "broken", "titles": []}}, "of another slate"),
]


def test_an_executor_is_sent_as_many_entries_as_lineups(small_slate: MakeSpec) -> None:
    resolved = kind.validate(spec_of(small_slate, [], []))
    with pytest.raises(BadInput, match="not as many as the lineups"):
        kind.validate({**resolved, "lineup_count": 1})


def test_an_entry_that_has_one_player_locked_twice_is_left_alone(small_slate: MakeSpec) -> None:
    twice = ["Driver 1 (101) (LOCKED)"] * 2 + [""] * 4
    assert kind.validate(spec_of(small_slate, twice, []))["lineup_count"] == 1


@pytest.mark.parametrize(("lineups", "change", "message"), SENSELESS)
def test_entries_that_make_no_sense_are_refused_in_a_sentence(
    lineups: list[list[str]], change: dict[str, object], message: str, small_slate: MakeSpec
) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        kind.validate(spec_of(small_slate, *lineups, **change))
    assert refused.value.field
    assert refused.value.hint
