# pyright: basic
"""Lineups by mean beside other optimizers: as a warm job, and as a command on a machine where nothing runs yet."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.diversity import Diversity, chosen_by_value
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.rules import allowed
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from tests.bench.figures import Figure
from tests.bench.optimizer_peers import PEERS, PROGRAMS
from tests.bench.optimizer_slates import CAP, SimulatedRaces, Slate
from tests.support.linear_lineups import next_lineup, random_spec
from tests.support.lineups_by_hand import ByHand
from tests.support.lineups_job import lineups_of, run_job

RACES = 10_240

PEER_GOALS = {(20, "pydfs"): 0.5, (150, "pydfs"): 0.1}
"""Our time as a share of the peer's, by number of lineups."""

CASES = ((1, 4), (20, 4), (150, 4))
"""Lineups by mean, and players that two of them may share."""

SLOW = 150
"""So many lineups are asked of the others once only: they take half a minute each."""

SEEDS = range(40)
"""Random rules that CP-SAT is asked about."""


class Others:
    """The other optimizers, each in a process of its own: two of them cannot even be loaded into one."""

    def __init__(self, python: str | None) -> None:
        self._python = python or ""
        self.there = [name for name, (module, _) in PEERS.items() if python is not None and self._has(module)]

    @property
    def why_not(self) -> str:
        """Return how to get those that are not there."""
        if len(self.there) == len(PEERS):
            return ""
        lacking = ", ".join(name for name in PEERS if name not in self.there)
        return (
            f"skipped: {lacking}. To have them: python3 -m venv peers, "
            "peers/bin/pip install pydfs-lineup-optimizer highspy ortools, and --peers peers/bin/python"
        )

    def asked(self, name: str, problem: object) -> tuple[dict, float]:
        """Return what a peer finds, and what its whole process takes."""
        # Without -P its folder would come first, and tests/bench/queue.py in the place of Python's own.
        script = [self._python, "-P", str(Path(__file__).with_name("optimizer_peers.py")), name]
        began = time.perf_counter()
        told = subprocess.run(script, input=json.dumps(problem), capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
        if told.returncode:
            raise SystemExit(f"{name} failed: {told.stderr[-500:]}")
        return json.loads(told.stdout.splitlines()[-1]), took

    def _has(self, module: str) -> bool:
        return (
            subprocess.run([self._python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
        )


def mean_figures(slate: Slate, rounds: int, others: Others) -> Iterator[Figure]:
    """Time lineups by mean beside the other tools, in turn; the values of all of them have to be the same."""
    races = SimulatedRaces(slate, RACES)
    sums = np.add.reduce([races.chunk(at).sum(axis=0, dtype=np.int64) for at in range(RACES // CHUNK_SCENARIOS)])
    with tempfile.TemporaryDirectory() as folder, Machine(Path(folder), slate) as machine:
        yield Figure("meshd optimize, nothing running yet: 20 lineups by mean", "s", [machine.cold_s])
        for count, overlap in CASES:
            ours: list[float] = []
            jobs: list[float] = []
            commands: list[float] = []
            theirs: dict[str, list[tuple[float, float]]] = {name: [] for name in others.there}
            for _ in range(rounds if count < SLOW else 1):
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
                for name in others.there:
                    found, whole = others.asked(name, problem)
                    if sorted(found["values"]) != sorted(totals[picks].tolist()):
                        raise SystemExit(f"{name} found {sum(found['values'])}, we {int(totals[picks].sum())}")
                    theirs[name].append((found["seconds"], whole))
                command, job = machine.optimize(count, overlap)
                commands.append(command)
                jobs.append(job)
            what = f"{count} lineups by mean, at most {overlap} shared"
            yield Figure(f"{what}: from the means to the lineups", "s", ours)
            yield Figure(f"{what}: the computing of a warm job, with {RACES:,} races and 20,000 fresh ones", "s", jobs)
            yield Figure(f"{what}: the whole command, daemon running", "s", commands)
            for name, took in theirs.items():
                yield Figure(f"{what}: {name}", "s", [seconds for seconds, _ in took])
                yield Figure(f"{what}: {name}, whole process", "s", [whole for _, whole in took])
                ratios = [mine / other for mine, (other, _) in zip(ours, took, strict=True)]
                goal = PEER_GOALS.get((count, name))
                yield Figure(f"{what}: our time / {name}'s", "ratio", ratios, goal, 0.5)
                # What a user waits for, races and all, against a tool that is given its means.
                ratios = [mine / other for mine, (_, other) in zip(commands, took, strict=True)]
                yield Figure(f"{what}: our whole command / {name}'s whole process", "ratio", ratios)
                ratio = [machine.cold_s / other for _, other in took]
                if count == machine.COLD_LINEUPS:
                    yield Figure(f"{what}: our first command, nothing running / {name}'s whole process", "ratio", ratio)


class Machine:
    """A machine on which nothing of meshd has run before: a home of its own, with a daemon from the first command."""

    COLD_LINEUPS = 20

    def __init__(self, folder: Path, slate: Slate) -> None:
        self._file = folder / "slate.csv"
        self._file.write_text(slate.salary_file(), "utf-8")
        own = {"HOME": str(folder / "home"), "DISCOVERY": "false", "API_PORT": "0", "PEER_PORT": "0"}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("MESHD_")}
        self._variables = {**plain, **{f"MESHD_{name}": value for name, value in own.items()}}
        (folder / "home").mkdir()
        self.cold_s = 0.0

    def __enter__(self) -> "Machine":
        self.cold_s = self.optimize(self.COLD_LINEUPS, 4)[0]
        self.optimize(1, 4)
        return self

    def __exit__(self, *_: object) -> None:
        self._meshd("down")

    def optimize(self, count: int, overlap: int) -> tuple[float, float]:
        """Return what `meshd optimize` takes, and what the job itself took to compute."""
        rules = ["--lineups", str(count), "--max-overlap", str(overlap), "--scenarios", str(RACES)]
        began = time.perf_counter()
        told = self._meshd("optimize", str(self._file), *rules, "--json")
        took = time.perf_counter() - began
        result = json.loads(told)["result"]
        if len(result["lineups"]) != count:
            raise SystemExit(f"meshd optimize found {len(result['lineups'])} lineups of {count}")
        return took, result["duration_s"]

    def _meshd(self, *arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("meshd")), *arguments]
        return subprocess.run(
            command, env=self._variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        ).stdout


def agreement_figures(others: Others) -> Iterator[Figure]:
    """Ask CP-SAT for each lineup of jobs under random rules, given those before it; every value has to be the same."""
    if "cp-sat" not in others.there:
        return
    programs: list[dict] = []
    values: list[int | None] = []
    refused = 0
    for seed in SEEDS:
        spec = random_spec(seed)
        try:
            result = run_job(spec)
        except BadInput as why:
            refused += 1
            if "No lineup keeps" in why.message:
                programs.append(next_lineup(ByHand(spec), []).document())
                values.append(None)
            continue
        job, picks = ByHand(spec), list[tuple[str, ...]]()
        for lineup in lineups_of(result):
            ids = tuple(cast("list[str]", lineup["ids"]))
            programs.append(next_lineup(job, picks).document())
            values.append(int(job.points(ids).sum()))
            picks.append(ids)
        if result["status"] == "fewer":
            programs.append(next_lineup(job, picks).document())
            values.append(None)
    found = others.asked(PROGRAMS, programs)[0]["values"]
    wrong = sum(mine != other for mine, other in zip(values, found, strict=True))
    what = f"CP-SAT under random rules, {len(SEEDS)} jobs"
    yield Figure(f"{what}: lineups compared", "", [len(values) - values.count(None)])
    yield Figure(f"{what}: times that no lineup is left, compared", "", [values.count(None)])
    yield Figure(f"{what}: jobs that contradict themselves on paper", "", [refused])
    yield Figure(f"{what}: disagreements", "", [wrong], 0.0)
