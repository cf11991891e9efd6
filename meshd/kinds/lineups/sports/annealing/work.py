"""Doing a step of an annealed task: groups of chains or chunks of races, in spans that add up in any order."""

import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.base import Context
from meshd.kinds.lineups.engine.bench import Bench, device_name, needing_jax
from meshd.kinds.lineups.engine.diversity import Chosen
from meshd.kinds.lineups.engine.greedy import Candidates, choose
from meshd.kinds.lineups.engine.rules import Group
from meshd.kinds.lineups.engine.scoring import covered_by, histograms, scored
from meshd.kinds.lineups.engine.selecting import best_pool, cover_pool
from meshd.kinds.lineups.engine.settling import best_in_each, trail_of
from meshd.kinds.lineups.engine.spans import Chunk, Races
from meshd.kinds.lineups.engine.task import Cover, ExpectedMax
from meshd.kinds.lineups.engine.work import PROCESSOR
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.partials import Best, Effort, Histogram, Partial, Picks, Tally, Trail, best_of
from meshd.kinds.lineups.sports.annealing.board import Board, board_of, is_lineup
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

if TYPE_CHECKING:
    from meshd.kinds.lineups.sports.annealing.chains import Chains, Tail
    from meshd.kinds.lineups.sports.solving import Linear

TAIL_CHUNKS = 2
"""Chunks of races by which chains are driven to win many; what they find is then judged by all."""

NEVER = np.iinfo(np.int16).max
"""A line that nobody reaches: of races that only fill up."""

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
    """What a device keeps at hand from one span to the next: the tables of the chains, and lines found already."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.bench = Bench()
        self._tail: tuple[Hashable, Tail] | None = None
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

    def tail(self, step: Anneal, span: AnnealSpan) -> "Tail | None":
        """Return the races that a step's chains are driven by, None when cancelled before they are there.

        Only races that are not won yet are among them, where lineups are to add to others; there are always as many.
        """
        key = span.task, span.races.key, step.line, step.beyond, step.chosen
        if self._tail is None or self._tail[0] != key:
            with needing_jax():
                from meshd.kinds.lineups.sports.annealing.chains import Tail
            wanted = CHUNK_SCENARIOS * min(TAIL_CHUNKS, span.task.chunks)
            by_player = np.zeros((len(span.task.players), wanted), np.int16)
            lines, filled = np.full(wanted, NEVER, np.int32), 0
            known = np.array(step.chosen, np.int64).reshape(-1, span.task.roster.size)
            for number in range(span.task.chunks):
                if span.context.cancelled():
                    return None
                chunk = Chunk(number, span.races.chunk(number))
                meant = np.ones(len(chunk.scores), bool)
                if step.line is None:
                    some = scored(known, chunk.by_player).max(axis=0).astype(np.int32)
                else:
                    some = self.bench.lines(step.line, span.task, span.races, chunk)
                    if step.beyond:
                        meant = ~covered_by(known, chunk.by_player, some)
                to = min(wanted, filled + int(meant.sum()))
                by_player[:, filled:to] = chunk.scores[meant].T[:, : to - filled]
                lines[filled:to] = some[meant][: to - filled]
                filled = to
                if filled == wanted:
                    break
            self._tail = key, Tail(by_player, lines, step.line is None)
        return self._tail[1]


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
            return judge(step, span, desk.bench)
        case Pick():
            return pick(step, span, desk.bench)
        case Prove():
            return prove(step, span)
        case Follow():
            return follow(step, span, desk.bench)


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
    # How many chains, so that none can be left out or counted twice.
    covered = UNIT_CHAINS * (span.stop - span.start)
    try:
        chains, board = desk.chains(step, task)
    except BadInput:
        if not step.barred:
            raise
        # The players that are used up were the only ones for a place.
        nobody = np.zeros((0, task.roster.size), np.int64)
        nothing = np.zeros(0, np.int64)
        return Best(task.scenarios, step.take, covered, nobody, nothing, nothing, span.effort(device_name()))
    with needing_jax():
        from meshd.kinds.lineups.sports.annealing.chains import Start, tail_moves, tempers
    values = worth_of(step.sums, task.scenarios)
    tail = None
    if step.line is not None or step.beyond:
        tail = desk.tail(step, span)
        if tail is None:
            return None
    races = 0 if tail is None else tail.by_player.shape[1]
    hot = tempers(values, board, task.roster.cap, races, gains=tail is not None and tail.gains)
    found: list[NDArray[np.int64]] = []
    for unit in range(span.start, span.stop):
        if span.context.cancelled():
            return None
        start = Start(task.seed, step.number, unit, step.chosen, step.overlap)
        if tail is None:
            _, lineups = chains.by_mean(start, hot[0], task.moves)
        else:
            _, lineups = chains.by_races(tail, start, hot, task.moves)
        found.append(lineups[lineups[:, 0] < board.nobody].astype(np.int64))
        span.finish_unit()
    members = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    members = members[is_lineup(task, board, members)]
    members = members[_differs(members, step)]
    totals = np.array(step.sums, np.int64)[members].sum(axis=1)
    reached = totals if tail is None else _reached(tail, members)
    kept = best_of(members, reached, totals, step.take)
    scored_moves = task.moves if tail is None else tail_moves(task.moves) * races
    elements = UNIT_CHAINS * scored_moves * (span.stop - span.start)
    effort = span.effort(device_name(), elements)
    return Best(task.scenarios, step.take, covered, members[kept], reached[kept], totals[kept], effort)


def _reached(tail: "Tail", members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what chains are driven by, of some lineups: races won, or points gained."""
    found = scored(members, tail.by_player)
    if tail.gains:
        return np.maximum(found - tail.lines, 0).sum(axis=1, dtype=np.int64)
    return (found >= tail.lines).sum(axis=1)


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


def judge(step: Judge, span: AnnealSpan, bench: Bench) -> Tally | None:
    """See how the lineups do, in fresh races or in those that choose; those given beforehand count as theirs."""
    members = np.array(step.members, np.int64)
    given = np.array(span.task.diversity.given, np.int64).reshape(-1, members.shape[1])
    sums, squares, wins = (np.zeros(len(members), np.int64) for _ in range(3))
    covered = best = best_squares = 0
    for number, by_player in enumerate(span.chunks(fresh=step.fresh), start=span.start):
        found = scored(members, by_player)
        wide = found.astype(np.int64)
        sums += wide.sum(axis=1)
        squares += (wide * wide).sum(axis=1)
        highest = np.concatenate([found, scored(given, by_player)]).max(axis=0).astype(np.int64)
        best += int(highest.sum())
        best_squares += int((highest * highest).sum())
        if step.line is not None:
            chunk = Chunk(number, np.ascontiguousarray(by_player.T), step.fresh)
            lines = bench.lines(step.line, span.task, span.races, chunk)
            wins += (found >= lines).sum(axis=1)
            covered += int((highest >= lines).sum())
    if not span.is_complete:
        return None
    lineups = np.arange(len(members))
    effort = span.effort(PROCESSOR)
    return Tally(span.races_done, covered, best, best_squares, lineups, sums, squares, wins, effort)


def pick(step: Pick, span: AnnealSpan, bench: Bench) -> Picks | None:
    """Choose among some lineups, each for what it adds; nothing is said of others."""
    task, members = span.task, np.array(step.members, np.int64)
    before = np.array([*task.diversity.given, *step.chosen], np.int64).reshape(-1, members.shape[1])
    chunks = _all_chunks(span)
    if step.line is None:
        pool, reached = best_pool(chunks, task.scenarios, members, before)
    else:
        line = step.line
        lined = ((chunk, bench.lines(line, task, span.races, chunk)) for chunk in chunks)
        pool, reached = cover_pool(lined, task.scenarios, members, before)
    chosen = Chosen(task.diversity, len(task.players), task.roster.size)
    for lineup in step.chosen:
        chosen.choose(lineup)
    rows = np.arange(len(members))
    candidates = Candidates(members, pool.gains(rows), np.array(step.totals, np.int64))
    picks = choose(pool, candidates, None, chosen, cancelled=span.context.cancelled)[: step.take]
    if span.context.cancelled():
        return None
    span.finish_unit()
    gains = np.array([each.gain for each in picks], np.int64)
    numbers = np.array([each.row for each in picks], np.int64)
    effort = span.effort(PROCESSOR, len(members) * task.scenarios)
    return Picks(task.scenarios, reached, numbers, gains, np.full(len(picks), -1), effort)


def follow(step: Follow, span: AnnealSpan, bench: Bench) -> Trail | None:
    """Follow the objective from race to race."""
    task = span.task
    # Lineups that were given beforehand belong to a portfolio, and to nothing else.
    given = task.diversity.given if isinstance(task.objective, Cover | ExpectedMax) else ()
    members = np.array([*given, *step.members], np.int64)
    found: list[NDArray[np.int16]] = []
    for chunk in _all_chunks(span):
        lines = None if step.line is None else bench.lines(step.line, task, span.races, chunk)
        found.append(best_in_each(members, chunk, lines))
    if len(found) < task.chunks:
        return None
    span.finish_unit()
    return trail_of(np.concatenate(found), step.quantile, span.effort(PROCESSOR))


def _all_chunks(span: AnnealSpan) -> Iterator[Chunk]:
    for number in range(span.task.chunks):
        if span.context.cancelled():
            return
        yield Chunk(number, span.races.chunk(number))


def prove(step: Prove, span: AnnealSpan) -> Best | None:
    """Let a solver find the highest mean that is open, and prove that none is higher."""
    if span.context.cancelled():
        return None
    asked, size = step.asked, span.task.roster.size
    question = _question(asked_of(asked, span.task), asked)
    found = question.solve(asked.sums)
    span.finish_unit()
    members = np.array([[question.columns[at].player for at in found.columns]], np.int64)
    members = np.sort(members[: len(found.columns) // size].reshape(-1, size), axis=1)
    totals = np.array(asked.sums, np.int64)[members].sum(axis=1)
    values = np.full(len(members), found.bound, np.int64)
    is_sure = int(found.is_proven_none or len(members) > 0)
    return Best(span.task.scenarios, 1, is_sure, members, values, totals, span.effort(PROCESSOR))


def _question(task: AnnealedTask, step: Anneal) -> "Linear":
    with needing_jax():
        from meshd.kinds.lineups.sports.solving import Linear
    asked = Linear(task.roster, task.players)
    asked.spend("cap", task.floor, task.roster.cap)
    for group in (*task.groups, *(group for tie in task.ties for group in tie.groups())):
        asked.group("group", group)
    for stack in task.stacks:
        asked.stack("stack", stack)
    for player in task.locked:
        asked.hold("locked", (player,), 1)
    out = [at for at, player in enumerate(task.players) if player.is_out]
    asked.hold("excluded", (*task.excluded, *out), 0, 0)
    for lineup in task.banned:
        asked.differ("banned", asked.columns_of(lineup), task.roster.size - 1)
    for lineup in step.chosen:
        asked.differ("chosen", asked.columns_of(lineup), step.overlap)
    return asked
