"""A spec of a sport with rosters is filled in once and for all, or refused in one clear sentence."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import kind, sample_slate
from meshd.kinds.lineups.sports import SPORTS
from meshd.kinds.lineups.sports.players import Row
from tests.support.job_memory import held_at_most_mb, least_mb
from tests.support.sport_slates import rows_of, salary_file

ROSTERED = tuple(name for name in SPORTS if name != "nascar")

PLAYERS: Mapping[str, int] = {"golf": 12, "f1": 8, "mma": 14, "nba": 32, "nfl": 32, "mlb": 40}
"""A small slate of each."""

REAL: Mapping[str, tuple[str, str]] = {
    "nascar-dk/NASweek1.csv": ("nascar", "draftkings"),
    "nascar-fd/fd_20260215_Daytona500_61fb74e.csv": ("nascar", "fanduel"),
    "other/healy_Golfweek1.csv": ("golf", "draftkings"),
    "other/draftfast_f1-salaries-showdown.csv": ("f1", "draftkings"),
    "other/bradical_NBA_20191112_DKSalaries.csv": ("nba", "draftkings"),
    "other/draftfast_dk-nba-salaries.csv": ("nba", "draftkings"),
    "other/draftfast_fd-nfl-salaries.csv": ("nfl", "fanduel"),
    "other/draftfast_dk-mlb-salaries.csv": ("mlb", "draftkings"),
}
"""Of MMA there is no file."""


def spec_of(sport: str, **change: object) -> dict[str, object]:
    """Return a spec with the file of a small slate."""
    return {"slate_csv": salary_file(rows_of(sport, PLAYERS[sport])), "lineup_count": 2, **change}


def players_in(resolved: Mapping[str, object]) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", resolved["players"])


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_tells_sport_and_site(name: str, real_file: Callable[[str], str]) -> None:
    resolved = kind.validate({"slate_csv": real_file(name)})
    assert (resolved["sport"], resolved["site"]) == REAL[name]


def test_a_file_without_ids_says_what_it_lacks(real_file: Callable[[str], str]) -> None:
    with pytest.raises(BadInput, match="lacks the column ID"):
        kind.validate({"slate_csv": real_file("other/draftfast_dk-nfl-salaries.csv")})


@pytest.mark.parametrize("sport", ROSTERED)
def test_a_file_tells_the_sport_and_a_resolved_spec_resolves_to_itself(sport: str) -> None:
    resolved = kind.validate(spec_of(sport))
    assert resolved["sport"] == sport
    assert kind.validate(resolved) == resolved
    assert resolved["constraints"] == {
        "salary_cap": 50_000,
        "salary_min": 0,
        "roster_size": {"nba": 8, "nfl": 9, "mlb": 10}.get(sport, 6),
        "max_overlap": None,
        "global_exposure_min": 0.0,
        "global_exposure_max": 1.0,
        "groups": [],
        "max_from_team": None,
        "min_from_team": None,
        "exclude_lineups": [],
        "existing_lineups": [],
        "stacks": [],
    }


@pytest.mark.parametrize("sport", ROSTERED)
def test_a_file_of_another_sport_is_refused_by_its_positions(sport: str) -> None:
    with pytest.raises(BadInput, match=r"^This is not a slate of .*: it has the positions D"):
        kind.validate({"sport": sport, "slate_csv": sample_slate()})


@pytest.mark.parametrize("sport", ROSTERED)
@pytest.mark.parametrize("objective", ["beat:240", "beat:1%", "cover:1%", "cover:240", "emax"])
def test_every_objective_is_one_of_every_sport_and_costs_more_than_the_mean(sport: str, objective: str) -> None:
    resolved = kind.validate(spec_of(sport, objective=objective))
    assert kind.validate(resolved) == resolved
    mean, cost = kind.cost(kind.validate(spec_of(sport))), kind.cost(resolved)
    assert mean is not None
    assert cost is not None
    assert mean < cost


@pytest.mark.parametrize("field", ["grid", "model", "drivers"])
def test_what_only_races_have_is_no_field_of_other_sports(field: str) -> None:
    with pytest.raises(BadInput, match=f"There is no field '{field}' in a spec of NBA"):
        kind.validate(spec_of("nba", **{field: 1}))


def test_the_exposure_of_a_driver_is_that_of_him_as_captain() -> None:
    resolved = kind.validate(spec_of("f1", constraints={"exposure": {"Driver 3": 0.5}}))
    bounded = [player["id"] for player in players_in(resolved) if player["exposure"] == [0.0, 0.5]]
    assert bounded == ["Driver 3 CPT", "Driver 3 D"]


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        ({"of": ["XX"], "min": 2}, "Stack 1 names the position 'XX', which nobody plays."),
        ({"min": 2, "from": "league"}, "Stack 1 takes players from 'league'."),
        ({"min": 2, "from": "opponent"}, "Stack 1 takes opponents of nobody."),
        ({"min": 10}, "The min of stack 1 is 10; it must be from 1 to 9."),
        ({"with": ["QB"], "min": 9}, "The min of stack 1 is 9; it must be from 1 to 8."),
        ({"least": 2}, "There is no field 'least' in stack 1."),
    ],
)
def test_a_stack_that_makes_no_sense_is_refused_in_one_sentence(stack: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        kind.validate(spec_of("nfl", constraints={"stacks": [stack]}))
    assert str(refused.value) == said


def test_golfers_have_no_team_to_stack() -> None:
    with pytest.raises(BadInput, match="Stack 1 needs teams, and no player has one"):
        kind.validate(spec_of("golf", constraints={"stacks": [{"min": 2}]}))


def test_what_is_said_of_a_driver_is_said_of_him_as_captain() -> None:
    resolved = kind.validate(spec_of("f1", constraints={"locked": ["Driver 3"], "excluded": ["Driver 5"]}))
    marks = {
        (player["name"], mark) for player in players_in(resolved) for mark in ("locked", "excluded") if player[mark]
    }
    both = [player["id"] for player in players_in(resolved) if player["locked"] or player["excluded"]]
    assert marks == {("Driver 3", "locked"), ("Driver 5", "excluded")}
    assert both == ["Driver 3 CPT", "Driver 3 D", "Driver 5 CPT", "Driver 5 D"]


def test_a_name_that_two_players_have_is_refused_and_their_ids_are_not() -> None:
    rows = rows_of("mlb", 40)
    rows[1] = {**rows[1], "Name": rows[0]["Name"]}
    spec = {"slate_csv": salary_file(rows), "lineup_count": 2}
    with pytest.raises(BadInput, match="several of that name"):
        kind.validate({**spec, "constraints": {"locked": [rows[0]["Name"]]}})
    resolved = kind.validate({**spec, "constraints": {"locked": [rows[0]["ID"]]}})
    assert [player["id"] for player in players_in(resolved) if player["locked"]] == [rows[0]["ID"]]


def test_projections_take_the_place_of_averages_and_too_many_points_are_refused() -> None:
    resolved = kind.validate(spec_of("nba", projections_csv="name,mean,sd\nPlayer 3,31.5,7\n"))
    (projected,) = [player for player in players_in(resolved) if player["mean"] is not None]
    assert (projected["name"], projected["mean"], projected["sd"]) == ("Player 3", 31.5, 7.0)
    with pytest.raises(BadInput, match="The points expected of Player 3 are above 200"):
        kind.validate(spec_of("nba", projections_csv="name,mean\nPlayer 3,900\n"))


def test_a_slate_of_which_nothing_is_known_asks_for_projections() -> None:
    rows = [{**row, "AvgPointsPerGame": "0"} for row in rows_of("golf", 12)]
    with pytest.raises(BadInput, match="No player of the slate has average points"):
        kind.validate({"slate_csv": salary_file(rows)})


def test_a_list_of_players_needs_the_sport_and_their_positions() -> None:
    listed = players_in(kind.validate(spec_of("nba")))
    with pytest.raises(BadInput, match="does not tell the sport"):
        kind.validate({"players": listed})
    assert players_in(kind.validate({"sport": "nba", "players": listed, "lineup_count": 2})) == listed
    with pytest.raises(BadInput, match="Player 0 has no positions"):
        kind.validate({"sport": "nba", "players": [{"id": 1, "name": "Player 0", "salary": 3_000}]})


def test_rules_that_are_not_confirmed_are_told() -> None:
    text = salary_file(rows_of("mma", 14), "fanduel").replace("Salary", "Salary")
    resolved = kind.validate({"slate_csv": text, "constraints": {"salary_cap": 100_000}, "lineup_count": 2})
    assert resolved["site"] == "fanduel"
    assert cast("list[str]", resolved["notices"])[0].startswith(
        "Not confirmed of FanDuel's rules for MMA: the salary cap"
    )


@pytest.mark.parametrize("sport", ROSTERED)
def test_a_percentile_costs_more_than_a_mean(sport: str) -> None:
    mean, p90 = (kind.cost(kind.validate(spec_of(sport, objective=name))) for name in ("mean", "p90"))
    assert mean is not None
    assert p90 is not None
    assert 0 < mean < p90


def test_the_daemon_loads_neither_numpy_nor_jax_for_any_sport() -> None:
    code = f"""
import sys
from meshd.kinds.lineups import kind
for text in {[cast("str", spec_of(sport)["slate_csv"]) for sport in ROSTERED]!r}:
    kind.cost(kind.validate({{"slate_csv": text, "lineup_count": 2}}))
print(sorted(sys.modules.keys() & {{"jax", "numpy"}}))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "[]\n"


def test_every_roster_is_read_before_the_first_spec_is_checked() -> None:
    code = """
from meshd.kinds.lineups import kind
from meshd.kinds.lineups.sports.roster import roster_of
print(roster_of.cache_info().currsize)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "12\n"


def two_sports(rows: list[Row]) -> list[Row]:
    return [*rows, *rows_of("mlb", 20)]


def two_files(rows: list[Row]) -> list[Row]:
    return [*rows, {title: title for title in rows[0]}, *rows]


def one_game(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["Game Info"] == rows[0]["Game Info"]]


def with_first(**change: str) -> Callable[[list[Row]], list[Row]]:
    """Return what changes cells of a file's first player."""
    return lambda rows: [{**rows[0], **change}, *rows[1:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_first(Position=""), r"^Player 0 \(line 2\) has no position\.$"),
        (
            with_first(AvgPointsPerGame="NaN"),
            r"^The average of points of Player 0 \(line 2\) is 'NaN', not a number\.$",
        ),
        (two_files, r"^Line \d+ of the slate has column titles once more: the file holds more than one slate\.$"),
        (two_sports, r"^This is the slate of no sport known here: it has the positions 1B, "),
        (one_game, r"^All players are of 1 of the 2 games that DraftKings asks a lineup of NBA for\.$"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(change: Callable[[list[Row]], list[Row]], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        kind.validate({"slate_csv": salary_file(change(list(rows_of("nba", 60))))})


def test_players_without_a_game_are_told_of() -> None:
    rows = [{**row, "Game Info": ""} if at < 3 else row for at, row in enumerate(rows_of("nba", 60))]
    notices = cast("list[str]", kind.validate({"slate_csv": salary_file(rows)})["notices"])
    assert notices == ["3 players have no game: each counts as one of his own."]


@pytest.mark.parametrize("sport", ["golf", "nba"])
def test_harder_objectives_and_more_scenarios_need_more_memory_and_the_least_is_enough(sport: str) -> None:
    def least(objective: str, scenarios: int = 10_000) -> int:
        return least_mb(spec_of(sport, objective=objective, scenarios=scenarios))

    assert least("mean") <= least("beat:1%") < least("p90")
    assert least("emax") < least("emax", 400_000)
    allowed = {"memory_mb": least("p90")}
    assert kind.validate(spec_of(sport, objective="p90", limits=allowed))["limits"] == allowed
    with pytest.raises(BadInput, match="no field 'time'"):
        kind.validate(spec_of(sport, limits={"time": 1}))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells there what a process has held at most")
@pytest.mark.parametrize(("sport", "players", "objective"), [("golf", 36, "p90"), ("nba", 60, "emax")])
def test_a_job_stays_within_what_it_says_that_it_takes(sport: str, players: int, objective: str) -> None:
    file = salary_file(rows_of(sport, players))
    spec = {"slate_csv": file, "objective": objective, "scenarios": 4_096, "holdout": 1_000, "lineup_count": 2}
    least = least_mb(spec)
    assert held_at_most_mb({**spec, "limits": {"memory_mb": least}}) <= least
