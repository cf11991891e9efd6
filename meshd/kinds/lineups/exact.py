"""The program of sports whose lineups can all be enumerated: the best of all of them, with the proof.

What is done, and in which order, is the engine's to say. Here a spec becomes the engine's task, its steps become
phases, and its answer becomes a result.
"""

import time

from meshd.errors import Degraded
from meshd.kinds.base import Context, DivisibleProgram, Document, Done, Phase

try:
    import numpy as np
except ModuleNotFoundError as missing:
    raise Degraded(
        "This device cannot compute lineups: NumPy and JAX are not installed.", hint="Install meshd[jax] here."
    ) from missing

from meshd.kinds.lineups.conflicts import refuse_none
from meshd.kinds.lineups.engine import work
from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.bench import Bench
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.objectives import planner
from meshd.kinds.lineups.engine.rules import Rules
from meshd.kinds.lineups.engine.spans import Span
from meshd.kinds.lineups.engine.steps import document_of, read_step
from meshd.kinds.lineups.engine.task import Mean, Task
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.packing import pack, unpack
from meshd.kinds.lineups.partials import Partial, merge
from meshd.kinds.lineups.problem import Problem, read_problem
from meshd.kinds.lineups.races import CACHED_SCENARIO_BYTES, RaceCache, SimulatedRaces
from meshd.kinds.lineups.results import job_result
from meshd.kinds.lineups.scenarios.model import RaceModel
from meshd.kinds.lineups.scenarios.race import scores

_CALIBRATED_DRIVERS = 36
_LINE = 3_000

_CACHE_SHARE = 20
"""One part in so many of a job's memory is for races: simulating them again costs less than anything else."""


class ExactProgram:
    """Plans by the engine's stories; remembers between calls what is dear to find again."""

    def __init__(self) -> None:
        self._cache = RaceCache(scores)
        self._planner = planner()
        self._bench = Bench()

    def plan(self, resolved: Document, finished: tuple[Partial, ...]) -> Phase | Done:
        """Return the next phase, or the result.

        Raises:
            BadInput: no lineup keeps the constraints, the races cannot tell lineups apart, or a partial is not this
                job's.
        """
        problem = read_problem(resolved)
        refuse_none(problem)
        planned = self._planner.plan(problem.task, finished)
        if isinstance(planned, Answer):
            return Done(job_result(problem, resolved, planned, finished))
        params = {**document_of(planned.step), "best": planned.best}
        return Phase(len(finished), planned.units(problem.task), planned.label, planned.share, params)

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> Partial | None:
        """Compute units `start <= unit < stop` of a phase."""
        problem = read_problem(resolved)
        step = read_step({name: value for name, value in phase.params.items() if name != "best"})
        best = str(phase.params["best"])
        return work.run(step, Span(problem.task, self._races(problem), start, stop, context, best), self._bench)

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
        """Return the lineups x races that this device counts in a second, on a slate of 36 drivers."""
        drivers = _CALIBRATED_DRIVERS
        lineups = Lineups(drivers, 6)
        task = Task(lineups, Rules((0,) * drivers), Diversity(1), Mean(), CHUNK_SCENARIOS, (0, 1))
        counting = Bench().count_pass(task)
        races = np.random.Philox(key=1).random_raw(CHUNK_SCENARIOS * drivers).reshape(-1, drivers)
        chunk, lines = (races % np.uint64(1_000)).astype(np.int16), np.full(CHUNK_SCENARIOS, _LINE, np.int32)
        counting.add(chunk, lines, _never)
        counting.counts()
        started, chunks = time.perf_counter(), 0
        while chunks < 4 or (chunks < 64 and time.perf_counter() - started < 0.5):
            for _ in range(4):
                counting.add(chunk, lines, _never)
            counting.counts()
            chunks += 4
        return chunks * CHUNK_SCENARIOS * lineups.total / (time.perf_counter() - started)

    def _races(self, problem: Problem) -> SimulatedRaces[RaceModel]:
        moved = np.array(problem.moved, np.int16)
        limit = problem.task.memory_bytes
        self._cache.most = CACHED_SCENARIO_BYTES if limit is None else min(CACHED_SCENARIO_BYTES, limit // _CACHE_SHARE)
        return SimulatedRaces(problem.model, problem.task.scenarios, problem.task.holdout, moved, self._cache)


def _never() -> bool:
    return False


program: DivisibleProgram[Partial] = ExactProgram()
"""What the worker runs for these sports."""
