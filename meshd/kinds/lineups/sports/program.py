"""The program of sports with rosters: all lineups looked at where that can be, chains where it cannot.

What is done, and in which order, is the engines' to say. Here a spec becomes an engine's task, its steps become
phases, and its answer becomes a result.
"""

import numpy as np

from meshd.kinds.base import Context, DivisibleProgram, Document, Done, Phase
from meshd.kinds.lineups import exact as first_sport
from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.spans import Span
from meshd.kinds.lineups.engine.steps import document_of
from meshd.kinds.lineups.packing import pack, unpack
from meshd.kinds.lineups.partials import Partial, merge
from meshd.kinds.lineups.races import RaceCache, SimulatedRaces
from meshd.kinds.lineups.scenarios.projections import ProjectionModel, scores
from meshd.kinds.lineups.sports.annealing import work as annealing
from meshd.kinds.lineups.sports.annealing.steps import read_anneal_step
from meshd.kinds.lineups.sports.annealing.story import AnnealedAnswer, anneal_planner
from meshd.kinds.lineups.sports.annealing.task import AnnealedTask
from meshd.kinds.lineups.sports.conflicts import NoLineup
from meshd.kinds.lineups.sports.exact import work as streaming
from meshd.kinds.lineups.sports.exact.making import ColumnRaces
from meshd.kinds.lineups.sports.exact.steps import read_exact_step
from meshd.kinds.lineups.sports.exact.story import exact_planner
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.explaining import why_none
from meshd.kinds.lineups.sports.problem import SlateProblem, read_slate_problem
from meshd.kinds.lineups.sports.telling import annealed_result, exact_result


class RosteredProgram:
    """Plans by the engines' stories; remembers between calls what is dear to find again."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._cache = RaceCache(scores)
        self._exact, self._annealed = exact_planner(), anneal_planner()
        self._desk, self._chains = streaming.Desk(), annealing.ChainDesk()

    def plan(self, resolved: Document, finished: tuple[Partial, ...]) -> Phase | Done:
        """Return the next phase, or the result.

        Raises:
            BadInput: no lineup keeps the constraints, or a partial is not this job's.
        """
        problem = read_slate_problem(resolved)
        try:
            return self._planned(problem, resolved, finished)
        except NoLineup:
            raise why_none(problem, resolved) from None

    def _planned(self, problem: SlateProblem, resolved: Document, finished: tuple[Partial, ...]) -> Phase | Done:
        match problem.task:
            case StreamedTask() as task:
                planned = self._exact.plan(task, finished)
                if isinstance(planned, Answer):
                    return Done(exact_result(problem, resolved, planned, finished))
                units = planned.units(task)
            case AnnealedTask() as task:
                planned = self._annealed.plan(task, finished)
                if isinstance(planned, AnnealedAnswer):
                    return Done(annealed_result(problem, resolved, planned, finished))
                units = planned.units(task)
        params = {**document_of(planned.step), "best": planned.best}
        return Phase(len(finished), units, planned.label, planned.share, params)

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> Partial | None:
        """Compute units `start <= unit < stop` of a phase."""
        problem = read_slate_problem(resolved)
        params = {name: value for name, value in phase.params.items() if name != "best"}
        best, races = str(phase.params["best"]), self._races(problem)
        match problem.task:
            case StreamedTask() as task:
                streamed = Span(task, races, start, stop, context, best)
                return streaming.run(read_exact_step(params), streamed, self._desk)
            case AnnealedTask() as task:
                chained = annealing.AnnealSpan(task, races, start, stop, context, best)
                return annealing.run(read_anneal_step(params), chained, self._chains)

    def merge(self, one: Partial, other: Partial) -> Partial:
        """Join the partials of two disjoint spans of one phase."""
        return merge(one, other)

    def pack(self, partial: Partial) -> bytes:
        """Return the partial as bytes."""
        return pack(partial)

    def unpack(self, data: bytes) -> Partial:
        """Read what `pack` wrote; raise `BadInput` for anything else."""
        return unpack(data)

    def calibrate(self) -> float:
        """Return the rate that all sports' work is measured by."""
        return first_sport.program.calibrate()

    def _races(self, problem: SlateProblem) -> SimulatedRaces[ProjectionModel] | ColumnRaces:
        task, moved = problem.task, np.array(problem.moved, np.int16)
        if problem.choice is None:
            return SimulatedRaces(problem.model, task.scenarios, task.holdout, moved, self._cache)
        # A captain's points are moved when they are his: half as much again of a sum is not the sum of two halves.
        still = np.zeros_like(moved)
        games = SimulatedRaces(problem.model, task.scenarios, task.holdout, still, self._cache)
        return ColumnRaces(games, problem.drawn, problem.moved_columns)


program: DivisibleProgram[Partial] = RosteredProgram()
"""What the worker runs for these sports."""
