"""Jobs of sports with rosters return the same bits however they were cut, moved and resumed, and keep every rule."""

import json
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import cast

import msgspec
import numpy as np
import pytest

from meshd.client.lineups import read
from meshd.errors import BadInput
from meshd.kinds.base import Done, Phase
from meshd.kinds.lineups import kind
from meshd.kinds.lineups.partials import Partial
from meshd.kinds.lineups.program import program
from meshd.kinds.lineups.scenarios.projections import scores
from meshd.kinds.lineups.sports import problem as problem_module
from meshd.kinds.lineups.sports.annealing.task import UNIT_CHAINS
from meshd.kinds.lineups.sports.problem import read_slate_problem
from meshd.kinds.lineups.sports.program import RosteredProgram
from meshd.kinds.lineups.sports.roster import roster_of
from meshd.kinds.lineups.upload import upload_csv
from tests.kinds.lineups.sports.test_rostered import PLAYERS, ROSTERED, spec_of
from tests.support.engine_job import Patient
from tests.support.lineups_job import answer_of, backwards, lineups_of, part_of, run_job
from tests.support.sport_slates import rows_of, salary_file

JOBS = (
    *((sport, "mean") for sport in ROSTERED),
    *(("golf", objective) for objective in ("p90", "beat:130", "beat:1%", "cover:1%", "emax")),
    *(("f1", objective) for objective in ("p75", "cover:110")),
    ("mma", "p90"),
    *(("nba", objective) for objective in ("p90", "beat:150", "cover:1%", "emax")),
)
"""What chains do towards a line is the same for all annealed sports."""


@pytest.fixture(autouse=True)
def few_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anneal with two groups of short chains: enough for small slates, and for a cut between them."""
    monkeypatch.setattr(problem_module, "CHAINS", 2 * UNIT_CHAINS)
    monkeypatch.setattr(problem_module, "MOVES", 800)


def job_of(sport: str, objective: str = "mean", **change: object) -> dict[str, object]:
    return spec_of(sport, objective=objective, scenarios=1_500, holdout=1_200, **change)


@pytest.mark.parametrize(("sport", "objective"), JOBS)
def test_a_job_resumed_after_a_chunk_on_another_device_comes_to_the_same_bytes(sport: str, objective: str) -> None:
    spec = job_of(sport, objective, constraints={"max_overlap": 4})
    expected = answer_of(run_job(spec))
    resolved = kind.validate(spec)
    here, elsewhere = RosteredProgram(), RosteredProgram()
    finished: tuple[bytes, ...] = ()
    while isinstance(planned := here.plan(resolved, tuple(map(here.unpack, finished))), Phase):
        phase = Phase(
            planned.number, planned.units, planned.label, planned.weight, json.loads(json.dumps(planned.params))
        )
        partial = here.run_span(resolved, phase, 0, 1, Patient())
        assert partial is not None
        if phase.units > 1:
            kept = here.pack(partial)
            rest = elsewhere.run_span(resolved, phase, 1, phase.units, Patient())
            assert rest is not None
            partial = elsewhere.merge(rest, elsewhere.unpack(kept))
        finished = (*finished, here.pack(partial))
    # Told from the beginning by a device that knows nothing.
    assert isinstance(planned, Done)
    told = RosteredProgram().plan(resolved, tuple(map(here.unpack, finished)))
    assert isinstance(told, Done)
    assert answer_of(told.result) == answer_of(planned.result) == expected


@pytest.mark.parametrize("sport", ROSTERED)
def test_lineups_keep_the_rules_of_the_site_and_fill_its_upload_file(sport: str) -> None:
    resolved = kind.validate(job_of(sport, lineup_count=4))
    result = run_job(resolved, spans=backwards, through_bytes=True)
    roster = roster_of("draftkings", sport)
    by_id = {str(player["id"]): player for player in cast("list[dict[str, object]]", resolved["players"])}
    assert len(lineups_of(result)) == 4
    for lineup in lineups_of(result):
        players = [by_id[identity] for identity in cast("list[str]", lineup["ids"])]
        assert lineup["salary"] == sum(cast("int", player["salary"]) for player in players)
        assert cast("int", lineup["salary"]) <= roster.cap
        assert len({player["name"] for player in players}) == roster.size
        for player, slot in zip(players, roster.places, strict=True):
            assert set(cast("list[str]", player["positions"])) & set(slot.eligible)
        games = [player["game"] for player in players]
        teams = [player["team"] for player in players if not {"P", "SP"} & set(cast("list[str]", player["positions"]))]
        assert len(set(games)) >= roster.least_games
        assert max(map(games.count, games)) <= (roster.most_of_game or roster.size)
        assert max(map(teams.count, teams)) <= (roster.most_of_team or roster.size)
    head, *lines = upload_csv(json.dumps(result).encode()).splitlines()
    assert head.split(",") == [slot.name for slot in roster.places]
    assert [len(line.split(",")) for line in lines] == [roster.size] * 4
    told = read(msgspec.Raw(json.dumps(result).encode()))
    assert told.certificate.exact == roster.exact
    assert all(lineup.holdout is not None and lineup.holdout.p90 > 0 for lineup in told.lineups)


@pytest.mark.parametrize("objective", ["mean", "p90"])
def test_golf_lineups_are_the_best_of_all(objective: str) -> None:
    spec = job_of("golf", objective, constraints={"locked": ["GOLF 3"], "excluded": ["GOLF 7"]})
    resolved = kind.validate(spec)
    problem = read_slate_problem(resolved)
    drawn = np.concatenate([scores(problem.model, 0), scores(problem.model, 1)])[:1_500].astype(np.int64)
    names = [player.name for player in problem.entrants]
    best = 0.0
    for lineup in combinations(range(PLAYERS["golf"]), 6):
        held = {names[at] for at in lineup}
        if sum(problem.entrants[at].salary for at in lineup) <= 50_000 and "GOLF 3" in held and "GOLF 7" not in held:
            total = drawn[:, lineup].sum(axis=1)
            reached = total.mean() if objective == "mean" else np.sort(total)[-150]
            best = max(best, float(reached) / 20)
    first = lineups_of(run_job(spec))[0]
    assert first[objective] == pytest.approx(best, abs=1e-6)
    assert "GOLF 3" in cast("list[str]", first["names"])


def test_a_captain_scores_half_as_much_again_as_the_same_driver() -> None:
    result = run_job(job_of("f1"))
    means = {
        str(player["id"]): cast("float", player["mean"])
        for player in cast("list[dict[str, object]]", result["players"])
    }
    assert means["Driver 2 CPT"] == pytest.approx(1.5 * means["Driver 2 D"], abs=0.05)
    expected = sum(means[identity] for identity in cast("list[str]", lineups_of(result)[0]["ids"]))
    assert lineups_of(result)[0]["mean"] == pytest.approx(expected, abs=1e-5)


def test_a_fanduel_mvp_costs_what_he_costs_and_is_told_once() -> None:
    spec = {
        "slate_csv": salary_file(
            [{**row, "Salary": str(int(row["Salary"]) // 800)} for row in rows_of("mma", 14)], "fanduel"
        ),
        "lineup_count": 3,
        "scenarios": 1_024,
        "holdout": 1_024,
        "constraints": {"locked": ["Fighter 3"]},
    }
    result = run_job(spec)
    salaries = {player["id"]: player["salary"] for player in cast("list[dict[str, int]]", result["players"])}
    assert len(salaries) == len(cast("list[object]", result["players"])) == 14
    for lineup in lineups_of(result):
        ids = cast("list[int]", lineup["ids"])
        assert lineup["salary"] == sum(salaries[identity] for identity in ids)
        assert "3" in ids
    assert part_of(part_of(result, "portfolio"), "exposure")["3"] == 1.0
    assert upload_csv(json.dumps(result).encode()).startswith("MVP,F,F,F,F,F\r\n")


@pytest.mark.parametrize("sport", ["golf", "nba"])
def test_exposure_overlap_and_existing_lineups_are_kept(sport: str) -> None:
    first = lineups_of(run_job(job_of(sport, lineup_count=1)))[0]
    constraints = {"global_exposure_max": 0.5, "max_overlap": 4, "existing_lineups": [first["ids"]]}
    result = run_job(job_of(sport, lineup_count=3, constraints=constraints))
    all_lineups = [frozenset(cast("list[str]", lineup["ids"])) for lineup in (first, *lineups_of(result))]
    uses = Counter(who for lineup in all_lineups for who in lineup)
    assert max(len(one & other) for one, other in combinations(all_lineups, 2)) <= 4
    assert max(uses.values()) <= 2


def test_a_stack_takes_players_of_one_team() -> None:
    spec = job_of("nfl", constraints={"min_from_team": 4})
    result = run_job(spec)
    teams = {player["id"]: player["team"] for player in cast("list[dict[str, str]]", result["players"])}
    for lineup in lineups_of(result):
        held = [teams[identity] for identity in cast("list[str]", lineup["ids"])]
        assert max(map(held.count, held)) >= 4


@pytest.mark.parametrize("sport", ["golf", "nba"])
def test_fewer_lineups_than_asked_for_are_said_to_be_and_why(sport: str) -> None:
    constraints = {"max_overlap": 2, "salary_min": 20_000}
    result = run_job(job_of(sport, lineup_count=30, constraints=constraints))
    assert result["status"] == "fewer"
    told = part_of(result, "infeasible")
    assert "30 lineups were asked for" in str(told["message"])
    # The floor has no part in it: without it there would be no more lineups.
    binding = cast("list[str]", told["binding"])
    assert binding[-1] == "max_overlap"
    assert not any(name.startswith("salary_min") for name in binding)


@pytest.mark.parametrize(
    ("sport", "constraints", "said"),
    [
        (
            "mma",
            {"locked": ["Fighter 0", "Fighter 1"], "salary_min": 20_000},
            "the lock of Fighter 0 and the lock of Fighter 1 conflict",
        ),
        (
            "nba",
            {
                "groups": [{"ids": ["Player 1", "Player 2"], "min": 1}],
                "excluded": ["Player 1", "Player 3"],
                "locked": [],
            }
            | {"max_from_team": 1, "stacks": [{"min": 2}]},
            r"stack 1 \(2 from the team\) and max_from_team \(1\) conflict",
        ),
        (
            "nfl",
            {"stacks": [{"with": ["QB"], "min": 3, "of": ["TE"]}]},
            r"No lineup keeps stack 1 \(with QB: 3 of TE from the team\)",
        ),
        (
            "f1",
            {
                "groups": [
                    {"ids": ["Driver 7"], "max": 0, "if": "Driver 6"},
                    {"ids": ["Driver 6", "Driver 7"], "min": 2},
                ]
            },
            "group 1 .* and group 2 .* conflict",
        ),
    ],
)
def test_rules_that_no_lineup_keeps_are_named(sport: str, constraints: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        run_job(job_of(sport, constraints=constraints))


@pytest.mark.parametrize("sport", ["golf", "f1", "nba"])
def test_randomness_moves_the_choice_and_none_of_the_figures(sport: str) -> None:
    still = run_job(job_of(sport, lineup_count=1))
    moved = [run_job(job_of(sport, lineup_count=1, randomness=6.0, seed=seed)) for seed in (1, 1, 2)]
    assert answer_of(moved[0]) == answer_of(moved[1])
    assert len({str(lineups_of(result)[0]["ids"]) for result in (still, *moved)}) > 1
    means = {str(player["id"]): player["mean"] for player in cast("list[dict[str, float]]", still["players"])}
    for result in moved[:1]:
        # The same draws as without randomness, and so the same means to the last digit.
        assert means == {str(each["id"]): each["mean"] for each in cast("list[dict[str, float]]", result["players"])}
        (lineup,) = lineups_of(result)
        expected = sum(means[identity] for identity in cast("list[str]", lineup["ids"]))
        assert lineup["mean"] == pytest.approx(expected, abs=1e-3)
        assert any(
            "moved by chance" in str(said) for said in cast("list[str]", part_of(result, "certificate")["assumptions"])
        )


def test_a_captain_is_bounded_excluded_and_kept_as_the_man_he_is() -> None:
    first = lineups_of(run_job(job_of("f1", lineup_count=1)))[0]
    ids = cast("list[str]", first["ids"])
    captain = ids[0].removesuffix(" CPT")
    constraints = {
        "exposure": {captain: 0.5},
        "existing_lineups": [ids],
        "exclude_lineups": [[ids[0], *ids[2:5], "Driver 0 D", ids[5]]],
    }
    result = run_job(job_of("f1", lineup_count=3, constraints=constraints))
    held = [captain in cast("list[str]", lineup["names"]) for lineup in lineups_of(result)]
    # Two of four, the existing one included.
    assert sum(held) == 1
    assert ids not in [lineup["ids"] for lineup in lineups_of(result)]


@pytest.mark.parametrize(
    ("sport", "objective"), [("golf", "cover:130"), ("golf", "emax"), ("nba", "cover:150"), ("nba", "emax")]
)
def test_what_a_portfolio_reaches_is_told_for_fresh_scores_with_its_error(sport: str, objective: str) -> None:
    result = run_job(job_of(sport, objective, lineup_count=5))
    portfolio = part_of(result, "portfolio")
    gains = [cast("float", lineup["gain"]) for lineup in lineups_of(result)]
    assert gains == sorted(gains, reverse=True) or sport == "nba"
    assert sum(gains) == pytest.approx(cast("float", portfolio["objective"]), abs=1e-3)
    assert cast("float", portfolio["holdout_objective_se"]) > 0
    assert portfolio["holdout_races"] == 1_200
    certificate = part_of(result, "certificate")
    assert certificate["greedy"] is True
    assert certificate.get("every_choice_proven", False) is (sport == "golf")


@pytest.mark.parametrize("randomness", [0, 3])
@pytest.mark.parametrize("sport", ["golf", "f1", "nba"])
@pytest.mark.parametrize("objective", ["mean", "p90", "beat:1%", "cover:1%", "emax"])
def test_every_result_tells_how_its_objective_settles(sport: str, objective: str, randomness: int) -> None:
    spec = job_of(sport, objective, lineup_count=3, randomness=randomness)
    result = run_job({**spec, "scenarios": 4_000})
    told = cast("list[dict[str, float]]", result["convergence"])
    assert [each["scenarios"] for each in told] == [1_000, 2_000, 4_000]
    portfolio = part_of(result, "portfolio")
    assert (told[-1]["best"], told[-1]["se"]) == (
        pytest.approx(portfolio["objective"], abs=1e-3),
        pytest.approx(portfolio["objective_se"]),
    )


@pytest.mark.parametrize(("sport", "who"), [("golf", "No lineup"), ("nba", "None of the lineups found")])
@pytest.mark.parametrize("objective", ["beat:600", "cover:600"])
def test_a_line_that_no_lineup_reaches_is_said_to_be_one(sport: str, who: str, objective: str) -> None:
    notices = cast("list[str]", run_job(job_of(sport, objective))["notices"])
    assert f"{who} reaches 600 points in any of the scenarios: the mean decides." in notices


def test_the_mean_of_an_annealed_lineup_is_told_beside_what_a_solver_proves() -> None:
    result = run_job(job_of("nba"))
    certificate = part_of(result, "certificate")
    assert certificate["mean_bound"] == lineups_of(result)[0]["mean"]
    assert certificate["gap"] == 0.0
    assert certificate["exact"] is False
    assert part_of(run_job(job_of("nba", lineup_count=1)), "certificate")["exact"] is True


def test_a_line_that_chains_work_towards_is_not_proven() -> None:
    certificate = part_of(run_job(job_of("nba", "beat:150")), "certificate")
    assert certificate["exact"] is False
    assert "mean_bound" not in certificate


@pytest.mark.parametrize(
    ("sport", "objective"), [("golf", "mean"), ("golf", "emax"), ("nba", "mean"), ("nba", "cover:150")]
)
def test_every_step_can_be_cancelled_and_reports_its_progress(sport: str, objective: str) -> None:
    resolved = kind.validate(job_of(sport, objective, lineup_count=2))
    finished: tuple[Partial, ...] = ()
    weight = 0.0
    while isinstance(planned := program.plan(resolved, finished), Phase):
        weight += planned.weight
        patient = Patient()
        partial = program.run_span(resolved, planned, 0, planned.units, patient)
        assert partial is not None
        assert patient.reports == sorted(patient.reports)
        assert patient.reports[-1] == 1.0
        assert program.run_span(resolved, planned, 0, planned.units, Patient(cancel_at=1)) is None
        finished = (*finished, partial)
    assert 0.1 < weight <= 1.0 + 1e-9


def test_another_seed_draws_other_scores_and_the_order_of_players_none() -> None:
    resolved = kind.validate(job_of("golf"))
    turned: Mapping[str, object] = {**resolved, "players": list(reversed(cast("list[object]", resolved["players"])))}
    one, same, other = (run_job(spec) for spec in (resolved, turned, {**resolved, "seed": 2}))
    assert one["lineups"] == same["lineups"]
    assert one["players"] != other["players"]
