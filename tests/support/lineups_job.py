"""A `lineups` job from its spec to its result, in one process: planned, cut into spans, merged, planned again."""

import json
from collections.abc import Callable, Mapping
from typing import cast

from meshd.kinds.base import DivisibleProgram, Document, Done, Phase
from meshd.kinds.lineups import kind
from meshd.kinds.lineups.partials import Partial
from meshd.kinds.lineups.program import program
from meshd.kinds.lineups.results import TOLD_OF_THE_RUN
from tests.support.drive import MAX_PHASES
from tests.support.engine_job import Patient

Spans = Callable[[Phase], list[tuple[int, int]]]
"""Returns in which spans, and in what order, the units of a phase are done."""


def whole(phase: Phase) -> list[tuple[int, int]]:
    """Return one span."""
    return [(0, phase.units)]


def backwards(phase: Phase) -> list[tuple[int, int]]:
    """Return a span for each unit, the last one first."""
    return [(unit, unit + 1) for unit in reversed(range(phase.units))]


def run_job(
    spec: Document,
    *,
    spans: Spans = whole,
    runner: DivisibleProgram[Partial] = program,
    through_bytes: bool = False,
) -> Mapping[str, object]:
    """Drive a job as a worker would; with `through_bytes` its partials and steps travel as between devices."""
    resolved = kind.validate(spec)
    finished: tuple[Partial, ...] = ()
    for _ in range(MAX_PHASES):
        planned = runner.plan(resolved, finished)
        if isinstance(planned, Done):
            return planned.result
        merged: Partial | None = None
        for start, stop in spans(planned):
            partial = runner.run_span(resolved, planned, start, stop, Patient())
            assert partial is not None
            if through_bytes:
                partial = runner.unpack(runner.pack(partial))
            merged = partial if merged is None else runner.merge(merged, partial)
        assert merged is not None
        finished = (*finished, merged)
    raise AssertionError(f"the job has more than {MAX_PHASES} phases")


def answer_of(result: Mapping[str, object]) -> str:
    """Return what must be the same bits on every device."""
    return json.dumps({name: value for name, value in result.items() if name not in TOLD_OF_THE_RUN})


def lineups_of(result: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the lineups of a result."""
    return cast("list[dict[str, object]]", result["lineups"])


def part_of(result: Mapping[str, object], name: str) -> dict[str, object]:
    """Return one of a result's objects: its certificate, say."""
    return cast("dict[str, object]", result[name])
