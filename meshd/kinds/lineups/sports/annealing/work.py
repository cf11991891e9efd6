"""Doing a step of an annealed task: groups of chains or chunks of races, in spans that add up in any order."""

import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.base import Context
from meshd.kinds.lineups.engine.bench import device_name, needing_jax
from meshd.kinds.lineups.engine.rules import Group
from meshd.kinds.lineups.engine.scoring import histograms, scored
from meshd.kinds.lineups.engine.spans import Races
from meshd.kinds.lineups.engine.work import PROCESSOR
from meshd.kinds.lineups.partials import Best, Effort, Histogram, Partial, Tally, best_of
from meshd.kinds.lineups.sports.annealing.board import Board, board_of, is_lineup
from meshd.kinds.lineups.sports.annealing.steps import Anneal, AnnealStep, Describe, Judge, SumPlayers
from meshd.kinds.lineups.sports.annealing.task import UNIT_CHAINS, AnnealedTask

if TYPE_CHECKING:
    from meshd.kinds.lineups.sports.annealing.chains import Chains

TAIL_CHUNKS = 2
"""Chunks of races by which chains are driven to win many; what they find is then judged by all."""

WORTH = 16
"""Parts of a unit by which chains tell players apart."""


@dataclass
class AnnealSpan:
    """Units `start <= unit < stop` of a step."""

    task: AnnealedTask
    races: Races
    start: int
    stop: int
    context: Context
    best: str = ""
    done: int = 0
    races_done: int = 0
    _began: float = field(default_factory=time.perf_counter)

    def chunks(self, *, fresh: bool = False) -> Iterator[NDArray[np.int16]]:
        """Yield the scores of chunk after chunk, [players, races], and report each when it is done."""
        for number in range(self.start, self.stop):
            if self.context.cancelled():
                return
            scores = self.races.fresh(number) if fresh else self.races.chunk(number)
            yield np.ascontiguousarray(scores.T)
            self.races_done += len(scores)
            self.finish_unit()

    def finish_unit(self) -> None:
        """Report one more unit."""
        self.done += 1
        self.context.report(self.done / (self.stop - self.start), best=self.best)

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.done == self.stop - self.start

    def effort(self, device: str, elements: int = 0) -> Effort:
        """Return what the span has taken until now."""
        return Effort(int((time.perf_counter() - self._began) * 1e6), elements, frozenset({device}))


class ChainDesk:
    """What a device keeps at hand from one span to the next: the tables of the chains."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._chains: tuple[Hashable, Chains, Board] | None = None

    def chains(self, step: Anneal, task: AnnealedTask) -> "tuple[Chains, Board]":
        """Return the chains of a step's task, and their board."""
        key = task, step.sums
        if self._chains is None or self._chains[0] != key:
            with needing_jax():
                from meshd.kinds.lineups.sports.annealing.chains import Chains
            board = board_of(task)
            self._chains = key, Chains(task, board, worth_of(step.sums, task.scenarios)), board
        return self._chains[1:]


def worth_of(sums: tuple[int, ...], races: int) -> NDArray[np.int64]:
    """Return the players' means, in sixteenths of a unit."""
    return np.array([WORTH * total // races for total in sums], np.int64)


def run(step: AnnealStep, span: AnnealSpan, desk: ChainDesk) -> Partial | None:
    """Return the partial of a span, None when it was cancelled.

    Raises:
        BadInput: nobody is left for a place.
        Degraded: the step needs JAX, which is not installed here.
    """
    match step:
        case SumPlayers():
            return sum_players(span)
        case Anneal():
            return anneal(step, span, desk)
        case Describe():
            return describe(step, span)
        case Judge():
            return judge(step, span)


def asked_of(step: Anneal, task: AnnealedTask) -> AnnealedTask:
    """Return the task with what the next lineup is asked for."""
    groups = list(task.groups)
    if step.some:
        groups.append(Group(step.among, least=step.some))
    locked = (*task.locked, *(player for player in step.needed if player not in task.locked))
    return replace(task.without(step.barred), groups=tuple(groups), locked=locked)


def sum_players(span: AnnealSpan) -> Tally | None:
    """Add up scores and their squares."""
    players = len(span.task.players)
    sums, squares = np.zeros(players, np.int64), np.zeros(players, np.int64)
    for by_player in span.chunks():
        wide = by_player.astype(np.int64)
        sums += wide.sum(axis=1)
        squares += (wide * wide).sum(axis=1)
    if not span.is_complete:
        return None
    nothing = np.zeros(players, np.int64)
    return Tally(span.races_done, 0, 0, 0, np.arange(players), sums, squares, nothing, span.effort(PROCESSOR))


def anneal(step: Anneal, span: AnnealSpan, desk: ChainDesk) -> Best | None:
    """Return the best lineups of some groups of chains."""
    task = asked_of(step, span.task)
    chains, board = desk.chains(step, task)
    with needing_jax():
        from meshd.kinds.lineups.sports.annealing.chains import Start, tempers
    values = worth_of(step.sums, task.scenarios)
    tail: list[NDArray[np.int16]] = []
    if step.line is not None:
        tail = [span.races.chunk(number).T for number in range(min(TAIL_CHUNKS, task.chunks))]
    by_player = np.ascontiguousarray(np.concatenate(tail, axis=1)) if tail else np.zeros((0, 0), np.int16)
    hot = tempers(values, board, task.roster.cap, by_player.shape[1])
    found: list[NDArray[np.int64]] = []
    for unit in range(span.start, span.stop):
        if span.context.cancelled():
            return None
        start = Start(task.seed, step.number, unit, step.chosen, step.overlap)
        if step.line is None:
            _, lineups = chains.by_mean(start, hot[0], task.moves)
        else:
            _, lineups = chains.by_wins(by_player, step.line, start, hot, task.moves)
        found.append(lineups[lineups[:, 0] < board.nobody].astype(np.int64))
        span.finish_unit()
    members = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    members = members[is_lineup(task, board, members)]
    members = members[_differs(members, step)]
    totals = np.array(step.sums, np.int64)[members].sum(axis=1)
    wins = totals
    if step.line is not None:
        wins = (scored(members, by_player) >= step.line).sum(axis=1)
    kept = best_of(members, wins, totals, step.take)
    elements = UNIT_CHAINS * task.moves * max(1, by_player.shape[1]) * (span.stop - span.start)
    # How many chains, so that none can be left out or counted twice.
    covered = UNIT_CHAINS * (span.stop - span.start)
    effort = span.effort(device_name(), elements)
    return Best(task.scenarios, step.take, covered, members[kept], wins[kept], totals[kept], effort)


def _differs(members: NDArray[np.int64], step: Anneal) -> NDArray[np.bool_]:
    kept = np.ones(len(members), bool)
    for lineup in step.chosen:
        kept &= np.isin(members, lineup).sum(axis=1) <= step.overlap
    return kept


def describe(step: Describe, span: AnnealSpan) -> Histogram | None:
    """Count the lineups' scores."""
    members = np.array(step.members, np.int64)
    counts = np.zeros((len(members), step.bins), np.int32)
    for by_player in span.chunks(fresh=step.fresh):
        for rows, found in histograms(members, by_player, step.low, step.bins):
            if span.context.cancelled():
                return None
            counts[rows] += found
    if not span.is_complete:
        return None
    return Histogram(span.races_done, np.arange(len(members)), step.low, counts, span.effort(PROCESSOR))


def judge(step: Judge, span: AnnealSpan) -> Tally | None:
    """See how the lineups do in fresh races."""
    members = np.array(step.members, np.int64)
    sums, squares, wins = (np.zeros(len(members), np.int64) for _ in range(3))
    covered = best = best_squares = 0
    for by_player in span.chunks(fresh=True):
        found = scored(members, by_player)
        wide = found.astype(np.int64)
        sums += wide.sum(axis=1)
        squares += (wide * wide).sum(axis=1)
        highest = found.max(axis=0).astype(np.int64)
        best += int(highest.sum())
        best_squares += int((highest * highest).sum())
        if step.line is not None:
            wins += (found >= step.line).sum(axis=1)
            covered += int((found >= step.line).any(axis=0).sum())
    if not span.is_complete:
        return None
    lineups = np.arange(len(members))
    effort = span.effort(PROCESSOR)
    return Tally(span.races_done, covered, best, best_squares, lineups, sums, squares, wins, effort)
