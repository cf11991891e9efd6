# pyright: basic
"""Annealed lineups keep every rule, are the best there are on slates that can be proven, and follow from the seed."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.quantiles import races_required
from meshd.kinds.lineups.engine.rules import Group, Stack
from meshd.kinds.lineups.engine.steps import Score
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Objective, Quantile
from meshd.kinds.lineups.partials import Best
from meshd.kinds.lineups.sports.annealing.board import board_of, is_lineup
from meshd.kinds.lineups.sports.annealing.steps import Anneal
from meshd.kinds.lineups.sports.annealing.task import UNIT_CHAINS, AnnealedTask
from meshd.kinds.lineups.sports.annealing.work import AnnealSpan, ChainDesk, run
from meshd.kinds.lineups.sports.conflicts import NoLineup
from meshd.kinds.lineups.sports.players import players_of
from meshd.kinds.lineups.sports.roster import roster_of
from tests.support.annealed_job import ProjectedRaces, anneal_to_the_end, best_mean_by_highs, shortened
from tests.support.drive import backwards
from tests.support.engine_job import Patient
from tests.support.sport_slates import basketball

RACES = 1_500
GAP = 0.001
"""How far below HiGHS' proven optimum the best annealed mean may be, as a share of it."""


@pytest.fixture(scope="module")
def desk() -> ChainDesk:
    """Return one desk for all tests: compiled code is kept by shape."""
    return ChainDesk()


def task_of(players: int, objective: Objective = Mean(), *, count: int = 1, teams: int = 8) -> AnnealedTask:  # noqa: B008
    roster, slate = basketball(players, teams)
    return AnnealedTask(roster, slate, objective, Diversity(count), RACES, seed=1, holdout=1_100)


def races_of(task: AnnealedTask) -> ProjectedRaces:
    return ProjectedRaces(task.players, task.scenarios, holdout=task.holdout)


def chains_by_mean(task: AnnealedTask, desk: ChainDesk) -> Best:
    """Return what chains find without a solver."""
    races = races_of(task)
    step = Anneal(tuple(races.all().sum(axis=0).tolist()), 0, 256)
    found = run(step, AnnealSpan(task, races, 0, task.units, Patient()), desk)
    assert isinstance(found, Best)
    return found


def every_lineup(task: AnnealedTask) -> np.ndarray:
    members = np.array(list(combinations(range(len(task.players)), task.roster.size)))
    return members[is_lineup(task, board_of(task), members)]


def test_on_a_small_slate_the_best_of_all_lineups_is_found_by_mean_and_by_quantile(desk: ChainDesk) -> None:
    for objective in (Mean(), Quantile(90_000), Beat(Score(4_600)), Cover(Score(4_600)), ExpectedMax()):
        task = shortened(task_of(13, objective), chains=2 * UNIT_CHAINS, moves=600)
        found = races_of(task).all()[:, every_lineup(task)].sum(axis=2)
        match objective:
            case Quantile(quantile):
                best = np.sort(found, axis=0)[-races_required(RACES, quantile)]
            case Beat() | Cover():
                best = (found >= 4_600).sum(axis=0)
            case _:
                best = found.sum(axis=0)

        answer = anneal_to_the_end(task, races_of(task), desk=desk).answer

        assert answer.values[0] == best.max()


@pytest.mark.parametrize("objective", [Cover(Score(4_600)), ExpectedMax()], ids=str)
def test_each_lineup_of_a_portfolio_adds_what_it_is_said_to_and_hardly_less_than_any_other(
    objective: Objective, desk: ChainDesk
) -> None:
    given = (0, 1, 2, 3, 4, 5, 6, 7)
    task = replace(task_of(13, objective), diversity=Diversity(6, max_overlap=7, given=(given,)))
    task = shortened(task, chains=2 * UNIT_CHAINS, moves=600)
    drawn = races_of(task).all()
    everything = drawn[:, every_lineup(task)].sum(axis=2)
    beforehand = drawn[:, given].sum(axis=1)

    answer = anneal_to_the_end(task, races_of(task), desk=desk).answer

    lost = 0.0
    best, covered = beforehand.copy(), beforehand >= 4_600
    for lineup, value in zip(answer.lineups, answer.values, strict=True):
        own = drawn[:, lineup].sum(axis=1)
        if isinstance(objective, Cover):
            gains = ((everything >= 4_600) & ~covered[:, None]).sum(axis=0)
            assert value == ((own >= 4_600) & ~covered).sum()
        else:
            gains = np.maximum(everything - best[:, None], 0).sum(axis=0)
            assert value == np.maximum(own - best, 0).sum()
        lost = max(lost, 1 - value / max(1, gains.max()))
        covered |= own >= 4_600
        best = np.maximum(best, own)
    assert answer.reached == (covered.sum() if isinstance(objective, Cover) else best.sum())
    assert lost <= 0.25


def test_the_best_mean_of_a_large_slate_is_within_the_stated_gap_of_what_highs_proves(desk: ChainDesk) -> None:
    task = task_of(200, count=2)
    proven = best_mean_by_highs(task, races_of(task).all().sum(axis=0))

    answer = anneal_to_the_end(task, races_of(task), desk=desk).answer

    assert (1 - GAP) * proven <= chains_by_mean(task, desk).values[0] <= proven
    assert answer.values[0] == answer.bound == proven
    assert answer.proven == 1


@pytest.mark.parametrize(
    ("site", "sport", "file"),
    [
        ("draftkings", "nba", "other/draftfast_dk-nba-salaries.csv"),
        ("draftkings", "nfl", "other/draftfast_dk-nfl-salaries.csv"),
        ("fanduel", "nfl", "other/draftfast_fd-nfl-salaries.csv"),
        ("draftkings", "mlb", "other/draftfast_dk-mlb-salaries.csv"),
    ],
)
def test_on_real_slates_the_gap_is_no_larger(site: str, sport: str, file: str, real_file: Callable[[str], str]) -> None:
    import csv
    import io

    roster = roster_of(site, sport)
    players = players_of(roster, list(csv.DictReader(io.StringIO(real_file(file).lstrip("\ufeff")))))
    task = AnnealedTask(roster, players, Mean(), Diversity(2), RACES, seed=1)
    proven = best_mean_by_highs(task, races_of(task).all().sum(axis=0))

    answer = anneal_to_the_end(task, races_of(task)).answer

    assert (1 - GAP) * proven <= chains_by_mean(task, ChainDesk()).values[0] <= proven
    assert answer.values[0] == answer.bound == proven
    assert answer.proven == 1


def test_a_quantile_is_better_than_that_of_the_lineup_with_the_best_mean(desk: ChainDesk) -> None:
    task = replace(task_of(200, Quantile(99_000)), chains=4 * UNIT_CHAINS, moves=2_000)
    races = races_of(task)
    by_mean = anneal_to_the_end(replace(task, objective=Mean()), races, desk=desk).answer
    required = races_required(RACES, 99_000)

    answer = anneal_to_the_end(task, races, desk=desk).answer

    def quantile(lineup: np.ndarray) -> int:
        return int(np.sort(races.all()[:, lineup].sum(axis=1))[-required])

    assert answer.values[0] == quantile(answer.lineups[0]) > quantile(by_mean.lineups[0])
    assert answer.fresh is not None
    assert answer.fresh.races == 1_100


def test_groups_of_chains_are_the_same_alone_and_in_any_order(desk: ChainDesk) -> None:
    task = replace(task_of(120, Beat(Score(4_400))), chains=3 * UNIT_CHAINS, moves=400)
    races = races_of(task)

    one, other = (anneal_to_the_end(task, races, desk=desk, cut=cut) for cut in (backwards, lambda n: [(0, n)]))

    assert np.array_equal(one.answer.lineups, other.answer.lineups)
    assert one.answer.values == other.answer.values
    assert one.answer.chains == other.answer.chains == 3 * UNIT_CHAINS
    for partial, twin in zip(one.partials, other.partials, strict=True):
        assert np.array_equal(getattr(partial, "values", 0), getattr(twin, "values", 0))


def test_another_seed_is_other_luck(desk: ChainDesk) -> None:
    task = replace(task_of(120), chains=UNIT_CHAINS, moves=100)

    def found(seed: int) -> bytes:
        return chains_by_mean(replace(task, seed=seed), desk).members.tobytes()

    assert len({found(seed) for seed in (1, 1, 2, 1 << 40)}) == 3


@pytest.mark.parametrize("objective", [Mean(), Beat(Score(4_400))], ids=str)
def test_every_lineup_keeps_the_sites_rules_and_the_users(objective: Objective, desk: ChainDesk) -> None:
    rules = {"locked": (7,), "excluded": (3, 11), "floor": 48_000}
    groups = (Group((20, 21, 22), most=1), Group((30, 31, 32, 33), least=1, when=7))
    stacks = (Stack(((40, 41, 42), (50, 51, 52, 53)), 2),)
    task = replace(
        task_of(90, objective, teams=4),
        **rules,
        chains=4 * UNIT_CHAINS,
        moves=1_500,
        groups=groups,
        stacks=stacks,
        diversity=Diversity(9, max_overlap=6, most=(6,) * 7 + (9,) + (6,) * 82, least=(0,) * 60 + (2,) + (0,) * 29),
    )

    answer = anneal_to_the_end(task, races_of(task), desk=desk).answer

    lineups = np.sort(answer.lineups, axis=1)
    assert len(lineups) == 9
    assert is_lineup(task, board_of(task), lineups).all()
    for lineup in answer.lineups.tolist():
        for slot, player in zip(task.roster.places, lineup, strict=True):
            assert set(task.players[player].positions) & set(slot.eligible)
        assert 48_000 <= sum(task.players[player].salary for player in lineup) <= 50_000
        assert 7 in lineup
        assert not {3, 11} & set(lineup)
        assert len({20, 21, 22} & set(lineup)) <= 1
        assert len({30, 31, 32, 33} & set(lineup)) >= 1
        assert max(len({40, 41, 42} & set(lineup)), len({50, 51, 52, 53} & set(lineup))) >= 2
        assert len({task.players[player].game for player in lineup}) >= 2
    assert all(len({*one} & {*other}) <= 6 for one, other in combinations(lineups.tolist(), 2))
    uses = np.bincount(lineups.ravel(), minlength=90)
    assert uses[60] >= 2
    assert max(uses[:7].max(), uses[8:].max()) <= 6


@pytest.mark.parametrize("objective", [Mean(), Beat(Score(5_000))], ids=str)
def test_fanduels_team_rules_are_kept(objective: Objective) -> None:
    roster = roster_of("fanduel", "nba")
    _, players = basketball(80, teams=7)
    # One team is by far the best: without the rule it would fill the lineup.
    players = tuple(
        replace(player, average=player.average + (600 if player.team == "ATL" else 0), salary=4_000)
        for player in players
    )
    task = AnnealedTask(roster, players, objective, Diversity(1), RACES, seed=1, chains=UNIT_CHAINS)

    (lineup,) = anneal_to_the_end(task, races_of(task)).answer.lineups.tolist()

    teams = [players[player].team for player in lineup]
    assert teams.count("ATL") in ({4} if isinstance(objective, Mean) else {3, 4})
    assert len(set(teams)) >= 3


def test_rules_that_no_lineup_keeps_are_told() -> None:
    task = replace(task_of(30), locked=(0, 1), groups=(Group((0, 1), most=1),), chains=UNIT_CHAINS, moves=50)

    with pytest.raises(NoLineup, match="No lineup keeps all rules"):
        anneal_to_the_end(task, races_of(task))


def test_a_place_that_nobody_can_fill_is_named() -> None:
    task = task_of(30)
    centres = tuple(number for number, player in enumerate(task.players) if "C" in player.positions)

    with pytest.raises(BadInput, match="Nobody is left to play C"):
        anneal_to_the_end(replace(task, excluded=centres), races_of(task))
