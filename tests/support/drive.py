"""A story of steps, driven in one process as workers would: planned, cut into spans, merged, planned again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from msgspec import Struct

from meshd.kinds.base import Document
from meshd.kinds.lineups.engine.planning import Planner
from meshd.kinds.lineups.engine.steps import document_of
from meshd.kinds.lineups.packing import pack, unpack
from meshd.kinds.lineups.partials import Partial, merge

MAX_PHASES = 400

K = TypeVar("K")
W = TypeVar("W")
T = TypeVar("T")

Cut = Callable[[int], list[tuple[int, int]]]
"""Returns in which spans, and in what order, so many units are done."""


def whole(units: int) -> list[tuple[int, int]]:
    """Return one span."""
    return [(0, units)]


def backwards(units: int) -> list[tuple[int, int]]:
    """Return a span for each unit, the last one first."""
    return [(unit, unit + 1) for unit in reversed(range(units))]


@dataclass
class Driven(Generic[W, T]):
    """What a solved task took."""

    answer: T
    steps: list[W]
    partials: tuple[Partial, ...]


def drive(
    plans: Planner[K, W, T],
    task: K,
    ends: type[T],
    *,
    step_of: Callable[[W], tuple[Struct, int]],
    compute: Callable[[Document, int, int], Partial | None],
    cut: Cut,
) -> Driven[W, T]:
    """Drive a task to its answer, which is an `ends`; partials and steps travel as bytes.

    `step_of` returns what travels of a planned step, and how many units it has; `compute` does some of them.
    """
    finished: tuple[Partial, ...] = ()
    steps: list[W] = []
    for _ in range(MAX_PHASES):
        planned = plans.plan(task, finished)
        if isinstance(planned, ends):
            return Driven(planned, steps, finished)
        steps.append(cast("W", planned))
        step, units = step_of(steps[-1])
        told = document_of(step)
        merged: Partial | None = None
        for start, stop in cut(units):
            partial = compute(told, start, stop)
            assert partial is not None
            partial = unpack(pack(partial))
            merged = partial if merged is None else merge(merged, partial)
        assert merged is not None
        finished = (*finished, merged)
    raise AssertionError(f"the job has more than {MAX_PHASES} phases")
