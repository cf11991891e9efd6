# pyright: basic
"""How fast the lineup engine is: `python -m tests.bench.optimizer [--peers PYTHON] [--rounds N] [--quick]`.

Prints one JSON line a figure. The machine's own 16-bit speed is measured in the same run, and what the engine does is
told as a share of it, too: the goals are for two quiet cores with 512-bit vectors. `--peers` names the Python of an
environment with any of pydfs-lineup-optimizer, highspy and ortools, each of which runs in a process of its own.
Slates come from the real files beside the repository; where there are none, and for 39 drivers, they are invented.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.bench import Bench
from meshd.kinds.lineups.engine.diversity import Diversity, chosen_by_value
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.objectives import planner
from meshd.kinds.lineups.engine.passes import CountPass
from meshd.kinds.lineups.engine.rules import Rules, allowed
from meshd.kinds.lineups.engine.spans import Span
from meshd.kinds.lineups.engine.task import Cover, FieldLine, Objective, Quantile, Task
from meshd.kinds.lineups.engine.work import run
from meshd.kinds.lineups.input.salaries import read_salaries
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.partials import Partial
from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.field import race_model
from meshd.kinds.lineups.scenarios.race import scores
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS, LINEUP_UNITS, units
from meshd.kinds.lineups.scenarios.tracks import DEFAULT_PRESET, PRESETS
from tests.bench.figures import Figure, tell
from tests.bench.optimizer_peers import PEERS
from tests.support.engine_job import Patient

REAL_SLATE = Path(__file__).resolve().parents[3] / "shared" / "data" / "nascar-dk" / "NASweek4.csv"
"""The Las Vegas race of 2023: 36 drivers."""

CAP = 50_000
RACES = 10_240
PORTFOLIO_RACES = 51_200
HOLDOUT = 20_480
FIELD = FieldLine(5_000, 99_000, 7, CAP, 48_000)
"""The top percent of 5,000 opponents."""

OPERATIONS = 3
"""16-bit operations that counting takes for a lineup and race: subtract, shift, subtract."""

PEER_GOALS = {(20, "pydfs"): 0.5, (150, "pydfs"): 0.1}
"""Our time as a share of the peer's, by number of lineups."""

CASES = ((1, 4), (20, 4), (150, 4))
"""Lineups by mean, and players that two of them may share."""


@dataclass(frozen=True)
class Slate:
    """Drivers, and races that are simulated once."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def lineups(self) -> Lineups:
        return Lineups(len(self.entries), 6)

    @property
    def rules(self) -> Rules:
        return Rules(tuple(entry.salary for entry in self.entries), cap=CAP)


class SimulatedRaces:
    """Races of a slate, kept from step to step as a worker keeps them."""

    def __init__(self, slate: Slate, races: int) -> None:
        self._model = race_model(slate.entries, track=PRESETS[DEFAULT_PRESET], scoring=DRAFTKINGS, seed=1)
        self._races = races
        self._kept: dict[int, np.ndarray] = {}
        self.key = slate.name, races

    def chunk(self, number: int) -> np.ndarray:
        return self._get(number)[: min(CHUNK_SCENARIOS, self._races - number * CHUNK_SCENARIOS)]

    def fresh(self, number: int) -> np.ndarray:
        return self._get((1 << 32) + number)[: min(CHUNK_SCENARIOS, HOLDOUT - number * CHUNK_SCENARIOS)]

    def _get(self, number: int) -> np.ndarray:
        if number not in self._kept:
            self._kept[number] = scores(self._model, number)
        return self._kept[number]


def slates() -> list[Slate]:
    """Return one of 36 and one of 39 drivers."""
    if REAL_SLATE.is_file():
        drivers = read_salaries(REAL_SLATE.read_text("utf-8")).players
        small = tuple(Entry(driver.salary, units(driver.avg_points)) for driver in drivers)
        return [Slate("Las Vegas 2023", small), invented(39)]
    return [invented(36), invented(39)]


def invented(drivers: int) -> Slate:
    """Return a slate that looks like those of 2023: a few dear drivers, many cheap ones, averages that follow."""
    draw = np.random.default_rng(drivers)
    salaries = [4_600 + 100 * round(70 * (1 - place / drivers) ** 1.7) for place in range(drivers)]
    averages = [
        max(1.0, salary / 220 + noise) for salary, noise in zip(salaries, draw.normal(0, 5, drivers), strict=True)
    ]
    return Slate(f"invented, {drivers} drivers", tuple(map(Entry, salaries, map(units, averages))))


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


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def mean_figures(slate: Slate, rounds: int, python: str | None) -> list[Figure]:
    """Time lineups by mean beside the other tools, in turn; the values of all of them have to be the same."""
    races = SimulatedRaces(slate, RACES)
    chunks = [races.chunk(number).sum(axis=0, dtype=np.int64) for number in range(RACES // CHUNK_SCENARIOS)]
    sums = np.add.reduce(chunks)
    peers = [name for name in PEERS if python is not None and has(python, PEERS[name][0])]
    figures: list[Figure] = []
    for count, overlap in CASES:
        ours: list[float] = []
        theirs: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(rounds if count < 150 else 1):
            # The same lineups object would remember its tables: a new one each time.
            began = time.perf_counter()
            lineups = Lineups(len(slate.entries), 6)
            totals, numbers = lineups.sums(sums), np.flatnonzero(allowed(lineups, slate.rules))
            picks = chosen_by_value(lineups, numbers, [totals[numbers]], Diversity(count, max_overlap=overlap))
            ours.append(time.perf_counter() - began)
            problem = {
                "values": sums.tolist(),
                "salaries": slate.rules.salaries,
                "cap": CAP,
                "count": count,
                "overlap": overlap,
            }
            for name in peers:
                found = asked(python or "", name, problem)
                if sorted(found["values"]) != sorted(totals[picks].tolist()):
                    raise SystemExit(f"{name} found {sum(found['values'])}, we {int(totals[picks].sum())}")
                theirs[name].append(found["seconds"])
        what = f"{count} lineups by mean, at most {overlap} shared"
        figures.append(Figure(what, "ms", [1e3 * each for each in ours]))
        for name, took in theirs.items():
            ratios = [mine / other for mine, other in zip(ours, took, strict=True)]
            figures.append(Figure(f"{what}: {name}", "ms", [1e3 * each for each in took]))
            figures.append(Figure(f"{what}: our time / {name}'s", "ratio", ratios, PEER_GOALS.get((count, name)), 0.5))
    return figures


def has(python: str, module: str) -> bool:
    """Return whether a Python can import a module."""
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def asked(python: str, name: str, problem: dict) -> dict:
    """Return what a peer finds, in a process of its own."""
    script = str(Path(__file__).with_name("optimizer_peers.py"))
    # -P: not with this folder in its path, whose `queue` is another than the library's.
    command = [python, "-P", script, name]
    told = subprocess.run(command, input=json.dumps(problem), capture_output=True, text=True, check=True)
    return json.loads(told.stdout.splitlines()[-1])


def load(when: str) -> Figure:
    """Return how busy the machine is, by which the figures have to be judged."""
    return Figure(f"load average {when}, on {cores()} cores", "", [os.getloadavg()[0]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all benches; return 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="the Python of an environment with the other optimizers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="without the portfolio")
    options = parser.parse_args(arguments)
    small, large = slates()
    status = tell([load("before")])
    operations_a_second = peak()
    status |= tell([Figure("16-bit operations of one core, on registers", "G/s", [operations_a_second / 1e9])])
    for slate in (small, large):
        status |= tell(pass_figures(slate, options.rounds, operations_a_second))
    status |= tell(quantile_figures(small, options.rounds))
    status |= tell(mean_figures(small, options.rounds, options.peers))
    if not options.quick:
        status |= tell(portfolio_figures(small))
    return status | tell([load("after")])


if __name__ == "__main__":
    raise SystemExit(main())
