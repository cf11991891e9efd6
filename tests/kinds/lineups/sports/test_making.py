# pyright: basic
"""Slates become tasks; both engines give the same answers, and every lineup keeps the site's rules."""

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.rules import Group
from meshd.kinds.lineups.engine.steps import Score
from meshd.kinds.lineups.engine.task import Beat, Mean, Objective, Quantile
from meshd.kinds.lineups.sports.exact.making import Choice, ColumnRaces, choice_of, exact_task, kept_task
from meshd.kinds.lineups.sports.players import Player
from meshd.kinds.lineups.sports.roster import Roster
from tests.support.engine_job import DrawnRaces, solve
from tests.support.exact_job import solve_exactly
from tests.support.sport_slates import basketball, fights, formula_one

RACES = 1_200
BOUNDS = (-2_000, 15_000)

SLATES = {
    "f1": formula_one(8),
    "draftkings mma": fights("draftkings", 7),
    "fanduel mma": fights("fanduel", 6),
}


def lineups_of(choice: Choice, numbers: list[list[int]]) -> list[list[tuple[str, str]]]:
    """Return lineups as slots and names."""
    return [
        [
            (choice.roster.slots[column.slot].name, choice.players[column.player].name)
            for column in (choice.columns[number] for number in lineup)
        ]
        for lineup in numbers
    ]


def keeps_the_sites_rules(roster: Roster, players: tuple[Player, ...], lineup: list[tuple[str, str]]) -> bool:
    names = [name for _, name in lineup]
    slots = [slot for slot, _ in lineup]
    held = [
        next(player for player in players if player.name == name and (roster.sport != "f1" or slot in player.positions))
        for slot, name in lineup
    ]
    games, teams = [player.game for player in held if player.game], [player.team for player in held]
    return (
        len(set(names)) == roster.size
        and sorted(slots) == sorted(slot.name for slot in roster.places)
        and sum(player.salary for player in held) <= roster.cap
        and (roster.most_of_game is None or len(set(games)) == len(games))
        and (roster.most_of_team is None or max(map(teams.count, teams)) <= roster.most_of_team)
    )


@pytest.mark.parametrize("objective", [Mean(), Quantile(95_000), Beat(Score(4_500))], ids=str)
@pytest.mark.parametrize("name", SLATES)
def test_both_engines_find_the_same_lineups_and_all_keep_the_sites_rules(name: str, objective: Objective) -> None:
    roster, players = SLATES[name]
    choice = choice_of(roster, players)
    task = exact_task(choice, objective, Diversity(10), RACES, BOUNDS)
    by_player = DrawnRaces(len(players), RACES, 3)
    races = ColumnRaces(by_player, choice.columns)
    kept = kept_task(task)
    assert kept is not None

    streamed = solve_exactly(task, races).answer
    whole = solve(kept, races).answer

    numbers = task.lineups.members(streamed.lineups).tolist()
    assert numbers == kept.lineups.members(whole.lineups).tolist()
    assert len(numbers) == 10
    assert all(keeps_the_sites_rules(roster, players, lineup) for lineup in lineups_of(choice, numbers))


def test_locked_excluded_and_grouped_players_are_minded_in_every_slot() -> None:
    roster, players = SLATES["fanduel mma"]
    groups = [Group((0, 2, 4), most=1)]
    choice = choice_of(roster, players, locked=[5], excluded=[7], groups=groups)
    task = exact_task(choice, Mean(), Diversity(15), RACES, BOUNDS)

    answer = solve_exactly(task, ColumnRaces(DrawnRaces(len(players), RACES, 3), choice.columns)).answer

    held = [
        {choice.columns[column].player for column in lineup} for lineup in task.lineups.members(answer.lineups).tolist()
    ]
    assert len(held) == 15
    assert all(5 in lineup and 7 not in lineup and len(lineup & {0, 2, 4}) <= 1 for lineup in held)


def test_a_captain_scores_half_as_much_again() -> None:
    roster, players = SLATES["f1"]
    choice = choice_of(roster, players)
    by_player = DrawnRaces(len(players), RACES, 3)

    found = ColumnRaces(by_player, choice.columns).chunk(1)

    scores = by_player.chunk(1)
    for number, column in enumerate(choice.columns):
        expected = scores[:, column.player].astype(int) * column.points_percent // 100
        assert (found[:, number] == expected).all()


def test_a_sport_that_cannot_be_enumerated_is_refused() -> None:
    roster, players = basketball(60)

    with pytest.raises(BadInput, match="too many"):
        choice_of(roster, players)
