"""The step `select`: score the candidates in all races, then choose among them."""

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.bench import Bench
from meshd.kinds.lineups.engine.diversity import Chosen
from meshd.kinds.lineups.engine.greedy import BestPool, Candidates, CoverPool, Standing, choose
from meshd.kinds.lineups.engine.ranking import spelled
from meshd.kinds.lineups.engine.scoring import covered_by, packed_wins, scored
from meshd.kinds.lineups.engine.spans import Batches, Span
from meshd.kinds.lineups.engine.steps import Line, Select
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
        gathered = _best_pool(whole, members, before)
    else:
        gathered = _cover_pool(whole, members, before, step.line, bench)
    if gathered is None:
        return None
    pool, reached = gathered
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


def _best_pool(whole: Span, members: NDArray[np.int64], before: NDArray[np.int64]) -> tuple[BestPool, int] | None:
    scores = np.empty((len(members), whole.task.scenarios), np.int16)
    bests = np.empty(whole.task.scenarios, np.int16)
    for chunk in whole.chunks():
        races = slice(whole.races_done - len(chunk.scores), whole.races_done)
        scores[:, races] = scored(members, chunk.by_player)
        bests[races] = scored(before, chunk.by_player).max(axis=0)
    return (BestPool(scores, bests), int(bests.sum(dtype=np.int64))) if whole.is_last else None


def _cover_pool(
    whole: Span, members: NDArray[np.int64], before: NDArray[np.int64], line: Line, bench: Bench
) -> tuple[CoverPool, int] | None:
    wins: list[NDArray[np.uint8]] = []
    covered, batches = 0, Batches()
    for chunk in whole.chunks():
        scores, lines = chunk.scores, bench.lines(line, whole.task, whole.races, chunk)
        taken = covered_by(before, chunk.by_player, lines)
        covered += int(taken.sum())
        for some, (some_lines,) in batches.put(scores[~taken], lines[~taken], last=whole.is_last):
            wins.append(packed_wins(members, np.ascontiguousarray(some.T), some_lines))
    if not whole.is_last:
        return None
    return CoverPool(np.concatenate(wins, axis=1) if wins else np.zeros((len(members), 0), np.uint8)), covered
