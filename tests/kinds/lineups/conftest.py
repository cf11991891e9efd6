"""What the lineup tests share: real slates, small slates, and a driver that runs a job start to end."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from meshd.kinds.base import Document, Done, Phase
from meshd.kinds.lineups import kind
from meshd.kinds.lineups.partials import Partial
from meshd.kinds.lineups.program import program


class Watcher:
    """A context that never cancels, or does so at the given question, and remembers what it was told."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.cancel_at = cancel_at
        self.questions = 0
        self.reports: list[tuple[float, str]] = []

    def cancelled(self) -> bool:
        self.questions += 1
        return self.cancel_at is not None and self.questions >= self.cancel_at

    def report(self, share: float, *, best: str = "", note: str = "") -> None:
        self.reports.append((share, best))


class RunJob(Protocol):
    def __call__(
        self,
        spec: Document,
        *,
        spans: Callable[[Phase], list[tuple[int, int]]] = ...,
        through_bytes: bool = ...,
    ) -> Document: ...


def whole(phase: Phase) -> list[tuple[int, int]]:
    return [(0, phase.units)]


def run_to_end(
    spec: Document,
    *,
    spans: Callable[[Phase], list[tuple[int, int]]] = whole,
    through_bytes: bool = False,
) -> Document:
    """Drive a job as a worker would: plan, run spans in the given order, merge them, plan again."""
    resolved = kind.validate(spec)
    finished: tuple[Partial, ...] = ()
    for _ in range(10):
        planned = program.plan(resolved, finished)
        if isinstance(planned, Done):
            return planned.result
        merged: Partial | None = None
        for start, stop in spans(planned):
            partial = program.run_span(resolved, planned, start, stop, Watcher())
            assert partial is not None
            if through_bytes:
                partial = program.unpack(program.pack(partial))
            merged = partial if merged is None else program.merge(merged, partial)
        assert merged is not None
        finished = (*finished, merged)
    raise AssertionError("the job has more than ten phases")


@pytest.fixture
def run_job() -> RunJob:
    return run_to_end


@pytest.fixture
def watcher() -> type[Watcher]:
    return Watcher


@pytest.fixture
def small_slate() -> Callable[[int], dict[str, object]]:
    """Return a maker of specs with a few invented drivers whose salaries make the cap bite."""

    def make(drivers: int) -> dict[str, object]:
        draw = random.Random(drivers)
        return {
            "drivers": [
                {
                    "id": str(100 + number),
                    "name": f"Driver {number}",
                    "salary": draw.randrange(55, 110) * 100,
                    "avg_points": draw.randrange(100, 500) / 10,
                }
                for number in range(drivers)
            ]
        }

    return make


@pytest.fixture
def real_file(shared_data: Path) -> Callable[[str], str]:
    """Return a reader of the real files beside the project."""
    return lambda name: (shared_data / name).read_text(encoding="utf-8")
