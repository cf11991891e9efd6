"""The job that a bench loses: a real optimization, with what it comes to where nothing happens to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from meshd.clock import Clock
from meshd.execution.computation import Course, compute
from meshd.execution.worker import load
from meshd.kinds import lineups
from meshd.kinds.base import DivisibleProgram, Document, Done, Phase

JOB_S = 40.0
"""What the job is made to take on this machine: as long as one that a user sends away."""

LEAST_JOB_S, MOST_JOB_S = 30.0, 60.0
"""Shorter, it would be over before a fault 10 s into it has shown anything; longer, it shows no more."""

TRIES = 3
"""At a job of that length: a machine with other things to do is never as fast as it was a minute ago."""

SCENARIOS = 330_000
"""The first try at a job of that length: right for two slow cores."""

MEASURED = frozenset({"device", "duration_s", "rate_gel_s"})
"""What a result tells of the machines that computed it; all the rest is the answer."""


@dataclass(frozen=True, slots=True)
class Optimization:
    """A job, and how it goes undisturbed."""

    spec: Document
    answer: bytes
    took_s: float
    weights: Mapping[int, float]
    """Of its phases, as progress counts them."""


def make_optimization(clock: Clock, *, scenarios: int | None = None) -> Optimization:
    """Compute the job in this process, alone; without `scenarios`, one that takes long enough here."""
    count = scenarios or SCENARIOS
    job = _computed(clock, count)
    for _ in range(TRIES - 1):
        if scenarios is not None or LEAST_JOB_S <= job.took_s <= MOST_JOB_S:
            break
        count = int(count * JOB_S / job.took_s)
        job = _computed(clock, count)
    return job


def answer_of(result: bytes) -> bytes:
    """Return what a result answers, without what it tells of the machines that computed it."""
    told = msgspec.json.decode(result, type=dict[str, object])
    return msgspec.json.encode({name: value for name, value in told.items() if name not in MEASURED})


def _computed(clock: Clock, scenarios: int) -> Optimization:
    spec = {"slate_csv": sample_slate(), "lineup_count": 20, "scenarios": scenarios, "objective": "p90", "seed": 7}
    program = _Noted(cast("DivisibleProgram[object]", load(lineups.kind.name, lineups.kind.program)))
    began = clock.boot()
    result = compute(program, lineups.kind.validate(spec), Course(clock=clock, tell=_ignore), clock)
    return Optimization(spec, answer_of(msgspec.json.encode(result)), clock.boot() - began, program.weights)


class _Noted:
    """A program, which also keeps how it weighs its phases."""

    def __init__(self, program: DivisibleProgram[object]) -> None:
        self._program = program
        self.weights: dict[int, float] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._program, name)

    def plan(self, resolved: Document, finished: tuple[object, ...]) -> Phase | Done:
        planned = self._program.plan(resolved, finished)
        if isinstance(planned, Phase):
            self.weights[planned.number] = planned.weight
        return planned


def sample_slate() -> str:
    """Return the salaries that come with meshd."""
    return (Path(lineups.__file__).parent / "sample_slate.csv").read_text("utf-8")


def _ignore(share: float, best: str, note: str, eta_s: float | None) -> None:
    del share, best, note, eta_s
