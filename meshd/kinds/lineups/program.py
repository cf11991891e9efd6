"""What the worker runs: the program of a job's sport."""

import importlib
from functools import cache
from typing import cast

from meshd.errors import Degraded
from meshd.kinds.base import Context, DivisibleProgram, Document, Done, Phase
from meshd.kinds.lineups import sports

try:
    from meshd.kinds.lineups.packing import pack, unpack
    from meshd.kinds.lineups.partials import Partial, merge
    from meshd.kinds.lineups.swap import EntriesProgram
except ModuleNotFoundError as missing:
    raise Degraded(
        "This device cannot compute lineups: NumPy and JAX are not installed.", hint="Install meshd[jax] here."
    ) from missing


class LineupsProgram:
    """Hands each job to its sport's program; partials of all sports are of the same types."""

    def __init__(self) -> None:
        self._entries = EntriesProgram(_program_of)

    def plan(self, resolved: Document, finished: tuple[Partial, ...]) -> Phase | Done:
        """Return the phase that follows the finished ones, or the result."""
        return self._of(resolved).plan(resolved, finished)

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> Partial | None:
        """Compute units `start <= unit < stop` of a phase."""
        return self._of(resolved).run_span(resolved, phase, start, stop, context)

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
        """Measure this device's rate by the first sport's work, which is the unit of all."""
        return _load(sports.find(sports.DEFAULT).program).calibrate()

    def _of(self, resolved: Document) -> "EntriesProgram | DivisibleProgram[Partial]":
        return self._entries if "entries" in resolved else _program_of(resolved)


def _program_of(resolved: Document) -> DivisibleProgram[Partial]:
    return _load(sports.find(resolved["sport"]).program)


@cache
def _load(module: str) -> DivisibleProgram[Partial]:
    return cast("DivisibleProgram[Partial]", importlib.import_module(module).program)


program: DivisibleProgram[Partial] = LineupsProgram()
"""What the worker runs."""
