"""A spec is filled in once and for all, or refused in one clear sentence."""

import json
from collections.abc import Callable
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import kind, sample_slate
from meshd.kinds.lineups.scenarios.tracks import PRESETS, track_fields
from tests.support.job_memory import least_mb

MakeSpec = Callable[[int], dict[str, object]]


def drivers_of(spec: dict[str, object]) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", spec["drivers"])


def roomy(spec: dict[str, object], **change: object) -> dict[str, object]:
    """Return a spec in which every lineup fits, with changes; those of the constraints are added to its own."""
    constraints = {"salary_cap": 60_000, **cast("dict[str, object]", change.pop("constraints", {}))}
    return {**spec, "lineup_count": 5, "constraints": constraints, **change}


def test_every_default_is_filled_in() -> None:
    resolved = kind.validate({"slate_csv": sample_slate()})
    assert len(drivers_of(resolved)) == 38
    assert drivers_of(resolved)[0] == {
        "id": "90410001",
        "name": "Avery Fairbanks",
        "salary": 11_200,
        "avg_points": 43.85,
        "team": "",
        "manufacturer": "",
        "start_position": None,
        "mean": None,
        "sd": None,
        "skill": None,
        "ownership": None,
        "locked": False,
        "excluded": False,
        "withdrawn": False,
        "exposure": [0.0, 1.0],
    }
    assert {name: value for name, value in resolved.items() if name not in {"drivers", "model"}} == {
        "sport": "nascar",
        "site": "draftkings",
        "slate": "Harbor City 400",
        "race_id": "",
        "form": "full",
        "lineup_count": 20,
        "scenarios": 100_000,
        "holdout": 20_000,
        "objective": {"kind": "mean"},
        "randomness": 0.0,
        "seed": 1,
        "limits": {"memory_mb": None},
        "notices": [],
        "constraints": {
            "salary_cap": 50_000,
            "salary_min": 0,
            "roster_size": 6,
            "max_overlap": None,
            "global_exposure_min": 0.0,
            "global_exposure_max": 1.0,
            "groups": [],
            "max_from_team": None,
            "min_from_team": None,
            "exclude_lineups": [],
            "existing_lineups": [],
        },
    }


def test_a_resolved_spec_holds_every_number_of_its_track(small_slate: MakeSpec) -> None:
    model = cast(
        "dict[str, object]", kind.validate(roomy(small_slate(8), model={"preset": "short", "laps": 500}))["model"]
    )
    expected = track_fields(PRESETS["short"])
    assert model.keys() == expected.keys()
    assert {**model, "out": tuple(cast("list[float]", model["out"]))} == {**expected, "laps": 500}


def test_resolving_again_changes_nothing_even_after_json(small_slate: MakeSpec) -> None:
    grid = {str(100 + number): number + 1 for number in range(8)}
    rules: dict[str, object] = {
        "locked": ["Driver 1"],
        "withdrawn": ["105"],
        "exposure": {"Driver 2": [0.1, 0.5]},
        "groups": [{"ids": ["Driver 3", "Driver 4"], "max": 1, "if": "Driver 2"}],
        "existing_lineups": [["100", "101", "102", "103", "104", "105"]],
        "exclude_lineups": [["100", "101", "102", "103", "104", "106"]],
    }
    plain = {"drivers": [{"driver_id": n, "name": f"D {n}", "salary": 5_000} for n in range(8)], "num_lineups": 2}
    for spec in (
        {"slate_csv": sample_slate(), "objective": "cover:2%"},
        roomy(small_slate(8), grid=grid, objective="p99", constraints=rules, lineup_count=3, randomness=1.5),
        plain,
    ):
        resolved = kind.validate(spec)
        assert kind.validate(json.loads(json.dumps(resolved))) == resolved


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lineups": 5}, "no field 'lineups'"),
        ({"lineup_count": 0}, "lineup_count is 0; it must be from 1 to 1,000"),
        ({"lineup_count": 1_001}, "lineup_count is 1,001"),
        ({"lineup_count": "20"}, "lineup_count is '20', which is not a whole number"),
        ({"lineup_count": 20.5}, "lineup_count is 20.5, which is not"),
        ({"lineup_count": True}, "lineup_count is True, which is not"),
        ({"lineup_count": 29}, "29 lineups were asked for; 8 drivers make only 28"),
        ({"scenarios": -1}, "scenarios is -1; it must be"),
        ({"scenarios": 5_000_001}, "scenarios is 5,000,001"),
        ({"iterations": 0}, "scenarios is 0"),
        ({"iterations": 5, "scenarios": 6}, "no field 'iterations'"),
        ({"scenarios": 999, "objective": "p90"}, "999 scenarios are too few"),
        ({"scenarios": 5_000, "objective": "p99.9"}, "5,000 scenarios are too few to rank lineups by p99.9"),
        ({"holdout": 10}, "holdout is 10; it must be from 1,000"),
        ({"objective": "median"}, "objective 'median' is unknown"),
        ({"objective": ["mean"]}, "objective must be an object"),
        ({"objective": {"kind": "mean", "q": 0.5}}, "no field 'q' in objective"),
        ({"objective": {"kind": "quantile", "q": 1.5}}, "quantile q is 1.5"),
        ({"objective": "p_beat"}, "needs a threshold"),
        ({"objective": {"kind": "portfolio_cover", "threshold": 5, "field": {}}}, "both a threshold and a field"),
        ({"objective": {"kind": "p_top_field", "field": {"size": 99_999}}}, "field's size is 99,999"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**53}, "seed is 9,007,199,254,740,992"),
        ({"randomness": -1}, "randomness is -1"),
        ({"randomness": float("nan")}, "randomness is nan, which is not a number"),
        ({"model": {"laps": 0}}, "model.laps"),
        ({"model": {"preset": "oval"}}, "track type 'oval' is unknown"),
        ({"sport": "curling"}, "sport 'curling' is unknown"),
        ({"site": "yahoo"}, "site 'yahoo' is unknown"),
        ({"slate": 5}, "slate must be a text"),
        ({"slate": "x" * 101}, "slate must be a text"),
        ({"slate_csv": "x"}, "is not a salary file"),
        ({"slate_csv": sample_slate()}, "either slate_csv or drivers, not both"),
        ({"drivers": None}, "either slate_csv or drivers"),
        ({"drivers": {}}, "drivers must be a list"),
        ({"drivers": [5]}, "Driver 1 is not an object"),
        ({"drivers": None, "slate_csv": 5}, "slate_csv must be the text"),
        (
            {"drivers": None, "slate_csv": sample_slate(), "site": "fanduel"},
            "a file of DraftKings, and the site is said",
        ),
        ({"projections_csv": 5}, "projections_csv must be the text"),
        ({"form": "odd"}, "form 'odd' is unknown"),
        ({"limits": 5}, "limits must be an object"),
        ({"limits": {"memory": 5}}, "no field 'memory' in limits"),
        ({"limits": {"memory_mb": "2 GB"}}, "memory_mb is '2 GB', which is not a whole number"),
        ({"limits": {"memory_mb": 100}}, "The job takes at least 421 MB of memory; its limit is 100"),
        ({"constraints": []}, "constraints must be an object"),
        ({"constraints": {"stacks": [{"of": ["QB"], "min": 2}]}}, "Drivers have no positions to stack"),
        ({"grid": 5}, "grid must be an object"),
        ({"grid": {"100": 1}}, "The grid lacks 7 of 8 drivers: Driver 1, Driver 2, Driver 3, …"),
        ({"grid": {"Nobody": 1}}, "grid names 'Nobody', who is not in the slate"),
        ({"grid": {"100": 1, "Driver 0": 2}}, "The grid names 'Driver 0' twice"),
        ({"grid": {str(100 + n): 1 for n in range(8)}}, "8 drivers start 1"),
        ({"grid": {"100": "1"}}, "position of 100 is '1'"),
        ({"grid": "name,position\nDriver 0,first"}, "line 'Driver 0,first' is not a name and a position"),
    ],
)
def test_a_senseless_spec_is_refused_with_a_sentence_and_a_hint(
    change: dict[str, object], message: str, small_slate: MakeSpec
) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        kind.validate({**roomy(small_slate(8)), **change})
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
        ({"salary": None}, "The salary of Driver 2 is None"),
        ({"avg_points": "30"}, "avg_points of Driver 2 is '30'"),
        ({"avg_points": float("nan")}, "avg_points of Driver 2 is nan"),
        ({"avg_points": 5_000}, "avg_points of Driver 2 is 5000"),
        ({"mean": float("nan")}, "The mean of Driver 2 is nan, which is not a number"),
        ({"mean": float("inf")}, "The mean of Driver 2 is inf"),
        ({"sd": -1}, "The sd of Driver 2 is -1"),
        ({"ownership": 20}, "The ownership of Driver 2 is 20; it must be from 0 to 1"),
        ({"exposure": [-0.1, 1]}, "The exposure of Driver 2 is -0.1; it must be from 0 to 1"),
        ({"exposure": [0.5, 0.2]}, "at least 0.5 and at most 0.2, which contradict each other"),
        ({"exposure": [0.5]}, "is not two shares"),
        ({"locked": 1}, "locked of Driver 2 is 1, not true or false"),
        ({"colour": "red"}, "no field 'colour' in driver 3"),
        ({"id": "100"}, r"Driver 0 is listed twice \(same id\)"),
        ({"name": "driver  0"}, r"Driver 0 is listed twice \(same name\)"),
        ({"start_position": 1}, "The grid lacks 7 of 8 drivers"),
        ({"start_position": 0}, "start_position of Driver 2 is 0"),
    ],
)
def test_a_senseless_driver_is_refused_by_name(change: dict[str, object], message: str, small_slate: MakeSpec) -> None:
    spec = roomy(small_slate(8))
    drivers_of(spec)[2].update(change)
    with pytest.raises(BadInput, match=message) as refused:
        kind.validate(spec)
    assert refused.value.hint


def test_a_mistyped_field_is_told_its_name(small_slate: MakeSpec) -> None:
    with pytest.raises(BadInput) as refused:
        kind.validate({**small_slate(8), "scenario": 5})
    assert refused.value.hint == "Did you mean scenarios?"


def test_too_few_and_too_many_drivers_are_refused(small_slate: MakeSpec) -> None:
    with pytest.raises(BadInput, match="5 drivers to choose from; a lineup needs 6"):
        kind.validate(small_slate(5))
    with pytest.raises(BadInput, match="49 drivers; at most 48"):
        kind.validate(small_slate(49))


def test_ten_thousand_players_are_refused_by_their_number() -> None:
    head, line, *_ = sample_slate().splitlines()
    many = [line.replace("90410001", str(n)).replace("Avery", f"A{n}") for n in range(10_000)]
    with pytest.raises(BadInput, match="10,000 drivers; at most 48 are enumerated"):
        kind.validate({"slate_csv": "\n".join([head, *many])})


def test_numeric_ids_become_text(small_slate: MakeSpec) -> None:
    spec = roomy(small_slate(8))
    drivers_of(spec)[0]["id"] = 77
    assert drivers_of(kind.validate(spec))[0]["id"] == "77"


def test_a_line_that_is_there_twice_counts_once_and_is_said() -> None:
    text = sample_slate()
    resolved = kind.validate({"slate_csv": text + text.splitlines()[-1]})
    assert len(drivers_of(resolved)) == 38
    (notice,) = cast("list[str]", resolved["notices"])
    assert notice.endswith(" is listed more than once, and counts once.")


def test_a_driver_with_two_salaries_is_refused_with_both() -> None:
    text = sample_slate()
    with pytest.raises(BadInput, match=r"listed twice \(same id\): .* for 11,200 and .* for 9,900"):
        kind.validate({"slate_csv": text + text.splitlines()[1].replace("11200", "9900")})


def test_a_percentile_costs_what_a_full_pass_does_and_a_mean_far_less() -> None:
    mean, p90 = (kind.cost(kind.validate({"slate_csv": sample_slate(), "objective": name})) for name in ("mean", "p90"))
    assert mean is not None
    assert p90 is not None
    elements = 2_760_681 * 100_000
    assert elements < p90 < 2.2 * elements
    assert mean < p90 / 4


def test_a_lock_makes_a_job_cheaper(small_slate: MakeSpec) -> None:
    free, locked = (
        kind.cost(kind.validate(roomy(small_slate(30), objective="p90", constraints=rules)))
        for rules in ({}, {"locked": ["Driver 3"], "excluded": ["Driver 4"]})
    )
    assert free is not None
    assert locked is not None
    assert locked < free


def test_a_job_is_named_after_its_slate_or_race(small_slate: MakeSpec) -> None:
    assert kind.default_name(kind.validate({"slate_csv": sample_slate()})) == "20 lineups, Harbor City 400"
    resolved = kind.validate({**roomy(small_slate(8)), "lineup_count": 1})
    assert kind.default_name(resolved) == "1 lineup"
    assert kind.default_name({**resolved, "race_id": "2026-07"}) == "1 lineup, 2026-07"


def test_a_larger_slate_and_a_harder_objective_need_more_memory(small_slate: MakeSpec) -> None:
    def least(drivers: int, objective: str) -> int:
        return least_mb({**small_slate(drivers), "objective": objective})

    needed = [least(20, "mean"), least(40, "mean"), least(40, "p90"), least(40, "cover:3%"), least(40, "emax")]
    assert needed == sorted(set(needed))
    assert kind.validate({**small_slate(40), "limits": {"memory_mb": needed[1]}})["limits"] == {"memory_mb": needed[1]}
