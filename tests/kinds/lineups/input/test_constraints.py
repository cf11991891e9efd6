"""Rules are read under short and long names; rules that contradict each other are refused in one sentence."""

from collections.abc import Callable
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import kind
from meshd.kinds.lineups.input.contradictions import most_uses, uses
from meshd.kinds.lineups.input.players import Player

MakeSpec = Callable[[int], dict[str, object]]
MakeJob = Callable[..., dict[str, object]]


@pytest.fixture
def with_rules(small_slate: MakeSpec) -> MakeJob:
    """Return a maker of specs with rules over ten drivers, whose salaries let everything in."""

    def make(rules: dict[str, object], **change: object) -> dict[str, object]:
        slate = small_slate(10)
        for number, driver in enumerate(cast("list[dict[str, object]]", slate["drivers"])):
            driver["team"] = f"Team {number // 2}"
        return {**slate, "lineup_count": 4, "constraints": {"salary_cap": 60_000, **rules}, **change}

    return make


def constraints_of(spec: dict[str, object]) -> dict[str, object]:
    return cast("dict[str, object]", kind.validate(spec)["constraints"])


def drivers_of(spec: dict[str, object]) -> dict[str, dict[str, object]]:
    return {str(each["id"]): each for each in cast("list[dict[str, object]]", kind.validate(spec)["drivers"])}


def test_short_forms_become_the_drivers_own_marks(with_rules: MakeJob) -> None:
    rules = {"locked": ["Driver 1"], "excluded": ["102"], "withdrawn": [103], "exposure": {"driver  4": 0.5}}
    found = drivers_of(with_rules(rules))
    for who, mark in (("101", "locked"), ("102", "excluded"), ("103", "withdrawn")):
        assert found[who][mark] is True
    assert found["104"]["exposure"] == [0.0, 0.5]
    assert not set(rules) & set(constraints_of(with_rules(rules)))


def test_players_of_rules_are_named_by_id_or_name(with_rules: MakeJob) -> None:
    group = {"ids": ["Driver 3", 101, "driver 2"], "max": 2, "if": "Driver 4"}
    assert constraints_of(with_rules({"groups": [group]}))["groups"] == [
        {"ids": ["101", "102", "103"], "min": 0, "max": 2, "if": "104"}
    ]


@pytest.mark.parametrize(
    "written",
    [
        [["100", "101", "102", "103", "104", "105"]],
        [["Driver 5", "Driver 0", "Driver 1", "Driver 2", "Driver 3", "Driver 4"]],
        "D,D,D,D,D,D\r\n" + ",".join(f"Driver {n} ({100 + n})" for n in range(6)) + "\r\n",
        "\ufeff" + ",".join(str(100 + n) for n in range(6)) + "\n" + ",".join(str(100 + n) for n in range(6)),
        "Entry ID,Contest Name,D,D,D,D,D,D,,Instructions\n77,Big,"
        + ",".join(f"Driver {n} ({100 + n})" for n in range(6))
        + ",,1. Fill in\n,,,,,,,,,2. Send\n",
    ],
    ids=["ids", "names", "upload", "ids as text", "entries"],
)
def test_lineups_are_read_as_lists_or_as_files(written: object, with_rules: MakeJob) -> None:
    for name in ("exclude_lineups", "existing_lineups"):
        assert constraints_of(with_rules({name: written}))[name] == [[str(100 + n) for n in range(6)]]


def test_fanduel_lineups_are_read_as_they_are_uploaded(with_rules: MakeJob) -> None:
    file = "Driver,Driver,Driver,Driver,Driver\n" + ",".join(f"{100 + n}:Driver {n}" for n in range(5))
    spec = with_rules({"exclude_lineups": file}, site="fanduel")
    assert constraints_of(spec)["exclude_lineups"] == [[str(100 + n) for n in range(5)]]


@pytest.mark.parametrize(
    ("share", "lineups", "least", "most"), [(0.35, 150, 53, 52), (0.29, 100, 29, 29), (0.07, 100, 7, 7), (1.0, 3, 3, 3)]
)
def test_shares_are_counted_as_they_are_written(share: float, lineups: int, least: int, most: int) -> None:
    assert (uses(share, lineups, at_least=True), uses(share, lineups, at_least=False)) == (least, most)


SENSELESS: list[tuple[dict[str, object], str]] = [
    ({"salary_cap": 30_000}, "the 6 cheapest drivers cost .*, the cap is 30,000"),
    ({"salary_min": 60_000}, "the 6 dearest drivers cost .*, salary_min is 60,000"),
    ({"salary_min": 60_001}, r"salary_min \(60,001\) is above salary_cap \(60,000\)"),
    ({"salary_cap": 41_000, "locked": ["Driver 7"]}, "the locked drivers and the 5 cheapest others cost"),
    ({"salary_cap": "50000"}, "salary_cap is '50000', which is not a whole number"),
    ({"roster_size": 5}, "roster_size is 5; a lineup of draftkings has 6"),
    ({"max_overlap": -1}, "max_overlap is -1"),
    ({"maximum_overlap": 3}, "no field 'maximum_overlap' in constraints"),
    ({"locked": ["Driver 77"]}, "locked names 'Driver 77', who is not in the slate"),
    ({"locked": "Driver 7"}, "locked must be a list"),
    ({"locked": [f"Driver {n}" for n in range(7)]}, "7 drivers are locked; a lineup has 6"),
    ({"locked": ["Driver 1"], "excluded": ["Driver 1"]}, "Driver 1 is both locked and excluded"),
    ({"locked": ["Driver 1"], "withdrawn": ["Driver 1"]}, "Driver 1 is both locked and withdrawn"),
    ({"locked": ["Driver 1"], "exposure": {"Driver 1": [0, 0.5]}}, "Driver 1 is locked, and may be in 50%"),
    ({"excluded": ["Driver 1"], "exposure": {"Driver 1": [0.5, 1]}}, "excluded, and must be in at least 50%"),
    ({"excluded": [f"Driver {n}" for n in range(5)]}, "5 drivers to choose from; a lineup needs 6"),
    ({"exposure": {"Driver 1": [-0.2, 1]}}, "The exposure of Driver 1 is -0.2; it must be from 0 to 1"),
    ({"exposure": {"Driver 1": [0.9, 0.2]}}, "which contradict each other"),
    ({"exposure": {"Driver 1": "often"}}, "exposure must be a list"),
    ({"exposure": {f"Driver {n}": [1, 1] for n in range(7)}}, "add up to 28 places; 4 lineups have 24"),
    ({"global_exposure_max": 0.5}, "The most exposures leave 20 places; 4 lineups have 24 to fill"),
    ({"global_exposure_max": -0.1}, "global_exposure_max is -0.1"),
    ({"global_exposure_min": 0.5, "global_exposure_max": 0.4}, "is above global_exposure_max"),
    ({"global_exposure_min": 0.7}, "add up to 30 places"),
    ({"exposure": {"Driver 1": [0.3, 0.4]}}, "must be in at least 2 of 4 lineups, and may be in 1 at most"),
    ({"groups": [5]}, "groups, entry 1 must be an object"),
    ({"groups": [{"ids": [], "max": 1}]}, "Group 1 has no players"),
    ({"groups": [{"ids": ["Driver 1"]}]}, "Group 1 has neither min nor max"),
    ({"groups": [{"ids": ["Nobody"], "max": 1}]}, "group 1 names 'Nobody'"),
    ({"groups": [{"ids": ["Driver 1"], "max": 1, "when": 1}]}, "no field 'when' in group 1"),
    ({"groups": [{"ids": ["Driver 1"], "min": 2, "max": 1}]}, "contradict each other"),
    ({"groups": [{"ids": ["Driver 1"], "min": 2}]}, "wants at least 2 of its players; 1 of them can be chosen"),
    (
        {"groups": [{"ids": ["Driver 1", "Driver 2"], "max": 1}], "locked": ["Driver 1", "Driver 2"]},
        "wants at most 1 of its players; 2 of them are locked",
    ),
    ({"max_from_team": 0}, "max_from_team is 0"),
    ({"min_from_team": 3}, "min_from_team is 3; no team has more than 2"),
    ({"min_from_team": 2, "max_from_team": 1}, r"min_from_team \(2\) is above max_from_team \(1\)"),
    ({"exclude_lineups": [["Driver 1"]]}, "Lineup 1 of exclude_lineups has 1 players; it needs 6"),
    ({"exclude_lineups": [["Nobody"] * 6]}, "exclude_lineups names 'Nobody'"),
    ({"existing_lineups": [[1.5] * 6]}, "existing_lineups names '1.5'"),
    ({"existing_lineups": 5}, "existing_lineups must be a list"),
    ({"existing_lineups": [["Driver 1"]] * 1_001}, "has 1,001 entries; at most 1,000"),
]


@pytest.mark.parametrize(("rules", "message"), SENSELESS)
def test_rules_that_make_no_sense_are_refused_in_a_sentence(
    rules: dict[str, object], message: str, with_rules: MakeJob
) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        kind.validate(with_rules(rules))
    assert refused.value.field
    assert refused.value.hint
    assert "\n" not in refused.value.message


def test_a_name_that_is_nearly_right_is_offered(with_rules: MakeJob) -> None:
    with pytest.raises(BadInput, match="locked names 'Drivr 7', who is not in the slate") as refused:
        kind.validate(with_rules({"locked": ["Drivr 7"]}))
    assert refused.value.hint == "Did you mean Driver 7?"


def test_rules_about_teams_need_teams(small_slate: MakeSpec) -> None:
    with pytest.raises(BadInput, match="needs teams, and no driver has one"):
        kind.validate({**small_slate(10), "constraints": {"max_from_team": 2, "salary_cap": 60_000}})


def test_a_lock_is_stronger_than_the_bound_for_everybody(with_rules: MakeJob) -> None:
    rules = constraints_of(with_rules({"global_exposure_max": 0.75}))
    assert [most_uses(Player("1", "A", 0, locked=locked), rules, 4) for locked in (True, False)] == [4, 3]
