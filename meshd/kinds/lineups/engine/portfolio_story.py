"""Lineups that do best together: each is the one that adds most to those before it, among all there are.

A pass finds what every lineup would add. The best become candidates; among them is chosen for as long as each choice
beats the best lineup outside, as it stood after the pass. Then another pass is due, over the races that are left.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.answers import Proof, Round
from meshd.kinds.lineups.engine.diversity import Chosen, held_in_all
from meshd.kinds.lineups.engine.limits import MAX_POOL, MIN_POOL, POOL_BYTES
from meshd.kinds.lineups.engine.planning import Planned, Story, Telling
from meshd.kinds.lineups.engine.ranking import first, likeliest
from meshd.kinds.lineups.engine.shares import Shares
from meshd.kinds.lineups.engine.steps import AddGains, AddLost, Bound, CountLost, CountOpen, Line, Select
from meshd.kinds.lineups.engine.stories import Basis, ask, begin, belongs, counts_of, end, stranger, told
from meshd.kinds.lineups.engine.task import Cover, ExpectedMax, Task
from meshd.kinds.lineups.partials import Counts, Effort, Gains, Picks, signed


@dataclass
class State:
    """How far the choice has come."""

    picks: list[int] = field(default_factory=list[int])
    gains: list[int] = field(default_factory=list[int])
    bounds: list[int] = field(default_factory=list[int])
    rounds: list[Round] = field(default_factory=list[Round])
    efforts: list[Effort] = field(default_factory=list[Effort])
    added: NDArray[np.int64] | NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """What each feasible lineup would add to the first `known` picks."""

    known: int | None = None
    """None before the first pass."""

    reached: int = 0
    """What given and chosen lineups reach together: races covered, or the sum of the best scores."""

    newly_reached: int = 0
    """What of it the last round reached."""

    best: str = ""
    _chosen: Chosen | None = None
    _mask: NDArray[np.bool_] | None = None
    """Which of all lineups the picks have not closed for good."""

    def open(self, basis: Basis) -> NDArray[np.bool_]:
        """Return which feasible lineups may be chosen next."""
        task = basis.task
        tell = held_in_all(task.lineups)
        if self._chosen is None or self._mask is None:
            self._chosen = Chosen(task.diversity, task.lineups.players, task.lineups.size)
            self._mask = self._chosen.leave(tell, task.allowed)
        known = len(self._chosen.lineups) - len(task.diversity.given)
        for lineup in task.lineups.members(np.array(self.picks[known:], np.int64)).tolist():
            self._chosen.choose(lineup)
            self._mask = self._chosen.leave_after_last(tell, self._mask)
        return self._chosen.answering(tell, self._mask)[task.feasible]

    def take(self, found: Picks) -> None:
        """Add what a round has chosen."""
        self.picks += found.lineups.tolist()
        self.gains += found.gains.tolist()
        self.bounds += found.bounds.tolist()
        self.rounds.append(Round(found.reached, len(found.lineups)))
        self.newly_reached = int(found.gains.sum())
        self.reached = found.reached + self.newly_reached

    def end(self, basis: Basis, line: Line | None, shares: Shares) -> Story:
        """Ask for what is told of the picks; give the answer."""
        proof = Proof(
            passes=len(self.efforts),
            line=line,
            gains=tuple(self.gains),
            bounds=tuple(self.bounds),
            rounds=tuple(self.rounds),
        )
        lineups = np.array(self.picks, np.int64)
        return (yield from end(basis, lineups, proof, shares, best=self.best, efforts=tuple(self.efforts)))


def together(task: Task, objective: Cover | ExpectedMax) -> Story:
    """Tell of the lineups that cover most races, or whose best score is expected to be highest."""
    shares = Shares.of(task)
    basis = yield from begin(task, shares)
    line = basis.line(objective.line) if isinstance(objective, Cover) else None
    state = State()
    if line is None and not task.diversity.given:
        _take_best_mean(basis, state)
    while len(state.picks) < task.diversity.count and (state.picks or line is not None or task.diversity.given):
        share = shares.of_round(len(state.rounds))
        yield from _pass(basis, line, state, share.one_pass)
        found = belongs((yield partial(_select, basis, line, state, share.select)), Picks, task.scenarios)
        if not len(found.lineups):
            break
        state.take(found)
        average = state.reached / task.scenarios
        state.best = told(average, "best") if line is None else f"{average:.2%} covered"
    return (yield from state.end(basis, line, shares))


def _take_best_mean(basis: Basis, state: State) -> None:
    """Take the first one, which adds all it scores: the mean decides, without a pass."""
    is_open = state.open(basis)
    for lineup in first(basis.task.lineups, basis.task.feasible[is_open], [basis.totals[is_open]], 1).tolist():
        state.picks.append(lineup)
        state.gains.append(int(basis.totals[basis.rows(np.array([lineup]))[0]]))
        state.bounds.append(-1)


def _pass(basis: Basis, line: Line | None, state: State, share: float) -> Telling[None]:
    """Ask what every lineup would add to the chosen ones, or how much less than before: what means fewer races."""
    task, chosen, known = basis.task, tuple(state.picks), state.known
    label = f"looking at every lineup ({len(chosen)} chosen)"
    loses = known is not None and (line is None or state.newly_reached < task.scenarios - state.reached)
    step: CountOpen | CountLost | AddGains | AddLost
    if line is not None:
        step = CountLost(line, chosen, known) if loses and known is not None else CountOpen(line, chosen)
        counted = yield from ask(step, label, share, state.best, Counts, task)
        found, effort = counts_of(counted, line, task), counted.effort
    else:
        step = AddLost(chosen, known) if loses and known is not None else AddGains(chosen)
        added = yield from ask(step, label, share, state.best, Gains, task)
        if len(added.gains) != len(task.feasible):
            raise stranger()
        found, effort = signed(added.gains), added.effort
    state.added = state.added - found if loses else found
    state.known = len(chosen)
    state.efforts.append(effort)


def _select(basis: Basis, line: Line | None, state: State, share: float) -> Planned:
    """Plan the choice among the lineups that would add most."""
    chosen, added = tuple(state.picks), state.added
    task = basis.task
    value = np.where(state.open(basis), added, np.int32(-1))
    likely = likeliest(value, basis.totals, pool_size(task, line) + 1)
    del value
    values = [added[likely], basis.totals[likely]]
    ordered = first(task.lineups, task.feasible[likely], values, pool_size(task, line) + 1)
    rows = basis.rows(ordered)
    bound = None
    if len(ordered) > pool_size(task, line):
        bound = Bound(int(added[rows[-1]]), int(basis.totals[rows[-1]]), int(ordered[-1]))
        ordered, rows = ordered[:-1], rows[:-1]
    step = Select(
        chosen,
        tuple(ordered.tolist()),
        tuple(added[rows].tolist()),
        tuple(basis.totals[rows].tolist()),
        bound,
        line,
    )
    return Planned(step, "once", f"choosing lineups ({len(chosen)} chosen)", share, state.best)


def pool_size(task: Task, line: Line | None) -> int:
    """Return how many candidates are looked at one by one: as many as fit, a bit a race or a score a race each."""
    if task.candidates:
        return task.candidates
    fit = POOL_BYTES * 8 // task.scenarios if line is not None else POOL_BYTES // (2 * task.scenarios)
    return max(MIN_POOL, min(MAX_POOL, fit))
