"""Lineups that do best together, where all are too many to hold: each is the one that adds most to those before it.

A pass over the ranges finds all lineups that would add so much, in the races that are left; among these is chosen for
as long as each choice is proven best of all. What a lineup adds only falls as others are chosen, so a lineup that the
pass has left out stays below what it asked for. Where there are half a billion lineups, a choice may add a quarter
less than the best of all could, and what it adds is told beside that bound.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.planning import Planned
from meshd.kinds.lineups.engine.portfolio_story import State, pool_size
from meshd.kinds.lineups.engine.shares import ROUND_FACTOR
from meshd.kinds.lineups.engine.steps import Bound, Line, Select
from meshd.kinds.lineups.engine.stories import belongs, stranger, told
from meshd.kinds.lineups.engine.task import Cover, ExpectedMax
from meshd.kinds.lineups.partials import Gains, Picks, Tally
from meshd.kinds.lineups.sports.conflicts import NoLineup
from meshd.kinds.lineups.sports.exact.ground import (
    SHARES,
    ExactTelling,
    Ground,
    PlannedStream,
    begin,
    candidates,
    scan,
    search,
)
from meshd.kinds.lineups.sports.exact.keeping import Open
from meshd.kinds.lineups.sports.exact.steps import CountRanges, CountWins, GainRanges, SumGains
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.parts import lineups_of

_ENOUGH = 0.5
"""Of what the best candidate adds, a pass finds all lineups that add so much: then the next round is due."""

PROVEN = 20_000_000
"""Of so many lineups, each choice is proven best of all: a pass over them takes seconds."""

_NEARLY = 0.75
"""Of more, each choice adds so much at least of what any lineup could. Half a billion golf lineups have tens of
thousands within a tenth of the best: a pass of a minute or two would be good for four choices."""

_PASS, _CANDIDATES, _SELECT = 0.8, 0.1, 0.1
"""How a round's time divides."""

_MOST_TOTAL = (1 << 62) - 1
"""Above all sums of scores: of a lineup that a pass left out, only the most that it adds is known."""

_ROUNDS = 0.82
"""The part of the work that is done in rounds."""


def together(task: StreamedTask, objective: Cover | ExpectedMax) -> ExactTelling[Answer]:
    """Tell of the lineups that cover most races, or whose best score is expected to be highest."""
    ground = yield from begin(task)
    line = ground.line(objective.line) if isinstance(objective, Cover) else None
    state, pool = State(), np.zeros(0, np.int64)
    if line is None and not task.diversity.given:
        yield from _take_best_mean(ground, state)
        if not state.picks:
            raise NoLineup
    while len(state.picks) < task.diversity.count:
        share = _ROUNDS * (1 - ROUND_FACTOR) * ROUND_FACTOR ** len(state.rounds)
        if not len(pool):
            found = yield from candidates(ground, 95_000, tuple(state.picks), share * _CANDIDATES)
            pool = ground.numbers(found)
            if not len(pool):
                break
        most = yield from _most(ground, line, state, pool, share * _CANDIDATES)
        step, pool = yield from _round(ground, line, state, most, share * _PASS)
        bound = step.bound
        if bound is not None and lineups_of(task.parts) > PROVEN:
            step = msgspec.structs.replace(step, bound=Bound(int(bound.gain * _NEARLY), _MOST_TOTAL, 0))
        asked = yield lambda step=step, share=share: Planned(
            step, "once", f"choosing lineups ({len(step.chosen)} chosen)", share * _SELECT, state.best
        )
        found = belongs(asked, Picks, task.scenarios)
        if not len(found.lineups):
            break
        state.take(found)
        state.bounds[-len(found.lineups) :] = [-1 if bound is None else bound.gain] * len(found.lineups)
        average = state.reached / task.scenarios
        state.best = told(average, "best") if line is None else f"{average:.2%} covered"
    if not state.picks:
        raise NoLineup
    return (yield from state.end(ground.basis, line, SHARES))


def _take_best_mean(ground: Ground, state: State) -> ExactTelling[None]:
    """Take the first one, which adds all it scores: the mean decides, without a pass."""
    found = yield from scan(ground, ground.sums, 1, SHARES.candidates)
    state.picks += ground.numbers(found).tolist()
    state.gains += found.values.tolist()
    state.bounds += [-1] * len(found.values)
    if len(found.values):
        state.best = told(float(found.values[0]) / ground.task.scenarios, "mean")


def _most(ground: Ground, line: Line | None, state: State, pool: NDArray[np.int64], share: float) -> ExactTelling[int]:
    """Ask what some lineups would add; return the most of those that are open, 0 where none is."""
    task, chosen, numbers = ground.task, tuple(state.picks), tuple(pool.tolist())
    if line is None:
        gains = SumGains(numbers, chosen)
        asked = yield lambda: PlannedStream(gains, task.chunks, "looking for candidates", share, state.best)
        added = belongs(asked, Gains, task.scenarios).gains
    else:
        count = CountWins(numbers, line, chosen, uncovered=True)
        asked = yield lambda: PlannedStream(count, task.chunks, "looking for candidates", share, state.best)
        added = belongs(asked, Tally, task.scenarios).wins
    if len(added) != len(pool):
        raise stranger()
    is_open = Open(task, chosen).keeps(task.lineups.members(pool))
    return int(added[is_open].max(initial=0))


def _round(
    ground: Ground, line: Line | None, state: State, most: int, share: float
) -> ExactTelling[tuple[Select, NDArray[np.int64]]]:
    """Ask for all lineups that add nearly as much; return how to choose among them, and who they are."""
    task, chosen, sums = ground.task, tuple(state.picks), tuple(ground.sums.tolist())
    take, required = pool_size(task, line) + 1, max(1, int(most * _ENOUGH))
    if line is None:
        step = GainRanges(required, sums, take, chosen)
    else:
        step = CountRanges(line, required, sums, take, chosen, uncovered=True)
    found = yield from search(ground, step, state.best, share)
    state.efforts.append(found.effort)
    gains, bound = found.values, Bound(required - 1, _MOST_TOTAL, 0)
    if not len(gains):
        # Nothing is left to be added by anybody: the mean decides.
        found, bound = (yield from scan(ground, ground.sums, take, 0.0, chosen)), None
        gains = np.zeros_like(found.values)
    numbers, totals = ground.numbers(found), found.totals
    if len(numbers) == take:
        bound = Bound(int(gains[-1]), int(totals[-1]), int(numbers[-1]))
        numbers, gains, totals = numbers[:-1], gains[:-1], totals[:-1]
    select = Select(chosen, tuple(numbers.tolist()), tuple(gains.tolist()), tuple(totals.tolist()), bound, line)
    return select, numbers
