"""How an annealed task goes on: chains look, all races judge what they bring, the best is taken, and so on.

For a quantile, chains need a line that lineups have to reach: it is the quantile of the best lineup so far, and the
lineup that reaches it most often has a quantile as good or better. For lineups that do best together, chains look for
what adds to those that are chosen, and among all that they have brought each choice is the one that adds most.

By mean a solver finds the first lineup, and proves that none is better. Where chains bring nothing it is asked, too:
where there is no other lineup, that is proven.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.diversity import Chosen, held_in
from meshd.kinds.lineups.engine.limits import ANNEALED_POOL, LEFT_OVER, MAX_HISTOGRAM_CELLS, MIN_POOL, POOL_BYTES
from meshd.kinds.lineups.engine.planning import Planner
from meshd.kinds.lineups.engine.quantiles import quantile_of
from meshd.kinds.lineups.engine.settling import followed
from meshd.kinds.lineups.engine.steps import Line, Score
from meshd.kinds.lineups.engine.stories import belongs, stranger, told
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, LineSpec, Mean, Quantile
from meshd.kinds.lineups.partials import Best, Effort, Histogram, Partial, Picks, Tally, Trail, best_of
from meshd.kinds.lineups.sports.annealing.board import board_of, placed
from meshd.kinds.lineups.sports.annealing.steps import (
    Anneal,
    AnnealStep,
    Describe,
    Follow,
    Judge,
    Pick,
    Prove,
    SumPlayers,
)
from meshd.kinds.lineups.sports.annealing.task import UNIT_CHAINS, AnnealedTask
from meshd.kinds.lineups.sports.conflicts import NoLineup
from meshd.kinds.lineups.sports.field import field_of

BATCHES = 6
"""Of the lineups that are still wanted, a sixth is taken from what one phase brings: 7 phases for 20, 19 for 150."""

ROUNDS = 3
"""Lines that are tried for the first lineup by a quantile: each is drawn by the best one found with the last."""

_SCORE_BYTES = 2
"""Of a lineup in a race, while some are chosen for the best score."""

_BELOW = 1_000
"""Units, 50 points, that a lineup may score below nothing before that is told no more; three means are the most."""

_HIGHEST = 32_767
"""No score is above: 16 bits."""


@dataclass(frozen=True, slots=True)
class PlannedAnneal:
    """The step that comes next."""

    step: AnnealStep
    count: int
    """How many units it has."""

    label: str
    share: float
    best: str = ""

    def units(self, task: AnnealedTask) -> int:
        """Return how many units the step has."""
        del task
        return self.count


@dataclass(frozen=True, slots=True, eq=False)
class AnnealedAnswer:
    """The result: good lineups that keep every rule. That there are no better ones is not proven."""

    lineups: NDArray[np.int64]
    """[lineups, places]: players in the order of the roster's places, in the order in which they were chosen."""

    values: tuple[int, ...]
    """Of each lineup: the sum of its scores, its quantile, in how many races it reaches the line, or what it added."""

    described: Histogram
    """The lineups' scores, in the same order."""

    trail: Trail
    fresh: Tally | None
    chains: int
    """That were run altogether."""

    efforts: tuple[Effort, ...] = ()
    fresh_described: Histogram | None = None
    """Their scores in fresh races."""

    line: Line | None = None
    """What had to be reached in a race."""

    reached: int = 0
    """What all reach together, those given beforehand included: races covered, or the sum of the best scores."""

    bound: int | None = None
    """What no lineup's sum of scores is above, where that was proven."""

    proven: int = 0
    """How many lineups are proven to have had the highest mean of all that were open."""


T = TypeVar("T")

AnnealTelling: TypeAlias = Generator[Callable[[], PlannedAnneal], Partial, T]


def anneal_planner() -> Planner[AnnealedTask, PlannedAnneal, AnnealedAnswer]:
    """Return a planner of annealed tasks."""
    return Planner(anneal_story)


@dataclass
class _Progress:
    """Where the story stands."""

    task: AnnealedTask
    sums: tuple[int, ...]
    chosen: Chosen
    line: Line | None
    picks: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    values: list[int] = field(default_factory=list[int])
    efforts: list[Effort] = field(default_factory=list[Effort])
    phases: int = 0
    best: str = ""
    reached: int = 0
    bound: int | None = None
    proven: int = 0
    left_over: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    """Lineups of earlier phases that were not chosen."""

    def anneal(self, line: Line | None, *, beyond: bool) -> Anneal:
        """Return the step that looks for the next lineup."""
        diversity, needed = self.task.diversity, self.chosen.demand()
        used_up = [player for player, most in enumerate(diversity.most) if int(self.chosen.uses[player]) >= most]
        size = self.task.roster.size
        return Anneal(
            self.sums,
            self.phases,
            ANNEALED_POOL,
            tuple(self.chosen.lineups),
            size - 1 if diversity.max_overlap is None else min(size - 1, diversity.max_overlap),
            tuple(used_up),
            needed.players,
            needed.some,
            needed.among,
            line,
            beyond,
        )

    def take(self, lineup: tuple[int, ...], value: int) -> None:
        """Choose a lineup."""
        self.picks.append(lineup)
        self.values.append(value)
        self.chosen.choose(lineup)

    @property
    def batch(self) -> int:
        """How many lineups are taken from what one phase brings."""
        return -(-self.chosen.left // BATCHES)

    def pick(self, members: NDArray[np.int64], values: NDArray[np.int64]) -> None:
        """Choose the next lineups among some, best first: a share of those that are still wanted."""
        most = self.batch
        tell = held_in(members, len(self.task.players))
        mask = self.chosen.leave(tell, np.ones(len(members), bool))
        while most and (answers := self.chosen.answering(tell, mask)).any():
            at = int(answers.argmax())
            self.take(tuple(members[at].tolist()), int(values[at]))
            mask = self.chosen.leave_after_last(tell, mask)
            most -= 1


def anneal_story(task: AnnealedTask) -> AnnealTelling[AnnealedAnswer]:
    """Tell of a task from its beginning.

    Raises:
        NoLineup: no lineup was found that keeps all rules.
        BadInput: nobody is left for a place.
    """
    board_of(task)
    planned = PlannedAnneal(SumPlayers(), task.chunks, "simulating", 0.05)
    moments = belongs((yield lambda: planned), Tally, task.scenarios)
    if len(moments.sums) != len(task.players):
        raise stranger()
    sums = tuple(moments.sums.tolist())
    match task.objective:
        case Mean():
            search, line = _by_mean, None
        case Quantile(quantile):
            search, line = _by_quantile(quantile), None
        case Beat(of):
            search, line = _by_wins, _line_of(task, sums, of)
        case Cover(of):
            search, line = _together, _line_of(task, sums, of)
        case ExpectedMax():
            search, line = _together, None
    chosen = Chosen(task.diversity, len(task.players), task.roster.size)
    progress = _Progress(task, sums, chosen, line)
    while progress.chosen.left:
        before = len(progress.picks)
        yield from search(progress)
        if len(progress.picks) == before:
            break
    if not progress.picks:
        raise NoLineup
    return (yield from _end(progress))


def _line_of(task: AnnealedTask, sums: tuple[int, ...], spec: LineSpec) -> Line:
    if isinstance(spec, Score):
        return spec
    salaries = tuple(player.salary for player in task.players)
    return field_of(spec, sums, task.scenarios, salaries, task.open_to_places)


_Search: TypeAlias = Callable[[_Progress], AnnealTelling[None]]
"""Chooses the next lineups; none where none is open."""


def _look(progress: _Progress, line: Line | None, share: float, *, beyond: bool = False) -> AnnealTelling[Best]:
    """Ask chains for lineups; where they bring none that is open, a solver."""
    task, step = progress.task, progress.anneal(line, beyond=beyond)
    progress.phases += 1
    label = f"annealing from lineup {len(progress.picks) + 1} on"
    planned = PlannedAnneal(step, task.units, label, share / min(task.diversity.count, 3 * BATCHES), progress.best)
    found = yield lambda: planned
    if (
        not isinstance(found, Best)
        or (found.races, found.take, found.covered) != (task.scenarios, ANNEALED_POOL, task.units * UNIT_CHAINS)
        or found.members.shape[1] != task.roster.size
        or int(found.members.max(initial=0)) >= len(task.players)
    ):
        raise stranger()
    progress.efforts.append(found.effort)
    return found if len(found.values) else (yield from _prove(progress, step))


def _prove(progress: _Progress, step: Anneal) -> AnnealTelling[Best]:
    """Ask a solver for the highest mean that is open."""
    task = progress.task
    found = yield lambda: PlannedAnneal(
        Prove(step), 1, f"proving lineup {len(progress.picks) + 1}", 0.02, progress.best
    )
    if (
        not isinstance(found, Best)
        or (found.races, found.take) != (task.scenarios, 1)
        or found.members.shape[1] != task.roster.size
        or int(found.members.max(initial=0)) >= len(task.players)
    ):
        raise stranger()
    return found


def _histogram(
    progress: _Progress, members: NDArray[np.int64], share: float, *, fresh: bool = False
) -> AnnealTelling[Histogram]:
    """Ask for the scores of some lineups in all races, or in all fresh ones."""
    task = progress.task
    means = np.array(progress.sums, np.int64)[members].sum(axis=1) // task.scenarios
    low, high = -_BELOW, min(_HIGHEST, 3 * int(means.max(initial=0)) + _BELOW)
    high = min(high, low + MAX_HISTOGRAM_CELLS // len(members) - 1)
    step = Describe(_listed(members), low, high - low + 1, fresh)
    units = task.holdout_chunks if fresh else task.chunks
    planned = PlannedAnneal(step, units, "judging lineups", share, progress.best)
    found = belongs((yield lambda: planned), Histogram, task.holdout if fresh else task.scenarios)
    if len(found.lineups) != len(members) or found.low != low:
        raise stranger()
    return found


def _listed(members: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(lineup) for lineup in members.tolist())


def _judge(progress: _Progress, members: NDArray[np.int64], share: float, *, fresh: bool) -> AnnealTelling[Tally]:
    """Ask how some lineups do, in the races that choose or in fresh ones."""
    task, step = progress.task, Judge(_listed(members), progress.line, fresh)
    units, races = (task.holdout_chunks, task.holdout) if fresh else (task.chunks, task.scenarios)
    label = "judging by fresh races" if fresh else "judging lineups"
    found = belongs((yield lambda: PlannedAnneal(step, units, label, share, progress.best)), Tally, races)
    if len(found.lineups) != len(members):
        raise stranger()
    return found


def _by_mean(progress: _Progress) -> AnnealTelling[None]:
    """Take the first lineup from a solver, which proves that none is better, and the others from chains."""
    if not progress.picks:
        proven = yield from _prove(progress, progress.anneal(None, beyond=False))
        if not len(proven.values) and proven.covered:
            return
        if len(proven.values):
            progress.bound = int(proven.values[0])
        if progress.bound is not None and progress.bound == int(proven.totals[0]):
            progress.proven = 1
            progress.take(tuple(proven.members[0].tolist()), progress.bound)
            progress.best = told(progress.bound / progress.task.scenarios, "mean")
            return
    found = yield from _look(progress, None, 0.8)
    members, totals = _ranked(found, found.totals)
    progress.pick(members, totals)
    if not progress.best and progress.values:
        progress.best = told(float(progress.values[0]) / progress.task.scenarios, "mean")


def _ranked(found: Best, values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return lineups, best first, and their values."""
    order = best_of(found.members, values, found.totals, len(values))
    return found.members[order], values[order]


def _by_quantile(quantile: int) -> _Search:
    def search(progress: _Progress) -> AnnealTelling[None]:
        line = progress.values[-1] if progress.values else None
        best: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        for _ in range(ROUNDS if line is None else 1):
            found = yield from _look(progress, None if line is None else Score(line), 0.4 / ROUNDS)
            if not len(found.values):
                break
            judged = yield from _histogram(progress, found.members, 0.4 / ROUNDS / progress.task.diversity.count)
            ranked = _ranked(found, quantile_of(judged, quantile))
            if best is None or ranked[1][0] >= best[1][0]:
                best = ranked
            line = int(best[1][0])
            if not progress.picks:
                progress.best = told(float(line), f"p{quantile / 1000:g}")
        if best is not None:
            progress.pick(*best)

    return search


def _by_wins(progress: _Progress) -> AnnealTelling[None]:
    found = yield from _look(progress, progress.line, 0.4)
    if not len(found.values):
        return
    judged = yield from _judge(progress, found.members, 0.4 / progress.task.diversity.count, fresh=False)
    members, wins = _ranked(found, judged.wins)
    if not progress.best:
        progress.best = f"{wins[0] / progress.task.scenarios:.2%} of races"
    progress.pick(members, wins)


def _together(progress: _Progress) -> AnnealTelling[None]:
    task, line = progress.task, progress.line
    if line is None and not progress.chosen.lineups:
        # The first one adds all that it scores.
        yield from _by_mean(progress)
        progress.reached = sum(progress.values)
        return
    found = yield from _look(progress, line, 0.6, beyond=bool(progress.chosen.lineups))
    brought = list(dict.fromkeys((*_listed(found.members), *progress.left_over)))
    if line is None:
        brought = brought[: max(MIN_POOL, POOL_BYTES // (_SCORE_BYTES * task.scenarios))]
    pool = sorted(brought)
    if not pool:
        return
    totals = np.array(progress.sums, np.int64)[np.array(pool, np.int64)].sum(axis=1)
    step = Pick(tuple(pool), tuple(totals.tolist()), tuple(progress.picks), progress.batch, line)
    planned = PlannedAnneal(step, 1, f"choosing lineups ({len(progress.picks)} chosen)", 0.02, progress.best)
    picked = belongs((yield lambda: planned), Picks, task.scenarios)
    if int(picked.lineups.max(initial=0)) >= len(pool):
        raise stranger()
    progress.reached = picked.reached
    for at, gain in zip(picked.lineups, picked.gains, strict=True):
        progress.take(pool[int(at)], int(gain))
        progress.reached += int(gain)
    taken = set(progress.picks)
    # The best of those left: they were brought in the order of what they add, which is not known of all any more.
    rest = [lineup for lineup in (*_listed(found.members), *progress.left_over) if lineup not in taken]
    progress.left_over = list(dict.fromkeys(rest))[:LEFT_OVER]
    average = progress.reached / task.scenarios
    progress.best = told(average, "best") if line is None else f"{average:.2%} covered"


def _end(progress: _Progress) -> AnnealTelling[AnnealedAnswer]:
    task = progress.task
    board = board_of(task)
    order = [placed(board, lineup) for lineup in progress.picks]
    members = np.array([lineup for lineup in order if lineup is not None], np.int64)
    described = yield from _histogram(progress, members, 0.07)
    follow = Follow(*followed(task.objective, _listed(members), progress.line))
    asked = yield lambda: PlannedAnneal(follow, 1, "following the objective", 0.01, progress.best)
    trail = belongs(asked, Trail, task.scenarios)
    fresh: Tally | None = None
    fresh_described: Histogram | None = None
    if task.holdout:
        fresh = yield from _judge(progress, members, 0.05, fresh=True)
        fresh_described = yield from _histogram(progress, members, 0.02, fresh=True)
    return AnnealedAnswer(
        members,
        tuple(progress.values),
        described,
        trail,
        fresh,
        progress.phases * task.units * UNIT_CHAINS,
        tuple(progress.efforts),
        fresh_described,
        progress.line,
        progress.reached,
        progress.bound,
        progress.proven,
    )
