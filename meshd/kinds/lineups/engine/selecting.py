"""The step `select`: score the candidates in all races, then choose among them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.bench import Bench
from meshd.kinds.lineups.engine.diversity import Chosen
from meshd.kinds.lineups.engine.greedy import BestPool, Candidates, CoverPool, Standing, choose
from meshd.kinds.lineups.engine.ranking import spelled
from meshd.kinds.lineups.engine.scoring import covered_by, packed_wins, scored
from meshd.kinds.lineups.engine.spans import Batches, Chunk, Span
from meshd.kinds.lineups.engine.steps import Select
from meshd.kinds.lineups.engine.task import Task, known_members
from meshd.kinds.lineups.partials import Picks


def select(step: Select, span: Span, bench: Bench) -> Picks | None:
    """Choose for as long as each choice is proven best of all lineups; None when cancelled."""
    task = span.task
    # One unit, but all of the races.
    whole = Span(task, span.races, 0, task.chunks, span.context, span.best)
    numbers = np.array(step.candidates, np.int64)
    members = task.lineups.members(numbers)
    before = known_members(task, step.chosen)
    if step.line is None:
        pool, reached = best_pool(whole.chunks(), task.scenarios, members, before)
    else:
        line = step.line
        lined = ((chunk, bench.lines(line, task, span.races, chunk)) for chunk in whole.chunks())
        pool, reached = cover_pool(lined, task.scenarios, members, before)
    if not whole.is_last:
        return None
    chosen = Chosen(task.diversity, task.lineups.players, task.lineups.size)
    for lineup in before[len(task.diversity.given) :].tolist():
        chosen.choose(lineup)
    candidates = Candidates(members, np.array(step.gains, np.int64), np.array(step.totals, np.int64))
    picks = choose(pool, candidates, outside_of(task, step), chosen, cancelled=span.context.cancelled)
    if span.context.cancelled():
        return None
    gains = np.array([pick.gain for pick in picks], np.int64)
    bound = -1 if step.bound is None else step.bound.gain
    effort = whole.effort("cpu", each_race=len(members))
    return Picks(
        whole.races_done, reached, numbers[[pick.row for pick in picks]], gains, np.full(len(picks), bound), effort
    )


def outside_of(task: Task, step: Select) -> Standing | None:
    """Return the best of the lineups that are no candidates."""
    if step.bound is None:
        return None
    spelling = spelled(task.lineups.members(np.array([step.bound.lineup], np.int64)))
    return Standing(step.bound.gain, step.bound.total, int(spelling[0]))


def best_pool(
    chunks: Iterable[Chunk], races: int, members: NDArray[np.int64], before: NDArray[np.int64]
) -> tuple[BestPool, int]:
    """Return what lineups score in all races, beside the best of those before; and the sum of the best scores."""
    scores, bests, done = np.empty((len(members), races), np.int16), np.empty(races, np.int16), 0
    for chunk in chunks:
        some = slice(done, done + len(chunk.scores))
        scores[:, some] = scored(members, chunk.by_player)
        bests[some] = scored(before, chunk.by_player).max(axis=0)
        done = some.stop
    return BestPool(scores, bests), int(bests[:done].sum(dtype=np.int64))


def cover_pool(
    chunks: Iterable[tuple[Chunk, NDArray[np.int32]]], races: int, members: NDArray[np.int64], before: NDArray[np.int64]
) -> tuple[CoverPool, int]:
    """Return which races lineups win, of those that none of those before wins; and how many these are.

    Chunks come with the line of each race.
    """
    wins: list[NDArray[np.uint8]] = []
    covered, done, batches = 0, 0, Batches()
    for chunk, lines in chunks:
        taken = covered_by(before, chunk.by_player, lines)
        covered += int(taken.sum())
        done += len(lines)
        for some, (some_lines,) in batches.put(chunk.scores[~taken], lines[~taken], last=done == races):
            wins.append(packed_wins(members, np.ascontiguousarray(some.T), some_lines))
    return CoverPool(np.concatenate(wins, axis=1) if wins else np.zeros((len(members), 0), np.uint8)), covered
