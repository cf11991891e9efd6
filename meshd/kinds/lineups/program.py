"""The lineups program: the best lineups over simulated races, with the proof that none is better.

By mean, every lineup's value follows from the sums per driver: simulate, rank, describe. By percentile, 1,500
candidates are taken by mean plus a multiple of the standard deviation, and the K-th best of their exact percentiles
is the line to beat. One pass then counts, for *every* lineup, the races at or above that line: those that reach it
often enough are all the lineups whose percentile is as good, and the best K are among them. How the candidates were
chosen decides only how many those are, never who wins.
"""

import time

from meshd.errors import BadInput, Degraded
from meshd.kinds.base import Context, DivisibleProgram, Document, Done, Phase

try:
    import numpy as np
    from numpy.typing import NDArray
except ModuleNotFoundError as missing:
    raise Degraded(
        "This device cannot compute lineups: NumPy and JAX are not installed.", hint="Install meshd[jax] here."
    ) from missing

from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS, MAX_DESCRIBED
from meshd.kinds.lineups.packing import pack, unpack
from meshd.kinds.lineups.partials import Counts, Effort, Histogram, Moments, Partial, merge
from meshd.kinds.lineups.problem import Problem, read_problem
from meshd.kinds.lineups.results import job_result, percentile_of, races_required, told
from meshd.kinds.lineups.scenarios.scoring import LINEUP_UNITS
from meshd.kinds.lineups.spans import RaceCache, Span, count_lineups, engine_module, fill_histogram, sum_moments
from meshd.kinds.lineups.spec import ELEMENTS_PER_DRIVER_RACE, ELEMENTS_PER_SAMPLE, ROSTER_SIZE, candidate_count

Z_90 = 1.2815515655446004
"""Standard deviations above the mean at which a normal variable has its 90th percentile."""


class LineupsProgram:
    """The worker's side of the kind `lineups`."""

    def __init__(self) -> None:
        self._races = RaceCache()

    def plan(self, resolved: Document, finished: tuple[Partial, ...]) -> Phase | Done:
        """Return the next phase, or the result.

        Raises:
            BadInput: fewer lineups are feasible than were asked for, too many share the last percentile, or a
                partial is not this job's.
        """
        problem = read_problem(resolved)
        weights = _weights(problem)
        match problem.objective, finished:
            case _, ():
                # Told before any work, rather than after.
                _ = problem.feasible
                return Phase(0, problem.chunks, "simulating races", weights[0], {"step": "moments"})
            case "mean", (Moments() as moments,):
                best, values = _best_by_mean(problem, moments)
                return _describe(problem, best, 1, weights[1], told(values[0] / moments.races, "mean"))
            case "mean", (Moments() as moments, Histogram() as described):
                best, _ = _best_by_mean(problem, moments)
                _check(problem, described.races, np.array_equal(described.lineups, best))
                return Done(
                    job_result(
                        problem,
                        resolved,
                        best,
                        moments,
                        described,
                        other_effort=Effort(),
                        counted=None,
                        complete_set=0,
                    )
                )
            case _, (Moments() as moments,):
                return _candidates(problem, moments, weights[1])
            case _, (Moments(), Histogram() as candidates):
                return _count(problem, candidates, weights[2])
            case _, (Moments(), Histogram() as candidates, Counts() as counted):
                best = str(_count(problem, candidates, weights[2]).params["best"])
                return _describe(problem, _complete_set(problem, counted), 3, weights[3], best)
            case _, (Moments() as moments, Histogram() as candidates, Counts() as counted, Histogram() as described):
                complete = _complete_set(problem, counted)
                _check(problem, described.races, np.array_equal(described.lineups, complete))
                sums = problem.enumeration.sums(moments.sums)
                ranked = problem.ranked(complete, percentile_of(described, 90), sums[complete])
                return Done(
                    job_result(
                        problem,
                        resolved,
                        ranked[: problem.lineup_count],
                        moments,
                        described,
                        other_effort=candidates.effort,
                        counted=counted,
                        complete_set=len(complete),
                    )
                )
            case _:
                raise BadInput("These partials do not belong to this job.", hint="Submit the job again.")

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> Partial | None:
        """Compute chunks `start <= chunk < stop` of a phase."""
        problem = read_problem(resolved)
        span = Span(problem, phase, start, stop, context, self._races)
        match phase.params["step"]:
            case "moments":
                return sum_moments(span)
            case "candidates" | "describe":
                return fill_histogram(span)
            case _:
                return count_lineups(span)

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
        drivers = 36
        lineups = Lineups(drivers, ROSTER_SIZE)
        counting = engine_module("passes").CountPass(lineups)
        races = np.random.Philox(key=1).random_raw(CHUNK_SCENARIOS * drivers).reshape(-1, drivers)
        chunk = (races % np.uint64(1_000)).astype(np.int16)
        counting.add(chunk, 3_000, _never)
        counting.counts()
        started, chunks = time.perf_counter(), 0
        while chunks < 4 or (chunks < 64 and time.perf_counter() - started < 0.5):
            for _ in range(4):
                counting.add(chunk, 3_000, _never)
            counting.counts()
            chunks += 4
        return chunks * CHUNK_SCENARIOS * lineups.total / (time.perf_counter() - started)


def _never() -> bool:
    return False


def _weights(problem: Problem) -> list[float]:
    """Estimate each phase's share of the time."""
    simulate = problem.drivers * ELEMENTS_PER_DRIVER_RACE
    if problem.objective == "mean":
        costs = [simulate, problem.lineup_count * ELEMENTS_PER_SAMPLE]
    else:
        candidates = min(candidate_count(problem.lineup_count), problem.lineups)
        described = 2 * problem.lineup_count
        costs = [
            simulate,
            candidates * ELEMENTS_PER_SAMPLE,
            problem.lineups,
            described * ELEMENTS_PER_SAMPLE,
        ]
    return [cost / sum(costs) for cost in costs]


def _best_by_mean(problem: Problem, moments: Moments) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the best lineups and their sums over all races."""
    _check(problem, moments.races, len(moments.sums) == problem.drivers)
    sums = problem.enumeration.sums(moments.sums)
    best = problem.highest(problem.feasible, sums[problem.feasible])
    return best, sums[best]


def _candidates(problem: Problem, moments: Moments, weight: float) -> Phase:
    """Plan exact histograms of the lineups that a normal distribution would put first."""
    _check(problem, moments.races, len(moments.sums) == problem.drivers)
    feasible = problem.feasible
    mean = problem.enumeration.sums(moments.sums)[feasible] / moments.races
    variance = problem.enumeration.pair_sums(moments.products)[feasible] / moments.races - mean * mean
    deviation = np.sqrt(np.maximum(variance, 0.0))
    promise = mean + Z_90 * deviation
    take = min(candidate_count(problem.lineup_count), len(feasible))
    chosen = _most_promising(promise, take)
    low = max(LINEUP_UNITS[0], int(mean[chosen].min()))
    high = min(LINEUP_UNITS[1], int((mean + 5 * deviation)[chosen].max()) + 1)
    params = {
        "step": "candidates",
        "lineups": [int(number) for number in feasible[chosen]],
        "low": low,
        "bins": max(1, high - low + 1),
        "best": told(float(promise.max()), "p90, estimated"),
    }
    return Phase(1, problem.chunks, "ranking candidates", weight, params)


def _most_promising(promise: NDArray[np.float64], take: int) -> NDArray[np.int64]:
    """Return where the `take` largest values are, ascending; the first of equals, on every device."""
    line = np.partition(promise, len(promise) - take)[len(promise) - take]
    above, level = np.flatnonzero(promise > line), np.flatnonzero(promise == line)
    return np.sort(np.concatenate([above, level[: take - len(above)]]))


def _count(problem: Problem, candidates: Histogram, weight: float) -> Phase:
    _check(problem, candidates.races, len(candidates.lineups) >= problem.lineup_count)
    reached = np.sort(percentile_of(candidates, 90))[::-1]
    threshold = int(reached[problem.lineup_count - 1])
    if threshold == candidates.low:
        # The first bin holds everything below as well: no line can be drawn from it.
        threshold = LINEUP_UNITS[0]
    params = {"step": "count", "threshold": threshold, "best": told(int(reached[0]), problem.objective)}
    return Phase(2, problem.chunks, "counting every lineup", weight, params)


def _complete_set(problem: Problem, counted: Counts) -> NDArray[np.int64]:
    """Return every lineup whose percentile reaches the threshold."""
    _check(problem, counted.races, len(counted.counts) == len(problem.feasible))
    complete = problem.feasible[counted.counts >= races_required(problem.scenarios, 90)]
    if len(complete) > MAX_DESCRIBED:
        raise BadInput(
            f"{len(complete):,} lineups have as good a {problem.objective} as number {problem.lineup_count:,}: "
            f"{problem.scenarios:,} scenarios cannot tell them apart.",
            field="scenarios",
            hint="Use more scenarios, or ask for fewer lineups.",
        )
    return complete


def _describe(problem: Problem, lineups: NDArray[np.int64], number: int, weight: float, best: str) -> Phase:
    params = {
        "step": "describe",
        "lineups": [int(lineup) for lineup in lineups],
        "low": LINEUP_UNITS[0],
        "bins": LINEUP_UNITS[1] - LINEUP_UNITS[0] + 1,
        "best": best,
    }
    return Phase(number, problem.chunks, "describing the best", weight, params)


def _check(problem: Problem, races: int, fits: bool) -> None:
    if races != problem.scenarios or not fits:
        raise BadInput("A partial does not belong to this job.", hint="Submit the job again.")


program: DivisibleProgram[Partial] = LineupsProgram()
"""What the worker runs."""
