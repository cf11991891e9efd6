# pyright: basic
"""How fast other sports are: `python -m tests.bench.sports [--races N] [--only golf|nba]`.

Prints one JSON line a figure. Golf is six of 88: by mean, by p90 and by p99, each proven; how much the bound rules out
depends on the slate. NBA is annealed by mean, beside what HiGHS proves, and by p99. Slates come from the real files
beside the repository; where there are none, they are invented. The goals are for two quiet cores.
"""

import argparse
import csv
import io
import resource
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.task import Mean, Objective, Quantile
from meshd.kinds.lineups.sports.annealing.task import AnnealedTask
from meshd.kinds.lineups.sports.annealing.work import ChainDesk
from meshd.kinds.lineups.sports.exact.making import choice_of, exact_task
from meshd.kinds.lineups.sports.players import Player, players_of
from meshd.kinds.lineups.sports.roster import Roster, roster_of
from tests.bench.figures import Figure, load, tell
from tests.support.annealed_job import ProjectedRaces, anneal_to_the_end, best_mean_by_highs
from tests.support.exact_job import solve_exactly
from tests.support.sport_slates import basketball

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "other"
GOLFERS = 88
RACES = 10_240
NBA_RACES = 4_096
LINEUPS = 150
BOUNDS = (-2_000, 30_000)
GOLF_GOAL_S = 120.0
GAP_GOAL = 0.1
"""Percent of what HiGHS proves."""

SEEDS = (1, 2, 3, 4, 5)


def golfers() -> tuple[Roster, tuple[Player, ...]]:
    """Return DraftKings' roster and 88 golfers; those without an average are given a modest one."""
    roster = roster_of("draftkings", "golf")
    file = DATA / "healy_Golfweek1.csv"
    if file.is_file():
        rows = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))[:GOLFERS]
    else:
        salaries = [6_000 + 100 * round(51 * (1 - place / GOLFERS) ** 1.8) for place in range(GOLFERS)]
        rows = [
            {
                "Position": "G",
                "Name": f"Golfer {place}",
                "Salary": str(salary),
                "AvgPointsPerGame": str(salary // 110 + place * 37 % 23 - 11),
            }
            for place, salary in enumerate(salaries)
        ]
    return roster, tuple(with_average(player, 800) for player in players_of(roster, rows))


def with_average(player: Player, least: int) -> Player:
    """Return the player with an average of at least so many units."""
    return Player(
        player.id, player.name, player.positions, player.salary, player.team, player.game, max(least, player.average)
    )


def nba() -> tuple[Roster, tuple[Player, ...]]:
    """Return DraftKings' roster and the 266 players of an evening."""
    file = DATA / "bradical_NBA_20191112_DKSalaries.csv"
    if not file.is_file():
        return basketball(266)
    roster = roster_of("draftkings", "nba")
    return roster, players_of(roster, list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig")))))


GOLF: Mapping[str, Objective] = {"mean": Mean(), "p90": Quantile(90_000), "p99": Quantile(99_000)}
"""What golf lineups are chosen by."""

GOLF_IN_SHORT = ("mean", "p90")
"""Without the percentile that takes two minutes."""


def golf_figures(races: int, objectives: Iterable[str] = tuple(GOLF)) -> Iterator[Figure]:
    """Time the best 150 golf lineups, from the first simulated round to the proof; a new worker every time."""
    roster, players = golfers()
    choice = choice_of(roster, players)
    source = ProjectedRaces(players, races)
    for name in objectives:
        took, used, elements = golf(choice, GOLF[name], races, source)
        total = choice.lineups.total
        what = f"golf, 6 of {len(players)}: top {LINEUPS} of {total:,} lineups by {name}, {races:,} races"
        goal = GOLF_GOAL_S if races <= RACES else None
        yield Figure(what, "s", [took], goal)
        yield Figure(f"{what}: all cores together", "s", [used])
        yield Figure(f"{what}: share of lineups x races that had to be counted", "%", [100 * elements / total / races])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    yield Figure("golf: memory of the process at most", "GiB", [memory])


def golf(choice, objective: Objective, races: int, source: ProjectedRaces) -> tuple[float, float, int]:
    """Return how long a golf task takes, how many seconds of all cores, and how many lineups x races it counted."""
    task = exact_task(choice, objective, Diversity(LINEUPS), races, BOUNDS)
    began, used = time.perf_counter(), time.process_time()
    answer = solve_exactly(task, source).answer
    assert len(answer.lineups) == LINEUPS
    counted = sum(effort.elements for effort in answer.efforts)
    return time.perf_counter() - began, time.process_time() - used, counted


def nba_figures() -> list[Figure]:
    """Time one annealed lineup by mean and by p99, and see how far below the optimum the mean is."""
    roster, players = nba()
    source = ProjectedRaces(players, NBA_RACES)
    desk = ChainDesk()
    task = AnnealedTask(roster, players, Mean(), Diversity(1), NBA_RACES, seed=0)
    first = time.perf_counter()
    anneal_to_the_end(task, source, desk=desk)
    first = time.perf_counter() - first
    began = time.perf_counter()
    proven = best_mean_by_highs(task, source.all().sum(axis=0))
    highs = time.perf_counter() - began
    took, used, gaps, tails, values = [], [], [], [], []
    for seed in SEEDS:
        for objective in (Mean(), Quantile(99_000)):
            task = AnnealedTask(roster, players, objective, Diversity(1), NBA_RACES, seed)
            began = time.perf_counter()
            before = time.process_time()
            value = anneal_to_the_end(task, source, desk=desk).answer.values[0]
            if isinstance(objective, Mean):
                took.append(time.perf_counter() - began)
                used.append(time.process_time() - before)
                gaps.append(100 * (1 - value / proven))
            else:
                tails.append(time.perf_counter() - began)
                values.append(value / 20)
    what = f"NBA, {len(players)} players"
    return [
        Figure(f"{what}: one lineup by mean, {NBA_RACES:,} games", "s", took),
        Figure(f"{what}: all cores together", "s", used),
        Figure(f"{what}: the first time, compilation included", "s", [first]),
        Figure(f"{what}: HiGHS, the same lineup", "s", [highs]),
        Figure(f"{what}: gap to what HiGHS proves, {len(SEEDS)} seeds", "%", gaps, GAP_GOAL),
        Figure(f"{what}: one lineup by p99", "s", tails),
        Figure(f"{what}: its p99", "points", values),
        Figure(f"{what}: spread of the p99 over seeds", "points", [float(np.ptp(values))]),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benches; return 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=RACES)
    parser.add_argument("--only", choices=("golf", "nba"))
    options = parser.parse_args(arguments)
    status = tell([load("before")])
    if options.only != "golf":
        status |= tell(nba_figures())
    if options.only != "nba":
        status |= tell(golf_figures(options.races))
    return status | tell([load("after")])


if __name__ == "__main__":
    raise SystemExit(main())
