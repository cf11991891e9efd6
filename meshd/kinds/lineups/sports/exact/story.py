"""How a streamed task goes on: candidates draw a line, and one pass over the ranges finds all lineups above it.

Lineups that have to differ are chosen one after the other, and many above the line are soon closed by those before
them. Then candidates are looked for again among what is open, and the line falls.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.answers import Answer, Proof
from meshd.kinds.lineups.engine.limits import MAX_CANDIDATES, MAX_HISTOGRAM_CELLS
from meshd.kinds.lineups.engine.planning import Planner
from meshd.kinds.lineups.engine.quantiles import races_required
from meshd.kinds.lineups.engine.shares import ROUND_FACTOR
from meshd.kinds.lineups.engine.steps import Line, Score
from meshd.kinds.lineups.engine.stories import belongs, end, told
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Quantile
from meshd.kinds.lineups.partials import Best, Effort, Tally
from meshd.kinds.lineups.sports.conflicts import NoLineup
from meshd.kinds.lineups.sports.exact.ground import (
    CANDIDATES,
    DEPTH,
    SHARES,
    ExactTelling,
    Ground,
    PlannedExact,
    PlannedStream,
    are_all,
    begin,
    candidates,
    line_below,
    quantiles,
    scan,
    search,
    window,
)
from meshd.kinds.lineups.sports.exact.portfolio import together
from meshd.kinds.lineups.sports.exact.steps import CountRanges, CountWins
from meshd.kinds.lineups.sports.exact.task import StreamedTask


def exact_planner() -> Planner[StreamedTask, PlannedExact, Answer]:
    """Return a planner of streamed tasks."""
    return Planner(exact_story)


def exact_story(task: StreamedTask) -> ExactTelling[Answer]:
    """Tell of a task from its beginning.

    Raises:
        BadInput: no lineup keeps the rules, or the races cannot tell lineups apart.
    """
    match task.objective:
        case Mean():
            return _in_rounds(task, _by_mean)
        case Quantile() as objective:
            return _in_rounds(task, _by_quantile(objective.quantile))
        case Beat() as objective:
            return _in_rounds(task, _by_wins, objective)
        case Cover() | ExpectedMax() as objective:
            return together(task, objective)


@dataclass
class _Choice:
    """How far the choice has come."""

    ground: Ground
    line: Line | None
    picks: tuple[int, ...] = ()
    rounds: int = 0
    best: str = ""
    efforts: list[Effort] = field(default_factory=list[Effort])
    required: int = 0
    looked_at: int = 0
    values: list[int] = field(default_factory=list[int])

    @property
    def share(self) -> float:
        """The part of the work that this round takes: nearly always there is only one."""
        plain = self.ground.task.diversity.is_plain
        return 1.0 if plain else (1 - ROUND_FACTOR) * ROUND_FACTOR**self.rounds


_Found: TypeAlias = tuple[Best, NDArray[np.int64]]
"""All open lineups from some value on, and their values."""

_Look: TypeAlias = Callable[[_Choice], ExactTelling[_Found]]


def _in_rounds(task: StreamedTask, look: _Look, beat: Beat | None = None) -> ExactTelling[Answer]:
    ground = yield from begin(task)
    choice = _Choice(ground, None if beat is None else ground.line(beat.line))
    chosen = ground.first_choice()
    while chosen.left:
        found, values = yield from look(choice)
        if not len(values):
            break
        at = ground.choose(found, values, chosen)
        choice.picks += tuple(ground.numbers(found)[at].tolist())
        choice.values += values[at].tolist()
        choice.looked_at += len(values)
        choice.rounds += 1
        if are_all(found) and look is _by_mean:
            break
    if not choice.rounds:
        raise NoLineup
    proof = Proof(
        passes=0 if look is _by_mean else len(choice.efforts),
        line=choice.line,
        required=choice.required,
        complete_set=choice.looked_at,
        counts=() if beat is None else tuple(choice.values),
    )
    lineups = np.array(choice.picks, np.int64)
    return (yield from end(ground.basis, lineups, proof, SHARES, best=choice.best, efforts=tuple(choice.efforts)))


def _by_mean(choice: _Choice) -> ExactTelling[_Found]:
    ground, diversity = choice.ground, choice.ground.task.diversity
    take = diversity.count
    if not diversity.is_plain:
        take = min(MAX_CANDIDATES, max(DEPTH * take, CANDIDATES) * DEPTH ** min(choice.rounds, 4))
    found = yield from scan(ground, ground.sums, take, SHARES.one_pass * choice.share, choice.picks)
    if not choice.best and len(found.values):
        choice.best = told(float(found.values[0]) / ground.task.scenarios, "mean")
    choice.efforts.append(found.effort)
    return found, found.values


def _by_quantile(quantile: int) -> _Look:
    def look(choice: _Choice) -> ExactTelling[_Found]:
        ground, share, picks = choice.ground, choice.share, choice.picks
        task = ground.task
        required = races_required(task.scenarios, quantile)
        found = yield from candidates(ground, quantile, picks, SHARES.candidates * share)
        if not len(found.values):
            return found, found.values
        label = "ranking candidates"
        values = yield from quantiles(ground, found, quantile, None, label, SHARES.describe * share)
        choice.best = choice.best or told(float(values.max()), f"p{quantile / 1000:g}")
        if are_all(found):
            return found, values
        chosen = ground.first_choice()
        for lineup in task.lineups.members(np.array(picks, np.int64)).tolist():
            chosen.choose(lineup)
        line, top = line_below(ground, found, values, chosen), int(values.max())
        while True:
            step = CountRanges(Score(line), required, tuple(ground.sums.tolist()), MAX_CANDIDATES + 1, picks)
            found = yield from search(ground, step, choice.best, SHARES.one_pass * share)
            choice.efforts.append(found.effort)
            if len(found.values) <= MAX_CANDIDATES and _fits(ground, found, quantile, line):
                break
            if line >= top:
                raise cannot_tell_apart(len(found.values), quantile)
            # Promised too little: so many cannot be looked at together.
            line = (line + top + 1) // 2
        choice.line, choice.required = Score(line), required
        label = "ranking the best"
        return found, (yield from quantiles(ground, found, quantile, line, label, SHARES.describe * share))

    return look


def _fits(ground: Ground, found: Best, quantile: int, line: int) -> bool:
    """Return whether the scores of so many lineups can be counted at once."""
    _, high = window(ground, found, quantile)
    return len(found.values) * max(1, high - line + 1) <= MAX_HISTOGRAM_CELLS


def cannot_tell_apart(lineups: int, quantile: int) -> BadInput:
    """Return what is said where the races put more lineups at the top than can be told apart."""
    return BadInput(
        f"{lineups:,} lineups or more share the best p{quantile / 1000:g}: the scenarios cannot tell them apart.",
        field="scenarios",
        hint="Use more scenarios, or choose by mean.",
    )


def _by_wins(choice: _Choice) -> ExactTelling[_Found]:
    ground, share, picks, line = choice.ground, choice.share, choice.picks, choice.line
    if line is None:
        raise AssertionError("lineups that win have a line")
    task = ground.task
    found = yield from candidates(ground, 95_000, picks, SHARES.candidates * share)
    if not len(found.values):
        return found, found.values
    step = CountWins(tuple(ground.numbers(found).tolist()), line)
    asked = yield lambda: PlannedStream(step, task.chunks, "ranking candidates", SHARES.describe * share)
    wins = belongs(asked, Tally, task.scenarios).wins
    choice.best = choice.best or f"{wins.max() / task.scenarios:.2%} of races"
    if are_all(found):
        return found, wins
    chosen = ground.first_choice()
    for lineup in task.lineups.members(np.array(picks, np.int64)).tolist():
        chosen.choose(lineup)
    choice.required = max(1, line_below(ground, found, wins, chosen))
    take = MAX_CANDIDATES if not task.diversity.is_plain else max(CANDIDATES, DEPTH * task.diversity.count)
    count = CountRanges(line, choice.required, tuple(ground.sums.tolist()), take, picks)
    reaching = yield from search(ground, count, choice.best, SHARES.one_pass * share)
    choice.efforts.append(reaching.effort)
    if len(reaching.values):
        return reaching, reaching.values
    # Nobody who is open ever reaches the line: the mean decides.
    left = yield from scan(ground, ground.sums, take, 0.0, picks)
    return left, np.zeros_like(left.values)
