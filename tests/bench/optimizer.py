# pyright: basic
"""How fast the lineup engine is: `python -m tests.bench.optimizer [PART …] [--peers PYTHON] [--rounds N]`.

Prints one JSON line a figure, in about five minutes on two quiet cores. The parts, all of them unless some are named:

- `pass`: one pass of 10,240 races over all lineups of slates of 36 and 39 drivers, also as a share of what this
  machine's 16-bit arithmetic could do, measured in the same run
- `p99`: the certified top 150 by p99
- `mean`: 1, 20 and 150 lineups by mean beside pydfs-lineup-optimizer, HiGHS and CP-SAT, as a warm job and as a command
- `agreement`: what CP-SAT says to random rules
- `portfolio`: 150 lineups that cover most of 51,200 races, held against fresh ones
- `golf`, `nba`: six of 88 golfers by mean and p90, and a basketball evening, as `python -m tests.bench.sports` has them

`--peers` names the Python of an environment with any of the others, each of which runs in a process of its own:
`python3 -m venv peers && peers/bin/pip install pydfs-lineup-optimizer highspy ortools`. What is not there is skipped,
and said. Slates come from the real files beside the repository; where there are none, and for 39 drivers, they are
invented. The goals are for two quiet cores with 512-bit vectors.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.bench import Bench
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.objectives import planner
from meshd.kinds.lineups.engine.passes import CountPass
from meshd.kinds.lineups.engine.spans import Span
from meshd.kinds.lineups.engine.task import Cover, FieldLine, Objective, Quantile, Task
from meshd.kinds.lineups.engine.work import run
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.partials import Partial
from meshd.kinds.lineups.scenarios.scoring import LINEUP_UNITS
from tests.bench import sports
from tests.bench.figures import Figure, cores, load, tell
from tests.bench.optimizer_others import Others, agreement_figures, mean_figures
from tests.bench.optimizer_slates import CAP, HOLDOUT, SimulatedRaces, Slate, slates
from tests.support.engine_job import Patient

RACES = 10_240
PORTFOLIO_RACES = 51_200
FIELD = FieldLine(5_000, 99_000, 7, CAP, 48_000)
"""The top percent of 5,000 opponents."""

OPERATIONS = 3
"""16-bit operations that counting takes for a lineup and race: subtract, shift, subtract."""


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """Return how long something takes, and how many seconds of all cores together: what others do leaves that alone."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - used


def peak() -> float:
    """Return the operations that one core does in a second, of those that count, on numbers that stay in registers."""
    turns, repeats, numbers = 2_000, 32, 8_192

    @jax.jit
    def chew(x: jax.Array, lines: jax.Array) -> jax.Array:
        def turn(_: int, x: jax.Array) -> jax.Array:
            counter = x
            for repeat in range(repeats):
                counter = counter - lax.shift_right_arithmetic(x - lines[repeat], jnp.int16(15))
            return counter

        return lax.fori_loop(0, turns, turn, x)

    draw = np.random.default_rng(1)
    inputs = [
        [jnp.asarray(draw.integers(-99, 99, size).astype(np.int16)) for size in (numbers, repeats)]
        for _ in range(cores())
    ]

    def all_cores() -> None:
        jax.block_until_ready([chew(*each) for each in inputs])

    all_cores()
    return len(inputs) * turns * repeats * OPERATIONS * numbers / min(cost(all_cores)[1] for _ in range(9))


def pass_figures(slate: Slate, rounds: int, operations_a_second: float) -> list[Figure]:
    """Time one pass over all lineups: tables, counting, and the totals of all lineups at the end."""
    races = SimulatedRaces(slate, RACES)
    chunks = [races.chunk(number) for number in range(RACES // CHUNK_SCENARIOS)]
    counting = CountPass(slate.lineups)

    def one_pass() -> None:
        counting.reset()
        for chunk in chunks:
            counting.add(chunk, 6_000, lambda: False)
        counting.counts()

    one_pass()
    elements = slate.lineups.total * RACES
    took, used = zip(*(cost(one_pass) for _ in range(rounds)), strict=True)
    what = f"one pass of {RACES:,} races over {slate.lineups.total:,} lineups ({slate.name})"
    share = OPERATIONS * elements / min(used) / operations_a_second
    return [
        Figure(what, "s", took),
        Figure(f"{what}: picoseconds a lineup and race", "ps", [1e12 * each / elements for each in took], 20.0, 0.5),
        Figure(f"{what}: lineups x races a second, best", "G/s", [elements / min(took) / 1e9]),
        Figure(f"{what}: lineups x races a second of one core, best", "G/s", [elements / min(used) / 1e9]),
        Figure(f"{what}: share of what the core's registers could do, best", "%", [100 * share]),
    ]


def solved(
    slate: Slate, objective: Objective, races: int, *, count: int, holdout: int, bench: Bench
) -> tuple[float, Answer]:
    """Return how long a job takes from its moments to its answer, and the answer."""
    task = Task(slate.lineups, slate.rules, Diversity(count), objective, races, LINEUP_UNITS, holdout)
    source, plans = SimulatedRaces(slate, races), planner()
    finished: tuple[Partial, ...] = ()
    began = time.perf_counter()
    while not isinstance(planned := plans.plan(task, finished), Answer):
        partial = run(planned.step, Span(task, source, 0, planned.units(task), Patient()), bench)
        assert partial is not None, "nobody cancels it"
        finished = (*finished, partial)
    return time.perf_counter() - began, planned


def quantile_figures(slate: Slate, rounds: int) -> list[Figure]:
    """Time the 150 lineups with the highest p99, certified; compiled code is there from the first time on."""
    bench = Bench()
    jobs = [solved(slate, Quantile(99_000), RACES, count=150, holdout=0, bench=bench) for _ in range(rounds + 1)]
    what = f"certified top 150 by p99, {RACES:,} races, simulation included ({slate.name})"
    return [
        Figure(what, "s", [took for took, _ in jobs[1:]], 1.0, 0.5),
        Figure(f"{what}: the first time, compilation included", "s", [jobs[0][0]]),
        Figure("lineups with as good a p99 as number 150", "", [jobs[0][1].proof.complete_set]),
    ]


def portfolio_figures(slate: Slate) -> list[Figure]:
    """Time a portfolio of 150 that covers most races, each choice proven."""
    took, answer = solved(slate, Cover(FIELD), PORTFOLIO_RACES, count=150, holdout=HOLDOUT, bench=Bench())
    proof, fresh = answer.proof, answer.fresh
    assert fresh is not None
    assert all(gain >= bound for gain, bound in zip(proof.gains, proof.bounds, strict=True))
    what = f"portfolio of 150, top 1%, {PORTFOLIO_RACES:,} races ({slate.name})"
    return [
        Figure(what, "s", [took], 45.0),
        Figure(f"{what}: passes", "", [proof.passes]),
        Figure(f"{what}: races covered", "%", [100 * sum(proof.gains) / PORTFOLIO_RACES]),
        Figure(f"{what}: fresh races covered", "%", [100 * fresh.covered / fresh.races]),
    ]


def parts_of(options: argparse.Namespace) -> Mapping[str, Callable[[], Iterable[Figure]]]:
    """Return what each part measures, by name."""
    small, large = slates()
    others = Others(options.peers)

    def passes() -> Iterable[Figure]:
        operations_a_second = peak()
        yield Figure("16-bit operations of one core, on registers", "G/s", [operations_a_second / 1e9])
        for slate in (small, large):
            yield from pass_figures(slate, options.rounds, operations_a_second)

    def beside_others(figures: Callable[[], Iterable[Figure]]) -> Callable[[], Iterable[Figure]]:
        def told() -> Iterable[Figure]:
            if others.why_not:
                print(others.why_not, flush=True)
            return figures()

        return told

    return {
        "pass": passes,
        "p99": lambda: quantile_figures(small, options.rounds),
        "mean": beside_others(lambda: mean_figures(small, options.rounds, others)),
        "agreement": beside_others(lambda: agreement_figures(others)),
        "portfolio": lambda: portfolio_figures(small),
        "golf": lambda: sports.golf_figures(RACES, sports.GOLF_IN_SHORT),
        "nba": sports.nba_figures,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are named, or all; return 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--peers", help="the Python of an environment with the other optimizers")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    parts = parts_of(options)
    unknown = [name for name in options.parts if name not in parts]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(parts)}")
    began = time.perf_counter()
    status = tell([load("before")])
    for name in options.parts or parts:
        status |= tell(parts[name]())
    return status | tell([load("after"), Figure("the whole run", "s", [time.perf_counter() - began])])


if __name__ == "__main__":
    raise SystemExit(main())
