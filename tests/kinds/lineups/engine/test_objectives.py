"""Every objective's answer is the one that looking at every lineup in every race gives."""

from itertools import combinations
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.bench import Bench
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.opponents import Field, draw_field
from meshd.kinds.lineups.engine.rules import Group, Rules, Stack
from meshd.kinds.lineups.engine.steps import Line, Score
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, FieldLine, Mean, Objective, Quantile, Task
from tests.support.drive import backwards, whole
from tests.support.engine_job import DrawnRaces, solve


def gloomy(_: float) -> float:
    """Return a quantile that is far too low."""
    return -3.0


def hopeful(_: float) -> float:
    """Return a quantile that is far too high."""
    return 4.0


BENCH = Bench()
"""One for all examples, as a worker has one for all jobs."""


def salaries_of(players: int, seed: int) -> tuple[int, ...]:
    return tuple((np.random.default_rng(seed).integers(40, 100, players) * 100).tolist())


def keeps(rules: Rules, lineup: tuple[int, ...]) -> bool:
    """Judge one lineup by the rules, one after the other."""
    cost = sum(rules.salaries[player] for player in lineup)
    if (rules.cap is not None and cost > rules.cap) or cost < rules.floor or lineup in rules.banned:
        return False
    for group in rules.groups:
        count = len(set(group.members) & set(lineup))
        most = len(lineup) if group.most is None else group.most
        if (group.when is None or group.when in lineup) and not group.least <= count <= most:
            return False
    return all(any(len(set(choice) & set(lineup)) >= stack.least for choice in stack.choices) for stack in rules.stacks)


def feasible_by_hand(task: Task) -> list[tuple[int, ...]]:
    lineups = task.lineups
    return [
        lineup
        for lineup in combinations(range(lineups.players), lineups.size)
        if set(lineups.locked) <= set(lineup) and not set(lineups.excluded) & set(lineup) and keeps(task.rules, lineup)
    ]


def line_by_hand(task: Task, line: Line | None, scores: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the line of each race, opponent by opponent."""
    if not isinstance(line, Field):
        return np.full(len(scores), 0 if line is None else line.units)
    opponents = draw_field(line, task.rules.salaries, task.lineups.size)
    return np.sort(scores[:, opponents].sum(axis=2), axis=1)[:, -line.rank] + 1


def may_follow(diversity: Diversity, lineup: tuple[int, ...], before: list[tuple[int, ...]], left: int) -> bool:
    """Judge one lineup by those before it, one bound after the other."""
    size = len(lineup)
    overlap = size - 1 if diversity.max_overlap is None else min(size - 1, diversity.max_overlap)
    if any(len(set(lineup) & set(other)) > overlap for other in before):
        return False
    used = {player: sum(player in other for other in before) for other in before for player in other}
    if diversity.most and any(used.get(player, 0) >= diversity.most[player] for player in lineup):
        return False
    lacking = {
        player: least - used.get(player, 0)
        for player, least in enumerate(diversity.least)
        if least > used.get(player, 0)
    }
    if any(lack >= left and player not in lineup for player, lack in lacking.items()):
        return False
    return len(set(lacking) & set(lineup)) >= sum(lacking.values()) - (left - 1) * size


def by_hand(task: Task, meant: Line | None, races: DrawnRaces) -> list[tuple[int, ...]]:
    """Choose one lineup after the other, each time looking at all lineups in all races."""
    scores, diversity = races.all(), task.diversity
    lineups = feasible_by_hand(task)
    points = {lineup: scores[:, list(lineup)].sum(axis=1) for lineup in lineups}
    given_points = [scores[:, list(lineup)].sum(axis=1) for lineup in diversity.given]
    line = line_by_hand(task, meant, scores)
    picks: list[tuple[int, ...]] = []

    def value(lineup: tuple[int, ...]) -> int:
        mine = points[lineup]
        there = [*given_points, *(points[pick] for pick in picks)]
        match task.objective:
            case Mean():
                return int(mine.sum())
            case Quantile(quantile):
                needed = max(1, -(-len(mine) * (100_000 - quantile) // 100_000))
                return int(np.sort(mine)[-needed])
            case Beat():
                return int((mine >= line).sum())
            case Cover():
                free = np.all([other < line for other in there], axis=0) if there else np.ones(len(mine), bool)
                return int(((mine >= line) & free).sum())
            case ExpectedMax():
                best = np.max(there, axis=0) if there else np.zeros(len(mine), int)
                return int(np.maximum(mine - best, 0).sum()) if there else int(mine.sum())

    while len(picks) < diversity.count:
        before, left = [*diversity.given, *picks], diversity.count - len(picks)
        open_lineups = [lineup for lineup in lineups if may_follow(diversity, lineup, before, left)]
        if not open_lineups:
            break
        picks.append(min(open_lineups, key=lambda lineup: (-value(lineup), -int(points[lineup].sum()), lineup)))
    return picks


def members_of(task: Task, answer: Answer) -> list[tuple[int, ...]]:
    return [tuple(lineup) for lineup in task.lineups.members(answer.lineups).tolist()]


@st.composite
def rules(draw: st.DrawFn, players: int) -> Rules:
    salaries = salaries_of(players, draw(st.integers(0, 99)))
    some = st.lists(st.integers(0, players - 1), min_size=1, max_size=5, unique=True).map(tuple)
    group = st.builds(
        Group, some, st.integers(0, 1), st.none() | st.integers(1, 3), st.none() | st.integers(0, players - 1)
    )
    teams = (tuple(range(0, players, 2)), tuple(range(1, players, 2)))
    return Rules(
        salaries,
        cap=draw(st.none() | st.integers(36_000, 46_000)),
        floor=draw(st.sampled_from([0, 0, 34_000])),
        groups=tuple(draw(st.lists(group, max_size=2))),
        stacks=draw(st.sampled_from([(), (), (Stack(teams, 4),)])),
    )


@st.composite
def diversities(draw: st.DrawFn, players: int, size: int) -> Diversity:
    count = draw(st.integers(1, 8))
    return Diversity(
        count,
        max_overlap=draw(st.none() | st.integers(size - 3, size - 1)),
        most=draw(st.just(()) | st.just((-(-2 * count // 3),) * players)),
        least=draw(st.just(()) | st.just((2, 1, *[0] * (players - 2)))),
        given=draw(st.sampled_from([(), (), (tuple(range(size)),)])),
    )


FIELD = FieldLine(200, 97_000, 5, 46_000, 0)

OBJECTIVES: list[Objective] = [
    Mean(),
    Quantile(50_000),
    Quantile(90_000),
    Quantile(99_900),
    Beat(Score(4_300)),
    Beat(FIELD),
    Cover(Score(4_700)),
    Cover(FIELD),
    ExpectedMax(),
]


@st.composite
def tasks(draw: st.DrawFn, objective: Objective) -> tuple[Task, DrawnRaces]:
    players, size = 11, draw(st.sampled_from([6, 6, 5]))
    order = draw(st.permutations(range(players)))
    locked, excluded = draw(st.integers(0, 1)), draw(st.integers(0, 2))
    lineups = Lineups(players, size, tuple(sorted(order[:locked])), tuple(sorted(order[locked : locked + excluded])))
    races = DrawnRaces(players, draw(st.sampled_from([60, 1_030])), draw(st.integers(0, 9)), holdout=64)
    task = Task(
        lineups,
        draw(rules(players)),
        draw(diversities(players, size)),
        objective,
        races.races,
        (0, 8_000),
        holdout=races.holdout,
        candidates=draw(st.sampled_from([0, 12])),
    )
    return task, races


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@given(data=st.data())
@settings(max_examples=12)
def test_the_answer_is_that_of_looking_at_everything(objective: Objective, data: st.DataObject) -> None:
    task, races = data.draw(tasks(objective))
    try:
        job = solve(task, races, cut=data.draw(st.sampled_from([whole, backwards])), bench=BENCH)
    except BadInput:
        assert not by_hand(task, None, races)
        return
    assert members_of(task, job.answer) == by_hand(task, job.answer.proof.line, races)


def plain_task(objective: Objective, races: DrawnRaces, **changes: object) -> Task:
    fields: dict[str, object] = {
        "lineups": Lineups(races.players, 6),
        "rules": Rules(salaries_of(races.players, 3), cap=41_000),
        "diversity": Diversity(12),
        "objective": objective,
        "scenarios": races.races,
        "bounds": (0, 8_000),
    }
    return Task(**{**fields, **changes})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("objective", [Cover(Score(5_000)), Cover(FIELD), ExpectedMax()], ids=str)
def test_each_choice_of_a_portfolio_is_proven(objective: Objective) -> None:
    races = DrawnRaces(14, 2_000, 4, holdout=3_000)
    task = plain_task(objective, races, candidates=9, holdout=3_000)
    answer = solve(task, races).answer
    proof = answer.proof
    assert list(proof.gains) == sorted(proof.gains, reverse=True)
    assert all(gain >= bound for gain, bound in zip(proof.gains, proof.bounds, strict=True))
    assert proof.passes == len(proof.rounds) > 1
    assert sum(each.picks for each in proof.rounds) in {12, 11}
    # Looked at again by another task, whose candidates are all lineups, they are the same.
    assert members_of(task, answer) == members_of(task, solve(plain_task(objective, races), races).answer)


def test_fresh_races_judge_the_lineups_that_were_chosen() -> None:
    races = DrawnRaces(12, 600, 4, holdout=1_500)
    task = plain_task(Cover(Score(4_900)), races, holdout=1_500)
    answer = solve(task, races, cut=backwards).answer
    fresh = answer.fresh
    assert fresh is not None
    scored = races.all_fresh()[:, task.lineups.members(answer.lineups)].sum(axis=2)
    assert fresh.races == 1_500
    assert fresh.sums.tolist() == scored.sum(axis=0).tolist()
    assert fresh.squares.tolist() == (scored**2).sum(axis=0).tolist()
    assert fresh.wins.tolist() == (scored >= 4_900).sum(axis=0).tolist()
    assert fresh.covered == int((scored >= 4_900).any(axis=1).sum())
    assert fresh.best == int(scored.max(axis=1).sum())
    # What was chosen for these races does not do as well in others.
    assert fresh.covered / 1_500 < sum(answer.proof.gains) / 600


def test_the_complete_set_holds_every_lineup_that_reaches_the_line() -> None:
    races = DrawnRaces(13, 1_500, 2)
    task = plain_task(Quantile(98_000), races)
    proof = solve(task, races).answer.proof
    scores = races.all()
    values = sorted(
        (int(np.sort(scores[:, list(lineup)].sum(axis=1))[-30]) for lineup in feasible_by_hand(task)), reverse=True
    )
    assert (proof.line, proof.required, proof.passes) == (Score(values[11]), 30, 1)
    assert proof.complete_set == sum(value >= values[11] for value in values)


def test_poor_candidates_cost_time_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    races = DrawnRaces(12, 1_200, 2)
    task = plain_task(Quantile(90_000), races, candidates=12)
    usual = solve(task, races).answer
    monkeypatch.setattr("meshd.kinds.lineups.engine.quantiles.normal_quantile", gloomy)
    poor = solve(task, races).answer
    assert members_of(task, poor) == members_of(task, usual)
    assert poor.proof.complete_set > usual.proof.complete_set


def test_a_window_of_scores_that_was_too_narrow_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    races = DrawnRaces(12, 1_200, 2)
    task = plain_task(Quantile(90_000), races)
    usual = solve(task, races)
    monkeypatch.setattr("meshd.kinds.lineups.engine.quantiles.normal_quantile", hopeful)
    monkeypatch.setattr("meshd.kinds.lineups.engine.quantile_story._MARGIN", 200)
    widened = solve(task, races)
    assert members_of(task, widened.answer) == members_of(task, usual.answer)
    assert len(widened.steps) > len(usual.steps)


def test_ties_beyond_what_can_be_looked_at_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshd.kinds.lineups.engine.quantile_story.MAX_CANDIDATES", 12)
    races = DrawnRaces(10, 20, 2)
    with pytest.raises(BadInput, match="cannot tell them apart"):
        solve(plain_task(Quantile(50_000), races, diversity=Diversity(12), candidates=12), races)


def test_the_mean_with_bounded_overlap_has_the_values_that_a_mip_solver_finds() -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy, which JAX brings, is not installed")
    players, count, overlap = 20, 5, 3
    races = DrawnRaces(players, 200, 11)
    rules = Rules(salaries_of(players, 11), cap=40_000)
    task = plain_task(
        Mean(), races, lineups=Lineups(players, 6), rules=rules, diversity=Diversity(count, max_overlap=overlap)
    )
    answer = solve(task, races).answer
    sums = races.all().sum(axis=0)
    found = [int(sums[list(lineup)].sum()) for lineup in members_of(task, answer)]
    bounds = [(np.ones(players), 6, 6), (np.array(rules.salaries), 0, 40_000)]
    expected: list[int] = []
    for _ in range(count):
        matrix, low, high = (np.array([bound[part] for bound in bounds]) for part in range(3))
        solved = optimize.milp(
            -sums,
            integrality=np.ones(players),
            bounds=(0, 1),
            constraints=(matrix, low, high),
            options={"mip_rel_gap": 0},
        )
        chosen = cast("NDArray[np.float64]", np.round(solved.x))
        expected.append(int(sums @ chosen))
        bounds.append((chosen, 0, overlap))
    assert found == expected


def test_a_quantile_under_bounds_is_found_in_rounds_that_leave_closed_lineups_alone() -> None:
    races = DrawnRaces(13, 400, 5)
    diversity = Diversity(14, max_overlap=3, most=(6,) * 13)
    task = plain_task(Quantile(90_000), races, diversity=diversity, candidates=40)
    job = solve(task, races)
    proof = job.answer.proof
    assert members_of(task, job.answer) == by_hand(task, None, races)
    assert proof.passes > 1
    scores = races.all()
    last = int(np.sort(scores[:, list(members_of(task, job.answer)[-1])].sum(axis=1))[-proof.required])
    above = sum(
        int(np.sort(scores[:, list(lineup)].sum(axis=1))[-proof.required]) >= last for lineup in feasible_by_hand(task)
    )
    assert proof.line == Score(last)
    assert proof.complete_set < above
