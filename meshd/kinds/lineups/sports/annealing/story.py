"""How an annealed task goes on: chains look, all races judge what they bring, the best is taken, and so on.

For a quantile, chains need a line that lineups have to reach: it is the quantile of the best lineup so far, and the
lineup that reaches it most often has a quantile as good or better.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.diversity import Chosen, held_in
from meshd.kinds.lineups.engine.limits import MAX_HISTOGRAM_CELLS
from meshd.kinds.lineups.engine.planning import Planner
from meshd.kinds.lineups.engine.quantiles import quantile_of
from meshd.kinds.lineups.engine.steps import Score
from meshd.kinds.lineups.engine.stories import belongs, stranger, told
from meshd.kinds.lineups.engine.task import Beat, Mean, Quantile
from meshd.kinds.lineups.partials import Best, Effort, Histogram, Partial, Tally, best_of
from meshd.kinds.lineups.sports.annealing.board import board_of, placed
from meshd.kinds.lineups.sports.annealing.steps import Anneal, AnnealStep, Describe, Judge, SumPlayers
from meshd.kinds.lineups.sports.annealing.task import UNIT_CHAINS, AnnealedTask

POOL = 256
"""Lineups of a phase of chains that are judged by all races."""

BATCHES = 6
"""Of the lineups that are still wanted, a sixth is taken from what one phase brings: 7 phases for 20, 19 for 150."""

ROUNDS = 3
"""Lines that are tried for the first lineup by a quantile: each is drawn by the best one found with the last."""

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
    """Of each lineup: the sum of its scores, its quantile, or in how many races it reaches the line."""

    described: Histogram
    """The lineups' scores, in the same order."""

    fresh: Tally | None
    chains: int
    """That were run altogether."""

    efforts: tuple[Effort, ...] = ()
    fresh_described: Histogram | None = None
    """Their scores in fresh races."""


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
    picks: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    values: list[int] = field(default_factory=list[int])
    efforts: list[Effort] = field(default_factory=list[Effort])
    phases: int = 0
    best: str = ""

    def anneal(self, line: int | None) -> Anneal:
        """Return the step that looks for the next lineup."""
        diversity, needed = self.task.diversity, self.chosen.demand()
        used_up = [player for player, most in enumerate(diversity.most) if int(self.chosen.uses[player]) >= most]
        size = self.task.roster.size
        return Anneal(
            self.sums,
            self.phases,
            POOL,
            tuple(self.chosen.lineups),
            size - 1 if diversity.max_overlap is None else min(size - 1, diversity.max_overlap),
            tuple(used_up),
            needed.players,
            needed.some,
            needed.among,
            line,
        )

    def pick(self, members: NDArray[np.int64], values: NDArray[np.int64]) -> None:
        """Choose the next lineups among some, best first: a share of those that are still wanted."""
        most = -(-self.chosen.left // BATCHES)
        tell = held_in(members, len(self.task.players))
        mask = self.chosen.leave(tell, np.ones(len(members), bool))
        while most and (answers := self.chosen.answering(tell, mask)).any():
            at = int(answers.argmax())
            self.picks.append(tuple(members[at].tolist()))
            self.values.append(int(values[at]))
            self.chosen.choose(self.picks[-1])
            mask = self.chosen.leave_after_last(tell, mask)
            most -= 1


def anneal_story(task: AnnealedTask) -> AnnealTelling[AnnealedAnswer]:
    """Tell of a task from its beginning.

    Raises:
        BadInput: no lineup was found that keeps all rules, or the line is not one score.
    """
    match task.objective:
        case Mean():
            search = _by_mean
        case Quantile(quantile):
            search = _by_quantile(quantile)
        case Beat(Score(units)):
            search = _by_wins(units)
        case Beat():
            raise BadInput(
                "A field of opponents is drawn for sports with one kind of place only.",
                field="objective",
                hint="Ask for the chance of beating a score.",
            )
    planned = PlannedAnneal(SumPlayers(), task.chunks, "simulating", 0.05)
    moments = belongs((yield lambda: planned), Tally, task.scenarios)
    if len(moments.sums) != len(task.players):
        raise stranger()
    chosen = Chosen(task.diversity, len(task.players), task.roster.size)
    progress = _Progress(task, tuple(moments.sums.tolist()), chosen)
    while progress.chosen.left:
        before = len(progress.picks)
        members, values = yield from search(progress)
        progress.pick(members, values)
        if len(progress.picks) == before:
            break
    if not progress.picks:
        raise BadInput(
            "No lineup that keeps all rules was found.", hint="Drop a rule or loosen one, or ask for more chains."
        )
    return (yield from _end(progress))


_Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Lineups, best first, and their values."""

_Search: TypeAlias = Callable[[_Progress], AnnealTelling[_Found]]


def _look(progress: _Progress, line: int | None, share: float) -> AnnealTelling[Best]:
    """Ask chains for lineups."""
    task, step = progress.task, progress.anneal(line)
    progress.phases += 1
    label = f"annealing from lineup {len(progress.picks) + 1} on"
    planned = PlannedAnneal(step, task.units, label, share / task.diversity.count, progress.best)
    found = yield lambda: planned
    if (
        not isinstance(found, Best)
        or (found.races, found.take, found.covered) != (task.scenarios, POOL, task.units * UNIT_CHAINS)
        or found.members.shape[1] != task.roster.size
        or int(found.members.max(initial=0)) >= len(task.players)
    ):
        raise stranger()
    progress.efforts.append(found.effort)
    return found


def _histogram(
    progress: _Progress, members: NDArray[np.int64], share: float, *, fresh: bool = False
) -> AnnealTelling[Histogram]:
    """Ask for the scores of some lineups in all races, or in all fresh ones."""
    task = progress.task
    means = np.array(progress.sums, np.int64)[members].sum(axis=1) // task.scenarios
    low, high = -_BELOW, min(_HIGHEST, 3 * int(means.max(initial=0)) + _BELOW)
    high = min(high, low + MAX_HISTOGRAM_CELLS // len(members) - 1)
    step = Describe(tuple(tuple(lineup) for lineup in members.tolist()), low, high - low + 1, fresh)
    units = task.holdout_chunks if fresh else task.chunks
    planned = PlannedAnneal(step, units, "judging lineups", share, progress.best)
    found = belongs((yield lambda: planned), Histogram, task.holdout if fresh else task.scenarios)
    if len(found.lineups) != len(members) or found.low != low:
        raise stranger()
    return found


def _by_mean(progress: _Progress) -> AnnealTelling[_Found]:
    found = yield from _look(progress, None, 0.8)
    if not progress.best and len(found.values):
        progress.best = told(float(found.values[0]) / progress.task.scenarios, "mean")
    return found.members, found.values


def _ranked(found: Best, values: NDArray[np.int64]) -> _Found:
    order = best_of(found.members, values, found.totals, len(values))
    return found.members[order], values[order]


def _by_quantile(quantile: int) -> _Search:
    def search(progress: _Progress) -> AnnealTelling[_Found]:
        line = progress.values[-1] if progress.values else None
        best: _Found | None = None
        for _ in range(ROUNDS if line is None else 1):
            found = yield from _look(progress, line, 0.4 / ROUNDS)
            if not len(found.values):
                return best or (found.members, found.values)
            judged = yield from _histogram(progress, found.members, 0.4 / ROUNDS / progress.task.diversity.count)
            ranked = _ranked(found, quantile_of(judged, quantile))
            if best is None or ranked[1][0] >= best[1][0]:
                best = ranked
            line = int(best[1][0])
            if not progress.picks:
                progress.best = told(float(line), f"p{quantile / 1000:g}")
        if best is None:
            raise AssertionError("there is a round at least")
        return best

    return search


def _by_wins(line: int) -> _Search:
    def search(progress: _Progress) -> AnnealTelling[_Found]:
        found = yield from _look(progress, line, 0.4)
        if not len(found.values):
            return found.members, found.values
        judged = yield from _histogram(progress, found.members, 0.4 / progress.task.diversity.count)
        ranked = _ranked(found, judged.counts[:, max(0, line - judged.low) :].sum(axis=1, dtype=np.int64))
        if not progress.best:
            progress.best = f"{ranked[1][0] / progress.task.scenarios:.2%} of races"
        return ranked

    return search


def _end(progress: _Progress) -> AnnealTelling[AnnealedAnswer]:
    task = progress.task
    board = board_of(task)
    order = [placed(board, lineup) for lineup in progress.picks]
    members = np.array([lineup for lineup in order if lineup is not None], np.int64)
    described = yield from _histogram(progress, members, 0.08)
    fresh: Tally | None = None
    fresh_described: Histogram | None = None
    if task.holdout:
        goal = task.objective
        line = goal.line.units if isinstance(goal, Beat) and isinstance(goal.line, Score) else None
        step = Judge(tuple(tuple(lineup) for lineup in members.tolist()), line)
        planned = PlannedAnneal(step, task.holdout_chunks, "judging by fresh races", 0.05, progress.best)
        fresh = belongs((yield lambda: planned), Tally, task.holdout)
        fresh_described = yield from _histogram(progress, members, 0.02, fresh=True)
    chains = progress.phases * task.units * UNIT_CHAINS
    return AnnealedAnswer(
        members, tuple(progress.values), described, fresh, chains, tuple(progress.efforts), fresh_described
    )
