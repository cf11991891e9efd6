"""The step `settle`: what the objective came to after a hundredth of the races, after a fiftieth, and so on to all.

A figure that still moves by more than its standard error from one mark to the next asks for more races.
"""

from math import sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.bench import Bench
from meshd.kinds.lineups.engine.limits import MAX_MARKS
from meshd.kinds.lineups.engine.quantiles import races_required
from meshd.kinds.lineups.engine.scoring import scored
from meshd.kinds.lineups.engine.spans import Chunk, Span
from meshd.kinds.lineups.engine.steps import Line, Settle
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Objective, Quantile, known_members
from meshd.kinds.lineups.partials import Effort, Trail

FIRST_MARK = 1_000
"""Races; the figures of fewer say nothing."""


def marks_of(races: int) -> list[int]:
    """Return after how many races to tell: all, half of them, a quarter, ascending."""
    marks = [races]
    while len(marks) < MAX_MARKS and marks[0] // 2 >= FIRST_MARK:
        marks.insert(0, marks[0] // 2)
    return marks


T = TypeVar("T")


def followed(
    objective: Objective, lineups: tuple[T, ...], line: Line | None
) -> tuple[tuple[T, ...], Line | None, int | None]:
    """Return what is followed of chosen lineups, the first one or all together: which, the line and the quantile."""
    match objective:
        case Quantile(quantile):
            return lineups[:1], None, quantile
        case Mean():
            return lineups[:1], None, None
        case Beat():
            return lineups[:1], line, None
        case Cover() | ExpectedMax():
            return lineups, line, None


def settle(step: Settle, span: Span, bench: Bench) -> Trail | None:
    """Follow the objective from race to race; None when cancelled."""
    task = span.task
    # One unit, but all of the races.
    whole = Span(task, span.races, 0, task.chunks, span.context, span.best)
    # Lineups that were given beforehand belong to a portfolio, and to nothing else.
    is_portfolio = isinstance(task.objective, Cover | ExpectedMax)
    members = known_members(task, step.lineups) if is_portfolio else task.lineups.members(np.array(step.lineups))
    found = np.empty(task.scenarios, np.int16)
    for chunk in whole.chunks():
        lines = None if step.line is None else bench.lines(step.line, task, span.races, chunk)
        found[whole.races_done - len(chunk.scores) : whole.races_done] = best_in_each(members, chunk, lines)
    if not whole.is_last:
        return None
    return trail_of(found, step.quantile, whole.effort("cpu"))


def best_in_each(members: NDArray[np.int64], chunk: Chunk, lines: NDArray[np.int32] | None) -> NDArray[np.int16]:
    """Return what the best of some lineups scores in each race; with lines, whether it reaches that."""
    best = scored(members, chunk.by_player).max(axis=0)
    return best if lines is None else (best >= lines).astype(np.int16)


def trail_of(found: NDArray[np.int16], quantile: int | None, effort: Effort) -> Trail:
    """Return how the sum of what was found in each race settles, or a quantile of it."""
    marks = marks_of(len(found))
    told = [_summed(found[:mark]) if quantile is None else _ranked(found[:mark], quantile) for mark in marks]
    values, spreads = np.array(told, np.int64).T
    return Trail(len(found), np.array(marks, np.int64), values, spreads, effort)


def _summed(found: NDArray[np.int16]) -> tuple[int, int]:
    wide = found.astype(np.int64)
    return int(wide.sum()), int((wide * wide).sum())


def _ranked(found: NDArray[np.int16], quantile: int) -> tuple[int, int]:
    races = len(found)
    required = races_required(races, quantile)
    away = rank_error(required, races)
    ordered = np.sort(found)

    def reached(times: int) -> int:
        return int(ordered[races - max(1, min(races, times))])

    return reached(required), reached(required - away) - reached(required + away)


def rank_error(required: int, races: int) -> int:
    """Return by how many places the race that decides a quantile may be another one: a standard error, and one."""
    return max(1, round(sqrt(required * (races - required) / races)))
