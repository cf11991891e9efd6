"""Exact answers by ranges: what plain Python finds by looking at every lineup, in whatever order ranges are done."""

from collections.abc import Iterator
from itertools import combinations, product
from math import comb

import numpy as np
import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.opponents import Field
from meshd.kinds.lineups.engine.quantiles import races_required
from meshd.kinds.lineups.engine.rules import Group, Rules, Stack
from meshd.kinds.lineups.engine.steps import Score
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, FieldLine, Mean, Objective, Quantile, Task
from meshd.kinds.lineups.sports.exact import counting, ground, halves, search
from meshd.kinds.lineups.sports.exact.making import kept_task
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.parts import Part
from tests.support.drive import backwards
from tests.support.engine_job import DrawnRaces, solve
from tests.support.exact_job import ExactJob, solve_exactly

RACES = 1_500
BOUNDS = (-2_000, 12_000)

GOLF = (Part(tuple(range(14)), 6),)
CAPTAIN = (Part(tuple(range(5)), 1), Part(tuple(range(5, 12)), 4), Part(tuple(range(12, 16)), 1))
"""A captain among five columns, four drivers among seven, and one of four constructors."""

MVP = (Part(tuple(range(6)), 1), Part(tuple(range(6, 14)), 5))
FIVE = (Part(tuple(range(13)), 5),)

OBJECTIVES = [Mean(), Quantile(90_000), Quantile(99_000), Beat(Score(4_200))]


def salaries_of(players: int) -> tuple[int, ...]:
    return tuple(6_000 + 100 * (player * 37 % 41) for player in range(players))


def task_of(
    parts: tuple[Part, ...],
    objective: Objective,
    *,
    rules: Rules | None = None,
    diversity: Diversity | None = None,
    locked: tuple[int, ...] = (),
    excluded: tuple[int, ...] = (),
) -> StreamedTask:
    players, size = sum(len(part.columns) for part in parts), sum(part.count for part in parts)
    rules = rules or Rules(salaries_of(players), cap=8_000 * size)
    lineups = Lineups(players, size, locked, excluded)
    return StreamedTask(lineups, rules, diversity or Diversity(12), objective, RACES, BOUNDS, 1_100, parts=parts)


def races_of(task: StreamedTask) -> DrawnRaces:
    return DrawnRaces(task.lineups.players, RACES, 5, holdout=1_100)


def every_lineup(task: StreamedTask) -> Iterator[tuple[int, ...]]:
    for choice in product(*(combinations(part.columns, part.count) for part in task.parts)):
        lineup = tuple(sorted(sum(choice, ())))
        if set(task.lineups.locked) <= set(lineup) and not set(task.lineups.excluded) & set(lineup):
            yield lineup


def keeps(rules: Rules, lineup: tuple[int, ...]) -> bool:
    cost = sum(rules.salaries[player] for player in lineup)
    return (
        rules.floor <= cost <= (rules.cap or 1 << 30)
        and all(
            (group.when is not None and group.when not in lineup)
            or group.least <= len({*group.members} & {*lineup}) <= (99 if group.most is None else group.most)
            for group in rules.groups
        )
        and all(any(len({*choice} & {*lineup}) >= stack.least for choice in stack.choices) for stack in rules.stacks)
        and lineup not in rules.banned
    )


def value_of(task: StreamedTask, scores: np.ndarray) -> int:
    match task.objective:
        case Mean():
            return int(scores.sum())
        case Quantile(quantile):
            return int(np.sort(scores)[-races_required(len(scores), quantile)])
        case Beat(Score(units)):
            return int((scores >= units).sum())
        case _:
            raise AssertionError


def best_by_looking(task: StreamedTask, overlap: int | None = None) -> list[tuple[int, ...]]:
    """Return the best lineups, looked at one by one; equal ones in the order that the engine promises."""
    scores = races_of(task).all()
    ranked = sorted(
        (-value_of(task, found := scores[:, lineup].sum(axis=1)), -int(found.sum()), lineup)
        for lineup in every_lineup(task)
        if keeps(task.rules, lineup)
    )
    chosen: list[tuple[int, ...]] = []
    for _, _, lineup in ranked:
        if len(chosen) < task.diversity.count and all(
            len({*lineup} & {*other}) <= (99 if overlap is None else overlap) for other in chosen
        ):
            chosen.append(lineup)
    return chosen


def lineups_of(task: StreamedTask, job: ExactJob) -> list[tuple[int, ...]]:
    return [tuple(lineup) for lineup in task.lineups.members(job.answer.lineups).tolist()]


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    # Small slates come in several ranges, too, and their candidates are few of their lineups.
    for module in (counting, halves, search):
        monkeypatch.setattr(module, "BLOCK_ROWS", 128)
    monkeypatch.setattr(ground, "CANDIDATES", 20)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("parts", [GOLF, CAPTAIN, MVP, FIVE], ids=["golf", "captain", "mvp", "five"])
def test_the_answer_is_what_looking_at_every_lineup_finds(parts: tuple[Part, ...], objective: Objective) -> None:
    task = task_of(parts, objective)

    job = solve_exactly(task, races_of(task))

    assert lineups_of(task, job) == best_by_looking(task)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_ranges_done_one_by_one_and_backwards_give_the_same_answer(objective: Objective) -> None:
    task = task_of(GOLF, objective)

    one, other = solve_exactly(task, races_of(task)), solve_exactly(task, races_of(task), cut=backwards)

    assert any(planned.units(task) > 1 for planned in one.steps)
    assert np.array_equal(one.answer.lineups, other.answer.lineups)
    assert np.array_equal(one.answer.described.counts, other.answer.described.counts)
    assert one.answer.proof == other.answer.proof
    assert one.answer.fresh is not None
    assert other.answer.fresh is not None
    assert np.array_equal(one.answer.fresh.sums, other.answer.fresh.sums)


@pytest.mark.parametrize("objective", [Mean(), Quantile(90_000), Beat(Score(4_200))], ids=str)
def test_every_rule_is_kept(objective: Objective) -> None:
    players = 14
    groups = (Group((0, 1), most=1), Group((2, 3, 4), least=1, when=5), Group((9, 10), most=1))
    plain = Rules(salaries_of(players), cap=47_500, floor=44_000, groups=groups, stacks=(Stack(((6, 7), (8, 11)), 2),))
    first = best_by_looking(task_of(GOLF, objective, rules=plain))[0]
    rules = Rules(plain.salaries, plain.cap, plain.floor, plain.groups, plain.stacks, (first,))
    task = task_of(GOLF, objective, rules=rules, locked=(7,), excluded=(12,))

    job = solve_exactly(task, races_of(task))

    assert lineups_of(task, job) == best_by_looking(task)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_lineups_that_must_differ_are_chosen_as_if_all_were_ranked(objective: Objective) -> None:
    task = task_of(GOLF, objective, diversity=Diversity(8, max_overlap=3))

    job = solve_exactly(task, races_of(task))

    assert lineups_of(task, job) == best_by_looking(task, overlap=3)


@pytest.mark.parametrize("parts", [GOLF, CAPTAIN], ids=["golf", "captain"])
def test_a_line_that_differs_from_race_to_race_is_counted_exactly(parts: tuple[Part, ...]) -> None:
    field = FieldLine(300, 90_000, 3, 48_000, 40_000)
    for objective in (Beat(field), Cover(field)):
        task = task_of(parts, objective)
        scores = races_of(task).all()

        job = solve_exactly(task, races_of(task))

        line = job.answer.proof.line
        assert isinstance(line, Field)
        opponents = task.opponents(line)
        costs = np.array(task.rules.salaries)[opponents].sum(axis=1)
        assert (costs >= 40_000).all()
        assert (costs <= 48_000).all()
        for part in parts:
            assert (np.isin(opponents, part.columns).sum(axis=1) == part.count).all()
        lines = np.sort(scores[:, opponents].sum(axis=2), axis=1)[:, -30] + 1
        first = job.answer.lineups[:1]
        wins = int((scores[:, task.lineups.members(first)[0]].sum(axis=1) >= lines).sum())
        best = max(
            int((scores[:, lineup].sum(axis=1) >= lines).sum())
            for lineup in every_lineup(task)
            if keeps(task.rules, lineup)
        )
        assert wins == best == (job.answer.proof.counts or job.answer.proof.gains)[0]


def test_more_lineups_than_there_are_bring_all_there_are() -> None:
    task = task_of(CAPTAIN, Quantile(90_000), diversity=Diversity(1_000))

    job = solve_exactly(task, races_of(task))

    assert lineups_of(task, job) == best_by_looking(task)
    assert 0 < len(job.answer.lineups) < 1_000


def test_every_lineup_is_accounted_for_and_most_are_ruled_out() -> None:
    task = task_of((Part(tuple(range(30)), 6),), Quantile(90_000), diversity=Diversity(5))

    job = solve_exactly(task, races_of(task))

    (effort,) = job.answer.efforts
    assert 0 < effort.elements < comb(30, 6) * RACES / 2
    assert job.answer.proof.passes == 1


def test_a_partial_that_leaves_a_range_out_is_refused() -> None:
    task = task_of(GOLF, Mean())

    with pytest.raises(BadInput, match="does not belong"):
        solve_exactly(task, races_of(task), cut=lambda units: [(0, max(1, units - 1))])


TOGETHER = [Cover(Score(4_500)), Cover(Score(5_300)), ExpectedMax()]
"""A line that many reach, one that hardly anybody reaches, and none."""


@pytest.mark.parametrize("objective", TOGETHER, ids=str)
@pytest.mark.parametrize("parts", [GOLF, CAPTAIN, FIVE], ids=["golf", "captain", "five"])
def test_a_portfolio_is_what_the_engine_that_keeps_every_lineup_chooses(
    parts: tuple[Part, ...], objective: Objective
) -> None:
    given = best_by_looking(task_of(parts, Mean(), diversity=Diversity(3)))[2:]
    for diversity in (Diversity(20), Diversity(9, max_overlap=3), Diversity(8, given=tuple(given))):
        task = task_of(parts, objective, diversity=diversity)
        kept = kept_task(task)
        assert kept is not None

        job, other = solve_exactly(task, races_of(task)), solve(kept, races_of(task))

        assert lineups_of(task, job) == [tuple(each) for each in kept.lineups.members(other.answer.lineups).tolist()]
        assert job.answer.proof.gains == other.answer.proof.gains
        assert all(gain >= bound for gain, bound in zip(job.answer.proof.gains, job.answer.proof.bounds, strict=True))


@pytest.mark.parametrize("objective", TOGETHER, ids=str)
def test_a_portfolio_chosen_in_many_small_rounds_is_the_same(
    objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(GOLF, objective, diversity=Diversity(15, max_overlap=4))
    expected = solve_exactly(task, races_of(task))

    def few(task: Task, line: object) -> int:
        del task, line
        return 3

    monkeypatch.setattr("meshd.kinds.lineups.sports.exact.portfolio.pool_size", few)

    job = solve_exactly(task, races_of(task), cut=backwards)

    assert job.answer.proof.passes > expected.answer.proof.passes
    assert lineups_of(task, job) == lineups_of(task, expected)
    assert job.answer.proof.gains == expected.answer.proof.gains


@pytest.mark.parametrize("objective", [Cover(Score(4_500)), ExpectedMax()], ids=str)
def test_of_very_many_lineups_each_choice_adds_nearly_what_any_could(
    objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(GOLF, objective, diversity=Diversity(10))
    exact = solve_exactly(task, races_of(task))
    for name, value in (("PROVEN", 100), ("_ENOUGH", 0.9)):
        monkeypatch.setattr(f"meshd.kinds.lineups.sports.exact.portfolio.{name}", value)

    job = solve_exactly(task, races_of(task))

    assert job.answer.proof.passes <= exact.answer.proof.passes
    scores, best, covered = races_of(task).all(), np.zeros(RACES, np.int64), np.zeros(RACES, bool)
    everything = np.array([scores[:, lineup].sum(axis=1) for lineup in every_lineup(task) if keeps(task.rules, lineup)])
    for lineup, gain, bound in zip(lineups_of(task, job), job.answer.proof.gains, job.answer.proof.bounds, strict=True):
        if isinstance(objective, Cover):
            gains = ((everything >= 4_500) & ~covered).sum(axis=1)
        else:
            gains = np.maximum(everything - best, 0).sum(axis=1)
        most = int(gains.max())
        assert gain >= 0.75 * most - 1
        assert gain == most or most <= bound
        own = scores[:, lineup].sum(axis=1)
        best, covered = np.maximum(best, own), covered | (own >= 4_500)


@pytest.mark.parametrize("objective", [*OBJECTIVES, *TOGETHER], ids=str)
def test_bounds_of_exposure_are_kept_as_if_all_lineups_were_ranked(objective: Objective) -> None:
    most, least = (5,) * 13 + (6,), (0,) * 10 + (3, 0, 0, 5)
    task = task_of(GOLF, objective, diversity=Diversity(8, max_overlap=4, most=most, least=least))
    kept = kept_task(task)
    assert kept is not None

    job, other = solve_exactly(task, races_of(task)), solve(kept, races_of(task))

    found = lineups_of(task, job)
    assert found == [tuple(each) for each in kept.lineups.members(other.answer.lineups).tolist()]
    uses = [sum(player in lineup for lineup in found) for player in range(14)]
    assert all(low <= use <= high for low, use, high in zip(least, uses, most, strict=True))


def test_too_many_locks_of_one_part_are_refused() -> None:
    task = task_of(CAPTAIN, Mean(), locked=(0, 1))

    with pytest.raises(BadInput, match="1 of 5 players are needed"):
        solve_exactly(task, races_of(task))
