"""The checkpoint of a running attempt: what it was given to go on from, and what it hands over for the next one."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Generic, TypeAlias, TypeVar

from meshd.errors import BadInput
from meshd.execution.wording import words_of
from meshd.kinds.base import DivisibleProgram, PackedPartial, Phase

P = TypeVar("P")

EVERY_S = 3.0
"""Losing a device may cost 5 s of work: this, the span of a second that is under way when it is time, packing, and
the way to the origin, until which the one before is the newest."""

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
        self._handed_over: dict[tuple[int, int], tuple[int, int, P]] = {}
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
            with self.blamed():
                known.append((part.start, part.stop, self._program.unpack(part.data)))
            at = part.stop
        self._handed_over |= {(phase.number, start): (phase.units, stop, partial) for start, stop, partial in known}
        return known

    def note(self, phase: Phase, start: int, stop: int, partial: P) -> None:
        """Note what is computed of a phase from `start` on; hand it over when it is time."""
        self._fresh[phase.number, start] = (phase.units, stop, partial)
        began = self._now()
        if began < self._due_at:
            return
        self.flush()
        took = self._now() - began
        self._due_at = began + max(EVERY_S, took * PACK_SHARE)

    def flush(self) -> None:
        """Hand over all that is new: others wait for it."""
        for (number, first), (units, last, fresh) in self._fresh.items():
            data = self._program.pack(fresh)
            if not data:
                # Nobody could fetch it: a blob has at least one byte.
                raise ValueError(f"units {first} to {last} of phase {number} were packed into nothing")
            self._keep(PackedPartial(number, units, first, last, data))
        self._handed_over |= self._fresh
        self._fresh.clear()

    def again(self, phase: Phase) -> None:
        """Hand over with the next flush what is known of a phase: nobody says whether it was kept, or was damaged."""
        self._fresh = {key: done for key, done in self._handed_over.items() if key[0] == phase.number} | self._fresh
        self._handed_over = {}

    def read(self, phase: Phase, partials: Sequence[PackedPartial]) -> list[P]:
        """Return what others have computed, and of the rest of the phase what was noted here.

        Raises:
            BadCheckpoint: together they do not cover the phase, each unit once.
        """
        own = {
            start: (stop, partial)
            for (number, start), (_, stop, partial) in (self._handed_over | self._fresh).items()
            if number == phase.number
        }
        found: dict[int, tuple[int, P]] = {}
        for part in (part for part in partials if part.phase == phase.number):
            done = own.get(part.start)
            if done is not None and done[0] == part.stop:
                found[part.start] = done
                continue
            with self.blamed(surely=True):
                found[part.start] = part.stop, self._program.unpack(part.data)
        missing = gaps(phase.units, [(start, stop) for start, (stop, _) in found.items()])
        found |= {start: done for start, done in own.items() if lies_in(start, done[0], missing)}
        spans = [(start, stop) for start, (stop, _) in found.items()]
        if gaps(phase.units, spans) or sum(stop - start for start, stop in spans) != phase.units:
            raise BadCheckpoint(f"what others have computed does not cover {phase.label!r} of {phase.units} units")
        return [found[start][1] for start in sorted(found)]

    @contextmanager
    def blamed(self, *, surely: bool = False) -> Generator[None]:
        """Blame the checkpoint, if there is one, for what goes wrong with partials: it may be another version's.

        `surely`: the partials are not this attempt's own.

        Raises:
            BadCheckpoint: instead of what the program raises; the next attempt begins anew, and will tell.
        """
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            if not (self._given or surely):
                raise
            message = error.message if isinstance(error, BadInput) else words_of(error)
            raise BadCheckpoint(message) from error


def lies_in(start: int, stop: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Return whether units `start` to `stop` are all in one of the spans."""
    return any(first <= start and stop <= last for first, last in spans)


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
