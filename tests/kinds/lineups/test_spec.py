"""A spec is filled in once and for all, or refused in one clear sentence."""

import json
from collections.abc import Callable
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import kind, sample_slate

MakeSpec = Callable[[int], dict[str, object]]


def drivers_of(spec: dict[str, object]) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", spec["drivers"])


def test_every_default_is_filled_in() -> None:
    resolved = kind.validate({"slate_csv": sample_slate()})
    assert len(drivers_of(resolved)) == 38
    assert drivers_of(resolved)[0] == {
        "id": "90410001",
        "name": "Avery Fairbanks",
        "salary": 11_200,
        "avg_points": 43.85,
    }
    assert {name: value for name, value in resolved.items() if name != "drivers"} == {
        "site": "draftkings",
        "slate": "Harbor City 400",
        "lineup_count": 20,
        "scenarios": 10_000,
        "objective": "mean",
        "seed": 1,
        "salary_cap": 50_000,
        "salary_min": 0,
        "roster_size": 6,
        "laps": 267,
        "grid": None,
    }


def test_resolving_again_changes_nothing_even_after_json(small_slate: MakeSpec) -> None:
    grid = {str(100 + number): number + 1 for number in range(8)}
    for spec in ({"slate_csv": sample_slate()}, {**small_slate(8), "grid": grid, "salary_cap": 60_000}):
        resolved = kind.validate(spec)
        assert kind.validate(json.loads(json.dumps(resolved))) == resolved


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lineups": 5}, "no field 'lineups'"),
        ({"lineup_count": 0}, "lineup_count is 0; it must be from 1 to 1,000"),
        ({"lineup_count": 1_001}, "lineup_count is 1,001"),
        ({"lineup_count": "20"}, "lineup_count is '20', which is not a whole number"),
        ({"lineup_count": 20.0}, "lineup_count is 20.0, which is not"),
        ({"lineup_count": True}, "lineup_count is True, which is not"),
        ({"lineup_count": 29}, "29 lineups were asked for; 8 drivers make only 28"),
        ({"scenarios": -1}, "scenarios is -1; it must be"),
        ({"scenarios": 5_000_001}, "scenarios is 5,000,001"),
        ({"scenarios": 999, "objective": "p90"}, "999 scenarios are too few to rank lineups by p90"),
        ({"objective": "median"}, "objective 'median' is unknown"),
        ({"objective": ["mean"]}, "objective .* is unknown"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**53}, "seed is 9,007,199,254,740,992"),
        ({"salary_cap": 30_000}, "the six cheapest drivers cost 41,900, the cap is 30,000"),
        ({"salary_min": 199_999, "salary_cap": 200_000}, "the six dearest drivers cost .*, salary_min is 199,999"),
        ({"salary_min": 60_001}, r"salary_min \(60,001\) is above salary_cap \(60,000\)"),
        ({"roster_size": 5}, "roster_size is 5; a DraftKings NASCAR lineup has six"),
        ({"laps": 0}, "laps is 0"),
        ({"laps": 601}, "laps is 601"),
        ({"site": "fanduel"}, "site 'fanduel' is not supported"),
        ({"slate": 5}, "slate must be a text"),
        ({"slate": "x" * 101}, "slate must be a text"),
        ({"slate_csv": "x"}, "either slate_csv or drivers, not both"),
        ({"drivers": None}, "either slate_csv or drivers"),
        ({"drivers": {}}, "drivers must be a list"),
        ({"drivers": [5]}, "Driver 1 is not an object"),
        ({"drivers": None, "slate_csv": 5}, "slate_csv must be the text"),
        ({"grid": 5}, "grid must be an object"),
        ({"grid": {"100": 1}}, "The grid lacks 7 of 8 drivers: Driver 1, Driver 2, Driver 3, …"),
        ({"grid": {"Nobody": 1}}, "The grid names 'Nobody', who is not in the slate"),
        ({"grid": {"100": 1, "Driver 0": 2}}, "The grid names 'Driver 0' twice"),
        ({"grid": {str(100 + n): 1 for n in range(8)}}, "8 drivers start 1"),
        ({"grid": {"100": "1"}}, "position of 100 is '1'"),
        ({"grid": "name,position\nDriver 0,first"}, "line 'Driver 0,first' is not a name and a position"),
    ],
)
def test_a_senseless_spec_is_refused_with_a_sentence_and_a_hint(
    change: dict[str, object], message: str, small_slate: MakeSpec
) -> None:
    spec = {**small_slate(8), "salary_cap": 60_000, **change}
    with pytest.raises(BadInput, match=message) as refused:
        kind.validate(spec)
    assert refused.value.hint
    assert refused.value.field


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "Driver 3 has no id"),
        ({"id": True}, "Driver 3 has no id"),
        ({"name": " "}, "Driver 3 has no name"),
        ({"salary": "7000"}, "The salary of Driver 2 is '7000', which is not a whole number"),
        ({"salary": -100}, "The salary of Driver 2 is -100"),
        ({"avg_points": "30"}, "avg_points of Driver 2 are '30'"),
        ({"avg_points": float("nan")}, "avg_points of Driver 2 are nan"),
        ({"avg_points": 5_000}, "figures of Driver 2 are out of range"),
        ({"team": "A"}, "no field 'team' in driver 3"),
        ({"id": "100"}, r"Driver 0 is listed 2 times \(same id\)"),
        ({"name": "driver  0"}, r"Driver 0 is listed 2 times \(same name\)"),
        ({"start_position": 1}, "The grid lacks 7 of 8 drivers"),
        ({"start_position": 0}, "start_position of Driver 2 is 0"),
    ],
)
def test_a_senseless_driver_is_refused_by_name(change: dict[str, object], message: str, small_slate: MakeSpec) -> None:
    spec = {**small_slate(8), "salary_cap": 60_000}
    drivers_of(spec)[2].update(change)
    with pytest.raises(BadInput, match=message) as refused:
        kind.validate(spec)
    assert refused.value.hint


def test_a_mistyped_field_is_told_its_name(small_slate: MakeSpec) -> None:
    with pytest.raises(BadInput) as refused:
        kind.validate({**small_slate(8), "scenario": 5})
    assert refused.value.hint == "Did you mean scenarios?"


def test_too_few_and_too_many_drivers_are_refused(small_slate: MakeSpec) -> None:
    with pytest.raises(BadInput, match="5 drivers; a lineup needs 6"):
        kind.validate(small_slate(5))
    with pytest.raises(BadInput, match="49 drivers; at most 48"):
        kind.validate(small_slate(49))


def test_a_duplicate_row_in_a_file_is_refused() -> None:
    text = sample_slate()
    with pytest.raises(BadInput, match=r"Miles .* is listed 2 times"):
        kind.validate({"slate_csv": text + text.splitlines()[-1]})


def test_a_grid_may_come_as_names_ids_csv_or_with_the_drivers(small_slate: MakeSpec) -> None:
    spec = {**small_slate(8), "salary_cap": 60_000}
    expected = {str(100 + number): 8 - number for number in range(8)}
    csv_text = "Driver,Start\r\n" + "".join(f"driver {number},{8 - number}\r\n" for number in range(8))
    given: list[object] = [
        expected,
        {f"Driver {number}": 8 - number for number in range(8)},
        csv_text,
        "\ufeff" + csv_text.split("\r\n", 1)[1],
    ]
    for grid in given:
        assert kind.validate({**spec, "grid": grid})["grid"] == expected
    for number, driver in enumerate(drivers_of(spec)):
        driver["start_position"] = 8 - number
    assert kind.validate(spec)["grid"] == expected
    with pytest.raises(BadInput, match="given twice"):
        kind.validate({**spec, "grid": expected})


def test_numeric_ids_become_text(small_slate: MakeSpec) -> None:
    spec = small_slate(8)
    drivers_of(spec)[0]["id"] = 77
    assert drivers_of(kind.validate({**spec, "salary_cap": 60_000}))[0]["id"] == "77"


def test_a_percentile_costs_what_a_full_pass_does_and_a_mean_far_less() -> None:
    mean, p90 = (kind.cost(kind.validate({"slate_csv": sample_slate(), "objective": name})) for name in ("mean", "p90"))
    assert mean is not None
    assert p90 is not None
    elements = 2_760_681 * 10_000
    assert elements < p90 < 2.2 * elements
    assert mean < p90 / 4


def test_a_job_is_named_after_its_slate(small_slate: MakeSpec) -> None:
    assert kind.default_name(kind.validate({"slate_csv": sample_slate()})) == "20 lineups, Harbor City 400"
    resolved = kind.validate({**small_slate(8), "lineup_count": 1, "salary_cap": 60_000})
    assert kind.default_name(resolved) == "1 lineup"
