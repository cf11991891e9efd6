"""A divisible kind without work: its units add up to a number, and its partials know which units are in them.

A unit that is missing or counted twice shows in the result: nothing here refuses what production should refuse.
"""

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from meshd.errors import BadInput
from meshd.kinds.base import Context, Document, Done, Phase

MODULUS = (1 << 61) - 1
BLOCK = bytes(range(256)) * 320
"""What makes a partial larger than the 64 KiB from which on it would not fit a message."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often each unit of a phase is in it, and the sum of what they contribute."""

    counts: tuple[int, ...]
    total: int
    is_large: bool

    def plus(self, other: "Tally") -> "Tally":
        """Return both together."""
        counts = tuple(one + two for one, two in zip(self.counts, other.counts, strict=True))
        return Tally(counts, (self.total + other.total) % MODULUS, self.is_large)

    def pack(self) -> bytes:
        """Return it as bytes."""
        head = struct.pack(">QI", self.total, len(self.counts)) + bytes(min(count, 255) for count in self.counts)
        return head + BLOCK if self.is_large else head

    @classmethod
    def unpack(cls, data: bytes) -> "Tally":
        """Read what `pack` wrote."""
        total, units = struct.unpack_from(">QI", data)
        return cls(tuple(data[12 : 12 + units]), total, len(data) > 12 + units)


def contribution(seed: int, phase: int, unit: int) -> int:
    """Return what a unit adds."""
    return (seed * 1_000_003 + phase * 7919 + unit * 104_729) ** 3 % MODULUS


def tally(seed: int, phase: int, units: int, start: int, stop: int, *, is_large: bool) -> Tally:
    """Return the partial of a span."""
    counts = tuple(1 if start <= unit < stop else 0 for unit in range(units))
    return Tally(counts, sum(contribution(seed, phase, unit) for unit in range(start, stop)) % MODULUS, is_large)


def answer(parts: Sequence[Tally]) -> str:
    """Return the result that the merged partials of all phases give."""
    return " ".join(f"{''.join(map(str, part.counts))}:{part.total:x}" for part in parts)


def units_of(resolved: Document, finished: Sequence[Tally]) -> int:
    """Return how many units the next phase has, 0 when there is none; the second depends on what the first found."""
    first = resolved["units"]
    assert isinstance(first, int)
    return (first, 3 + finished[0].total % 5 if finished else 0, 0)[len(finished)]


@functools.lru_cache(maxsize=1024)
def undisturbed(seed: int, units: int) -> str:
    """Return the result of a job that one device computes in one piece."""
    parts: list[Tally] = []
    while count := units_of({"units": units}, parts):
        parts.append(tally(seed, len(parts), count, 0, count, is_large=False))
    return answer(parts)


class TallyProgram:
    """See `meshd.kinds.base.DivisibleProgram`. `pass_time` is told how many units were computed."""

    def __init__(self, pass_time: "PassTime", *, is_of_another_version: bool = False) -> None:
        self._pass_time = pass_time
        self._is_of_another_version = is_of_another_version

    def plan(self, resolved: Document, finished: tuple[Tally, ...]) -> Phase | Done:
        units = units_of(resolved, finished)
        if not units:
            return Done({"answer": answer(finished)})
        return Phase(len(finished), units, "tally", 0.5, {})

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> Tally | None:
        seed = resolved["seed"]
        assert isinstance(seed, int)
        self._pass_time(stop - start)
        return tally(seed, phase.number, phase.units, start, stop, is_large=bool(resolved["large"]))

    def merge(self, one: Tally, other: Tally) -> Tally:
        return one.plus(other)

    def pack(self, partial: Tally) -> bytes:
        return partial.pack()

    def unpack(self, data: bytes) -> Tally:
        if self._is_of_another_version:
            raise BadInput("this checkpoint is of another version")
        return Tally.unpack(data)

    def calibrate(self) -> float:
        return 1.0


class PassTime:
    """A worker's clock, which stands still but while units are computed: see `meshd.clock.Clock`."""

    def __init__(self, unit_s: float) -> None:
        self._unit_s = unit_s
        self.now = 0.0

    def __call__(self, units: int) -> None:
        self.now += units * self._unit_s

    def boot(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now
