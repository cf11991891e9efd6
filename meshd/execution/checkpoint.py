"""The checkpoint of a running attempt: what it was given to go on from, and what it hands over for the next one."""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeAlias, TypeVar

from meshd.errors import BadInput
from meshd.kinds.base import DivisibleProgram, PackedPartial, Phase

P = TypeVar("P")

EVERY_S = 4.0
"""Losing a device may cost 5 s of work: this, one span, and the way to the origin."""

PACK_SHARE = 5
"""Packing may take at most a fifth of the time, even where partials are large and the device is slow."""

Keep: TypeAlias = Callable[[PackedPartial], None]
"""Takes a checkpoint; one of the same phase and start replaces the one before."""


class BadCheckpoint(BadInput):
    """What the attempt was to go on from is not of this job, or of another version of its program."""

    code = "bad_checkpoint"


def keep_nothing(_: PackedPartial) -> None:
    """Let a checkpoint go."""


class Checkpoint(Generic[P]):
    """Hands out what is known of each phase, and collects what is new."""

    def __init__(
        self,
        program: DivisibleProgram[P],
        given: Sequence[PackedPartial],
        *,
        keep: Keep,
        now: Callable[[], float],
    ) -> None:
        self._program = program
        self._given = given
        self._keep = keep
        self._now = now
        self._fresh: dict[tuple[int, int], tuple[int, int, P]] = {}
        self._due_at = now() + EVERY_S

    def of(self, phase: Phase) -> list[tuple[int, int, P]]:
        """Return (start, stop, partial) of what is known of a phase, in order.

        Raises:
            BadCheckpoint: it does not fit the phase.
        """
        known: list[tuple[int, int, P]] = []
        at = 0
        for part in sorted((part for part in self._given if part.phase == phase.number), key=lambda part: part.start):
            if part.units != phase.units or not at <= part.start < part.stop <= part.units:
                raise BadCheckpoint(
                    f"units {part.start} to {part.stop} of {part.units} do not fit {phase.label!r} of {phase.units}"
                )
            try:
                known.append((part.start, part.stop, self._program.unpack(part.data)))
            except BadInput as error:
                raise BadCheckpoint(error.message) from error
            at = part.stop
        return known

    def note(self, phase: Phase, start: int, stop: int, partial: P) -> None:
        """Note what is computed of a phase from `start` on; hand it over when it is time."""
        self._fresh[phase.number, start] = (phase.units, stop, partial)
        began = self._now()
        if began < self._due_at:
            return
        for (number, first), (units, last, fresh) in self._fresh.items():
            self._keep(PackedPartial(number, units, first, last, self._program.pack(fresh)))
        self._fresh.clear()
        took = self._now() - began
        self._due_at = began + max(EVERY_S, took * PACK_SHARE)

    def blame(self, error: BadInput) -> BadInput:
        """Return whose fault it is that partials do not fit: the checkpoint's, if there is one."""
        return BadCheckpoint(error.message) if self._given else error


def gaps(units: int, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans of `units` that none of the disjoint `spans` covers."""
    missing: list[tuple[int, int]] = []
    at = 0
    for start, stop in sorted(spans):
        if start > at:
            missing.append((at, start))
        at = max(at, stop)
    if at < units:
        missing.append((at, units))
    return missing
