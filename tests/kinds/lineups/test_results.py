"""What a result tells beside its lineups: fresh races, what conflicts, what was handled, and other programs' form."""

import json
from collections.abc import Callable
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import kind, sample_slate
from meshd.kinds.lineups.upload import upload_csv
from meshd_protocol.limits import MAX_DOCUMENT_BYTES
from tests.support.lineups_job import lineups_of, part_of, run_job

MakeSpec = Callable[[int], dict[str, object]]


def job(small_slate: MakeSpec, drivers: int = 11, **change: object) -> dict[str, object]:
    rules = {"salary_cap": 52_000, **cast("dict[str, object]", change.pop("constraints", {}))}
    plain = {"scenarios": 1_024, "holdout": 1_000, "lineup_count": 6, "constraints": rules}
    return {**small_slate(drivers), **plain, **change}


def ids_of(lineup: dict[str, object]) -> set[str]:
    return set(cast("list[str]", lineup["ids"]))


# Fresh races


@pytest.mark.parametrize("objective", ["mean", "p90", "beat:1%", "cover:1%", "emax"])
def test_what_chose_itself_does_not_do_as_well_in_fresh_races(objective: str) -> None:
    spec: dict[str, object] = {
        "slate_csv": sample_slate(),
        "objective": objective,
        "scenarios": 1_024,
        "holdout": 20_000,
        "lineup_count": 3,
        "constraints": {"salary_min": 49_500},
    }
    portfolio = part_of(run_job(spec), "portfolio")
    chosen, fresh = (cast("float", portfolio[name]) for name in ("objective", "holdout_objective"))
    assert fresh + cast("float", portfolio["holdout_objective_se"]) < chosen
    assert portfolio["holdout_races"] == 20_000


def test_every_figure_has_a_standard_error() -> None:
    spec: dict[str, object] = {"slate_csv": sample_slate(), "objective": "beat:240", "scenarios": 1_024}
    for lineup in lineups_of(run_job({**spec, "constraints": {"salary_min": 49_500}, "lineup_count": 3})):
        for told in (lineup, part_of(lineup, "holdout")):
            assert set(part_of(told, "se")) == {"mean", "p90", "p_win"}
            assert all(cast("float", error) > 0 for error in part_of(told, "se").values())


@pytest.mark.parametrize("randomness", [0, 3])
@pytest.mark.parametrize("objective", ["mean", "p90", "beat:320", "beat:3%", "cover:330", "cover:3%", "emax"])
def test_every_result_tells_how_its_objective_settles_and_how_sure_it_is(
    objective: str, randomness: int, small_slate: MakeSpec
) -> None:
    result = run_job(job(small_slate, objective=objective, scenarios=4_000, randomness=randomness))
    told = cast("list[dict[str, float]]", result["convergence"])
    assert [each["scenarios"] for each in told] == [1_000, 2_000, 4_000]
    assert all(each["se"] > 0 for each in told)
    portfolio = part_of(result, "portfolio")
    assert (told[-1]["best"], told[-1]["se"]) == (
        pytest.approx(portfolio["objective"], abs=1e-6),
        pytest.approx(portfolio["objective_se"]),
    )
    assert portfolio["holdout_objective_se"] is not None
    certificate = part_of(result, "certificate")
    assert certificate["exact"] is True
    assert certificate["scenarios"] == 4_000
    assert "4,000 independent races" in str(certificate["se"])


@pytest.mark.parametrize("objective", ["beat:1000", "cover:1000"])
def test_a_line_that_no_lineup_reaches_is_said_to_be_one(objective: str, small_slate: MakeSpec) -> None:
    result = run_job(job(small_slate, objective=objective))
    said = "No lineup reaches 1000 points in any of the scenarios: the mean decides."
    assert said in cast("list[str]", result["notices"])
    reached = run_job(job(small_slate, objective=objective.replace("1000", "100")))
    assert said.replace("1000", "100") not in cast("list[str]", reached["notices"])
    best = lineups_of(run_job(job(small_slate)))[0]
    assert lineups_of(result)[0]["ids"] == best["ids"]


def test_the_choices_of_a_portfolio_are_proven_and_add_less_and_less(small_slate: MakeSpec) -> None:
    result = run_job(job(small_slate, objective="emax"))
    gains = [cast("float", lineup["gain"]) for lineup in lineups_of(result)]
    assert gains == sorted(gains, reverse=True)
    assert part_of(result, "certificate")["every_choice_proven"] is True
    assert sum(gains) == pytest.approx(part_of(result, "portfolio")["objective"])


def test_exposure_pairs_and_overlap_are_those_of_the_lineups(small_slate: MakeSpec) -> None:
    result = run_job(job(small_slate, constraints={"max_overlap": 4}))
    lineups = [ids_of(lineup) for lineup in lineups_of(result)]
    portfolio = part_of(result, "portfolio")
    exposure = cast("dict[str, float]", portfolio["exposure"])
    assert exposure == {who: pytest.approx(sum(who in each for each in lineups) / 6) for who in exposure}
    assert sum(exposure.values()) == pytest.approx(6)
    pairs = cast("dict[str, list[str]]", portfolio["pair_matrix"])
    for one, row in zip(pairs["ids"], pairs["lineups"], strict=True):
        assert row == [sum({one, other} <= each for each in lineups) for other in pairs["ids"]]
    assert portfolio["max_overlap"] == max(len(a & b) for a in lineups for b in lineups if a is not b)


def test_a_result_is_json_and_names_what_it_rests_on(small_slate: MakeSpec) -> None:
    spec = job(small_slate, randomness=2, objective="cover:2%")
    result = run_job(spec)
    assert json.loads(json.dumps(result)) == result
    said = " ".join(cast("list[str]", part_of(result, "certificate")["assumptions"]))
    for words in ("drawn for each race", "267 laps", "intermediate", "as DraftKings", "moved by chance", "simulated"):
        assert words in said
    other = run_job({**spec, "seed": 2})
    assert result["config_hash"] == run_job(spec)["config_hash"] != other["config_hash"]


def test_a_result_has_every_field_that_the_guide_names(small_slate: MakeSpec) -> None:
    result = run_job(job(small_slate, objective="cover:240"))
    assert set(result) == {
        "status", "sport", "site", "race_id", "notices", "lineups", "portfolio", "players", "certificate",
        "convergence", "iterations", "seed", "config_hash", "device", "duration_s", "rate_gel_s", "versions",
    }  # fmt: skip
    assert set(lineups_of(result)[0]) == {
        "ids", "names", "salary", "mean", "sd", "p10", "p50", "p90", "p99", "p_win", "se", "holdout", "ownership_sum",
        "ownership_product", "gain",
    }  # fmt: skip
    assert {"objective", "holdout_objective", "exposure", "pair_matrix", "max_overlap"} <= set(
        part_of(result, "portfolio")
    )
    assert {"exact", "lineups_evaluated", "scenarios", "passes", "se"} <= set(part_of(result, "certificate"))


def test_a_given_grid_changes_the_answer_and_is_said(small_slate: MakeSpec) -> None:
    spec = job(small_slate)
    grid = {f"Driver {number}": 11 - number for number in range(11)}
    without, given = run_job(spec), run_job({**spec, "grid": grid})
    assert lineups_of(without) != lineups_of(given)
    assert "The starting grid is the given one." in cast("list[str]", part_of(given, "certificate")["assumptions"])


def test_randomness_gives_other_lineups_by_seed_and_tells_figures_without_it(small_slate: MakeSpec) -> None:
    spec = job(small_slate, 16, constraints={"salary_cap": 48_000})
    plain, moved = run_job(spec), run_job({**spec, "randomness": 8})
    assert [ids_of(each) for each in lineups_of(plain)] != [ids_of(each) for each in lineups_of(moved)]
    means = {player["id"]: player["mean"] for player in cast("list[dict[str, object]]", plain["players"])}
    assert means == {
        player["id"]: pytest.approx(player["mean"]) for player in cast("list[dict[str, object]]", moved["players"])
    }
    assert run_job({**spec, "randomness": 8})["lineups"] == moved["lineups"]


# Too few


def test_too_few_lineups_are_returned_with_the_rules_that_conflict(small_slate: MakeSpec) -> None:
    rules = {"salary_cap": 47_000, "salary_min": 46_800}
    result = run_job(job(small_slate, constraints=rules, lineup_count=60))
    why = part_of(result, "infeasible")
    assert result["status"] == "fewer"
    assert len(lineups_of(result)) == part_of(result, "certificate")["lineups_feasible"]
    assert 0 < len(lineups_of(result)) < 60
    assert why["binding"] == ["salary_cap (47,000)", "salary_min (46,800)"]
    assert "60 lineups were asked for, and" in str(why["message"])
    assert str(why["hint"]).startswith("Without salary_")


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"max_overlap": 1}, ["max_overlap"]),
        ({"exposure": {f"Driver {n}": [0, 0.5] for n in range(10)}, "max_overlap": 2}, ["max_overlap"]),
    ],
)
def test_bounds_between_lineups_that_leave_too_few_are_named(
    rules: dict[str, object], named: list[str], small_slate: MakeSpec
) -> None:
    result = run_job(job(small_slate, constraints=rules, lineup_count=12))
    assert 0 < len(lineups_of(result)) < 12
    assert part_of(result, "infeasible")["binding"] == named
    verb = "leaves" if len(named) == 1 else "leave"
    assert f"{', '.join(named)} {verb} no other open" in str(part_of(result, "infeasible")["message"])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"groups": [{"ids": ["Driver 1", "Driver 2"], "min": 2}, {"ids": ["Driver 1", "Driver 3"], "max": 0}]},
            r"group 1 \(2 to any of Driver 1, Driver 2\) and group 2 \(0 to 0 of Driver 1, Driver 3\) conflict",
        ),
        (
            {"locked": ["Driver 1"], "groups": [{"ids": ["Driver 2"], "min": 1, "if": "Driver 1"},
                                                {"ids": ["Driver 2", "Driver 3"], "max": 0}]},
            r"if Driver 1.* conflict",
        ),
    ],
)  # fmt: skip
def test_no_lineup_at_all_is_an_error_that_names_the_rules(
    rules: dict[str, object], message: str, small_slate: MakeSpec
) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        run_job(job(small_slate, constraints=rules))
    assert refused.value.hint.startswith("Without ")


# Late swap


def test_a_withdrawn_driver_is_in_no_lineup_and_scores_nothing(small_slate: MakeSpec) -> None:
    result = run_job(job(small_slate, constraints={"withdrawn": ["Driver 3"]}))
    assert all("103" not in ids_of(lineup) for lineup in lineups_of(result))
    (gone,) = (player for player in cast("list[dict[str, object]]", result["players"]) if player["withdrawn"])
    assert (gone["id"], gone["mean"]) == ("103", 0.0)


def test_lineups_with_a_withdrawn_driver_are_replaced_and_the_others_kept(small_slate: MakeSpec) -> None:
    spec = job(small_slate, constraints={"max_overlap": 4}, objective="cover:240")
    before = [sorted(ids_of(lineup)) for lineup in lineups_of(run_job(spec))]
    gone = before[0][0]
    rules = {"max_overlap": 4, "existing_lineups": before, "withdrawn": [gone]}
    swap = job(small_slate, constraints=rules, objective="cover:240")
    del swap["lineup_count"]
    result = run_job(swap)
    kept = [set(lineup) for lineup in before if gone not in lineup]
    assert len(lineups_of(result)) == len(before) - len(kept)
    for lineup in lineups_of(result):
        assert gone not in ids_of(lineup)
        assert all(len(ids_of(lineup) & other) <= 4 for other in kept)
    (notice,) = cast("list[str]", result["notices"])
    assert "withdrew: to be replaced" in notice


def test_an_upload_file_comes_back_as_lineups_that_may_not_be_chosen_again(small_slate: MakeSpec) -> None:
    for site in ("draftkings", "fanduel"):
        first = run_job(job(small_slate, site=site))
        file = upload_csv(json.dumps(first).encode())
        again = run_job(job(small_slate, site=site, constraints={"exclude_lineups": file}))
        assert not {frozenset(ids_of(lineup)) for lineup in lineups_of(first)} & {
            frozenset(ids_of(lineup)) for lineup in lineups_of(again)
        }


def test_the_late_scratch_of_a_real_race_is_handled(real_file: Callable[[str], str]) -> None:
    text = real_file("nascar-dk/NASweek2.csv")
    spec: dict[str, object] = {
        "slate_csv": text,
        "scenarios": 2_048,
        "holdout": 1_000,
        "constraints": {"withdrawn": ["Chase Elliott"]},
    }
    result = run_job(spec)
    assert part_of(result, "certificate")["lineups_evaluated"] == 1_947_792
    assert all("Chase Elliott" not in cast("list[str]", lineup["names"]) for lineup in lineups_of(result))


# Projections and ownership


def test_projected_drivers_are_preferred_and_ownership_is_told(small_slate: MakeSpec) -> None:
    lines = ["name,mean,own%", *(f"Driver {number},{20 + 5 * (number < 5)},{5 * number}" for number in range(11))]
    result = run_job(job(small_slate, projections_csv="\n".join(lines), objective="beat:5%"))
    first = lineups_of(result)[0]
    players = {player["id"]: player for player in cast("list[dict[str, object]]", result["players"])}
    shares = [cast("float", players[who]["ownership"]) for who in sorted(ids_of(first))]
    means = [cast("float", players[str(100 + number)]["mean"]) for number in range(11)]
    assert first["ownership_sum"] == pytest.approx(sum(shares))
    assert min(means[:5]) > max(means[5:])


# The largest


def large(small_slate: MakeSpec, objective: str, count: int) -> dict[str, object]:
    spec = job(small_slate, 14, objective=objective, lineup_count=count, constraints={"salary_cap": 60_000})
    for driver in cast("list[dict[str, object]]", spec["drivers"]):
        driver |= {"name": f"{driver['name']} of Somewhere", "id": f"1268740{driver['id']}", "mean": 30.25}
    return spec


@pytest.mark.parametrize(("form", "count"), [("full", 1_000), ("plain", 500)])
def test_the_largest_result_travels_in_one_message(form: str, count: int, small_slate: MakeSpec) -> None:
    result = run_job({**large(small_slate, "beat:240", count), "form": form})
    assert len(lineups_of(result)) == count
    assert len(json.dumps(result)) < MAX_DOCUMENT_BYTES


# The plain form


def plain_form(drivers: int = 12) -> dict[str, object]:
    return {
        "drivers": [
            {
                "driver_id": number,
                "name": f"Driver {number}",
                "team": f"Team {number // 2}",
                "salary": 6_000 + 300 * number,
                "projected_points": 20.5 + 2 * number,
            }
            for number in range(drivers)
        ],
        "num_lineups": 4,
        "iterations": 1_000,
        "constraints": {"min_stack": 2, "max_stack": 2, "exclude_drivers": ["Driver 11", 10]},
    }


def test_the_plain_form_is_answered_in_its_own_shape() -> None:
    result = run_job(plain_form())
    assert (result["iterations"], len(lineups_of(result))) == (1_000, 4)
    for lineup in lineups_of(result):
        drivers = cast("list[dict[str, object]]", lineup["drivers"])
        assert len(drivers) == 6
        assert set(drivers[0]) == {"driver_id", "name", "team", "salary", "projected_points"}
        assert lineup["total_salary"] == sum(cast("int", driver["salary"]) for driver in drivers) <= 50_000
        points = sum(cast("float", driver["projected_points"]) for driver in drivers)
        assert lineup["total_projected_points"] == pytest.approx(points)
        assert lineup["total_value"] == pytest.approx(points / cast("int", lineup["total_salary"]) * 1_000)
        assert lineup["risk_score"] == pytest.approx(
            cast("float", lineup["sd"]) / cast("float", lineup["mean"]), abs=1e-6
        )
        assert lineup["lineup_score"] == lineup["mean"]
        teams = [driver["team"] for driver in drivers]
        assert max(map(teams.count, teams)) == 2
        assert not {"10", "11"} & {driver["driver_id"] for driver in drivers}


def test_stacks_of_none_or_one_ask_nothing() -> None:
    spec = plain_form()
    spec["constraints"] = {"min_stack": 0}
    constraints = cast("dict[str, object]", kind.validate(spec)["constraints"])
    assert (constraints["min_from_team"], constraints["max_from_team"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lineup_count": 5}, "num_lineups and lineup_count are one thing"),
        ({"constraints": {"exclude_drivers": ["Nobody"]}}, "exclude_drivers names 'Nobody', who is not in the slate"),
        ({"constraints": {"min_stack": 5}}, "min_stack is 5; no team has more than 2"),
        ({"constraints": {"max_stack": -1}}, "max_stack is -1"),
        ({"num_lineups": None}, "num_lineups is None"),
        ({"num_lineups": 501}, "num_lineups is 501; it must be from 1 to 500"),
    ],
)
def test_a_senseless_plain_form_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        kind.validate({**plain_form(), **change})
