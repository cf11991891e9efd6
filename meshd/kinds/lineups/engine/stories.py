"""What all objectives have in common: the moments at the beginning, and what is told of the lineups at the end.

From the moments of all players every lineup's mean follows, by which lineups that are otherwise equal are ordered.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.answers import Answer, Proof
from meshd.kinds.lineups.engine.diversity import chosen_by_value
from meshd.kinds.lineups.engine.opponents import Field, weights_from_means, weights_from_ownership
from meshd.kinds.lineups.engine.planning import Planned, Story, Telling
from meshd.kinds.lineups.engine.settling import followed
from meshd.kinds.lineups.engine.shares import Shares
from meshd.kinds.lineups.engine.steps import (
    CountAll,
    FillHistogram,
    Line,
    Score,
    Settle,
    Step,
    SumMoments,
    TallyFresh,
    checksum,
)
from meshd.kinds.lineups.engine.task import Beat, FieldLine, Task
from meshd.kinds.lineups.partials import Counts, Effort, Histogram, Moments, Partial, Tally, Trail
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT

P = TypeVar("P", bound=Partial)

_SETTLING = 0.2
"""The part of the time for describing lineups that goes into following their objective."""


def told(units: float, what: str) -> str:
    """Return a score as one short line, for example "271.3 pts mean"."""
    return f"{units / UNITS_PER_POINT:.1f} pts {what}"


def belongs(partial: Partial, kind: type[P], races: int) -> P:
    """Return the partial, which is of that kind and of so many races.

    Raises:
        BadInput: it is not this job's.
    """
    if not isinstance(partial, kind) or partial.races != races:
        raise stranger()
    return partial


def stranger() -> BadInput:
    """Return what is said of a partial that is not this job's."""
    return BadInput("A partial does not belong to this job.", hint="Submit the job again.")


@dataclass(frozen=True, eq=False)
class Basis:
    """What every story knows after its first step."""

    task: Task
    moments: Moments
    totals: NDArray[np.int64]
    """Sum of each feasible lineup's scores."""

    def chosen(self, *values: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the lineups with the highest values, one for each feasible lineup, chosen one after the other."""
        return chosen_by_value(self.task.lineups, self.task.feasible, [*values, self.totals], self.task.diversity)

    def rows(self, lineups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where numbered lineups stand among the feasible ones."""
        return np.searchsorted(self.task.feasible, lineups)

    def line(self, spec: Score | FieldLine) -> Line:
        """Return the line that is meant, with the field's weights worked out."""
        if isinstance(spec, Score):
            return spec
        if spec.ownership is not None:
            weights = weights_from_ownership(spec.ownership)
        else:
            sums = [int(total) for total in self.moments.sums]
            weights = weights_from_means(sums, self.moments.races, spec.temperature)
        return Field(weights, spec.opponents, spec.quantile, spec.seed, spec.cap, spec.floor)

    def best(self, lineups: NDArray[np.int64]) -> str:
        """Return the first lineup's mean, as one short line."""
        if not len(lineups):
            return ""
        return told(float(self.totals[self.rows(lineups[:1])][0]) / self.moments.races, "mean")


def ask(step: Step, label: str, share: float, best: str, kind: type[P], task: Task) -> Telling[P]:
    """Ask for a step over the races; return its partial."""
    return belongs((yield lambda: Planned(step, "races", label, share, best)), kind, task.scenarios)


def begin(task: Task, shares: Shares) -> Telling[Basis]:
    """Ask for the moments.

    Raises:
        BadInput: no lineup keeps the rules.
    """
    if not len(task.feasible):
        raise BadInput("No lineup keeps all rules.", hint="Drop a rule, or loosen one.")
    moments = yield from ask(SumMoments(), "simulating races", shares.moments, "", Moments, task)
    if len(moments.sums) != task.lineups.players:
        raise stranger()
    return Basis(task, moments, task.lineups.sums(moments.sums)[task.feasible])


def end(
    basis: Basis,
    lineups: NDArray[np.int64],
    proof: Proof,
    shares: Shares,
    *,
    best: str = "",
    efforts: tuple[Effort, ...] = (),
) -> Story:
    """Ask for what the chosen lineups score, and how they do in fresh races; give the answer."""
    task = basis.task
    if not len(lineups):
        raise BadInput("No lineup is open under the bounds of exposure and overlap.", hint="Loosen one of them.")
    low, high = task.bounds
    numbers = tuple(lineups.tolist())
    best = best or basis.best(lineups)
    step = FillHistogram(numbers, low, high - low + 1)
    described = yield from ask(step, "describing the best", shares.describe * (1 - _SETTLING), best, Histogram, task)
    if not np.array_equal(described.lineups, lineups):
        raise stranger()
    settle = Settle(*followed(task.objective, numbers, proof.line))
    asked = yield lambda: Planned(settle, "once", "following the objective", shares.describe * _SETTLING, best)
    trail = belongs(asked, Trail, task.scenarios)
    if not task.holdout:
        return Answer(lineups, basis.moments, described, proof, trail, efforts=efforts)
    tally = TallyFresh(numbers, proof.line)
    asked = yield lambda: Planned(tally, "fresh", "judging by fresh races", shares.fresh, best)
    fresh = belongs(asked, Tally, task.holdout)
    if not np.array_equal(fresh.lineups, lineups):
        raise stranger()
    again = FillHistogram(numbers, low, high - low + 1, fresh=True)
    asked = yield lambda: Planned(again, "fresh", "describing fresh races", shares.describe_fresh, best)
    fresh_described = belongs(asked, Histogram, task.holdout)
    if not np.array_equal(fresh_described.lineups, lineups):
        raise stranger()
    return Answer(lineups, basis.moments, described, proof, trail, fresh, fresh_described, efforts)


def by_mean(task: Task) -> Story:
    """Tell of the lineups with the highest mean: no lineup has to be scored in any race."""
    shares = Shares.of(task)
    basis = yield from begin(task, shares)
    return (yield from end(basis, basis.chosen(), Proof(), shares))


def by_wins(task: Task, objective: Beat) -> Story:
    """Tell of the lineups that reach a line in most races."""
    shares = Shares.of(task)
    basis = yield from begin(task, shares)
    line = basis.line(objective.line)
    counted = yield from ask(CountAll(line), "counting every lineup", shares.one_pass, "", Counts, task)
    counts = counts_of(counted, line, task)
    lineups = basis.chosen(counts)
    found = counts[basis.rows(lineups)]
    proof = Proof(passes=1, line=line, counts=tuple(found.tolist()))
    best = f"{found[0] / task.scenarios:.2%} of races" if len(found) else ""
    return (yield from end(basis, lineups, proof, shares, best=best, efforts=(counted.effort,)))


def counts_of(counted: Counts, line: Line, task: Task) -> NDArray[np.int32]:
    """Return the counts of a pass, which are this task's and of this line."""
    if counted.threshold != checksum(line) or len(counted.counts) != len(task.feasible):
        raise stranger()
    return counted.counts.astype(np.int32, copy=False)
