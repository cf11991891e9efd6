"""What an attempt still has to compute of a phase, while other devices may take some of it over."""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshd.kinds.base import PackedPartial, Part, Phase

WAIT_S = 0.05
"""How long a wait for others lasts before it is asked again whether to stop."""

LEAST_GIVEN_S = 0.25
"""Of work: with less, handing it over and waiting for what becomes of it takes longer than doing it."""

LAST_SPANS = 5
"""Of what is left of a shared phase, so much is taken at a time: those who share it are to be done together, and what
is taken cannot be given away."""

HANDOVER_S = 0.2
"""How much longer it takes to have what is given away: to begin it elsewhere, to pack it, and until it is here. Who
gives it is to be done with the rest when it comes."""

LEAST_TAKEN_S = 0.1
"""Of work, at a time: what comes with every span is not to count."""

PATIENCE_S = 1.0
"""How long others are waited for before what was computed here is handed over: for them, it is not needed."""

AGAIN_S = 5.0
"""How long a wait lasts before what was computed here is handed over again: the disk may not have taken it."""

TELL_EVERY_S = 1.0
"""How often it is told what is waited for: told again, because nobody confirms that it was heard."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The units to compute next: `start` to `stop`, of a span that began at `first`."""

    first: int
    start: int
    stop: int


@dataclass(slots=True)
class _Span:
    first: int
    at: int
    stop: int


class Todo:
    """The spans of the phase that is running. The main thread takes slices; another one gives away and adds.

    What was taken is computed here, whatever happens; what was not may be given away.
    """

    def __init__(
        self,
        waits: Callable[[Phase, Sequence[tuple[int, int]]], None],
        gives: Callable[[Part], None] = lambda _: None,
    ) -> None:
        """`waits` hears which spans of the phase are missing, again and again while they are.

        `gives` takes what was asked for when there was nothing worth giving, and can be given now.
        """
        self._waits = waits
        self._gives = gives
        self._changed = threading.Condition()
        self._phase: Phase | None = None
        self._spans: list[_Span] = []
        self._given: list[tuple[int, int]] = []
        self._arrived: dict[int, PackedPartial] = {}
        self._joined: Sequence[PackedPartial] | None = None
        self._unit_s: float | None = None
        self._is_part = False
        self._under_way = 0
        """How many units were taken last: of these, half are still to be computed, for all that is known."""

        self._wish: float | None = None
        """The share that is to be kept as soon as the rest is worth giving, for somebody waits for it."""

    def begin(
        self, phase: Phase, spans: Sequence[tuple[int, int]], *, unit_s: float | None = None, is_part: bool = False
    ) -> None:
        """Start with these spans of a phase, whose units take about `unit_s`; None: nobody knows."""
        with self._changed:
            self._phase = phase
            self._spans = [_Span(start, start, stop) for start, stop in spans]
            self._given = []
            self._arrived = {}
            self._joined = None
            # A phase that counts for nothing takes no time by its weight, and yet some.
            self._unit_s = unit_s or None
            self._is_part = is_part
            self._under_way = 0
        self._fulfil()

    def pace(self, unit_s: float) -> None:
        """Note how long a unit takes."""
        with self._changed:
            self._unit_s = unit_s
        self._fulfil()

    def _fulfil(self) -> None:
        wish = self._wish
        if wish is not None and (part := self.shrink(wish)) is not None:
            self._gives(part)

    def take(self, size: int) -> Slice | None:
        """Return up to `size` units to compute, or None when no more are here."""
        with self._changed:
            if self._given or self._is_part:
                left = sum(span.stop - span.at for span in self._spans)
                least = 1 if self._unit_s is None else math.ceil(LEAST_TAKEN_S / self._unit_s)
                size = min(size, max(least, math.ceil(left / LAST_SPANS)))
            while self._spans:
                span = self._spans[0]
                if span.at < span.stop:
                    start, span.at = span.at, min(span.at + size, span.stop)
                    self._under_way = span.at - start
                    return Slice(span.first, start, span.at)
                self._spans.pop(0)
            self._under_way = 0
            return None

    @property
    def is_shared(self) -> bool:
        """Whether some of this phase was given away."""
        with self._changed:
            return bool(self._given)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        with self._changed:
            return not self._spans

    def end(self) -> None:
        """Note that the phase is over: there is nothing to give away until the next one begins."""
        with self._changed:
            self._phase = None
            self._spans = []

    def wait(
        self, is_over: Callable[[], bool], now: Callable[[], float], patience_s: float
    ) -> Sequence[PackedPartial] | None:
        """Wait until others have done what they took, and return the partials of that, if not of the whole phase.

        None when there are units to take here again, when `is_over`, or after `patience_s`.
        """
        told_at = float("-inf")
        until = now() + patience_s
        while True:
            with self._changed:
                if self._joined is not None or self._spans or is_over():
                    return self._joined
                phase, missing = self._phase, tuple(self._given)
            if phase is not None and now() - told_at >= TELL_EVERY_S:
                told_at = now()
                self._waits(phase, missing)
            with self._changed:
                if now() >= until:
                    return self._joined
                if self._joined is None and not self._spans:
                    self._changed.wait(WAIT_S)

    # From the other thread

    def shrink(self, keep: float) -> Part | None:
        """Give away the end of what is not begun, all but a share of it; return what was given, if it is worth it.

        If it is not, or if nobody knows yet, what is asked for is given as soon as it is, of the next phase maybe.
        """
        with self._changed:
            self._wish = keep
            if self._phase is None or self._unit_s is None:
                return None
            left = sum(span.stop - span.at for span in self._spans)
            most = round((left + self._under_way / 2 - HANDOVER_S / self._unit_s) * (1 - keep))
            least = math.ceil(LEAST_GIVEN_S / self._unit_s)
            span = next((span for span in reversed(self._spans) if min(most, span.stop - span.at) >= least), None)
            if span is None:
                return None
            units = min(most, span.stop - span.at)
            self._wish = None
            part = Part(self._phase, span.stop - units, span.stop)
            span.stop -= units
            self._given.append((part.start, part.stop))
            return part

    def extend(self, phase: int, start: int, stop: int) -> None:
        """Take back units that were given away; what is not missing here is left alone."""
        with self._changed:
            if self._phase is None or self._phase.number != phase:
                return
            for given in self._given:
                first, last = max(given[0], start), min(given[1], stop)
                if first < last:
                    self._given.remove(given)
                    self._given += [part for part in ((given[0], first), (last, given[1])) if part[0] < part[1]]
                    self._spans.append(_Span(first, first, last))
                    break
            self._changed.notify_all()

    def join(self, partial: PackedPartial, of: int) -> None:
        """Take one of the partials that together cover what was given away, or all of the phase."""
        with self._changed:
            if self._phase is None or self._phase.number != partial.phase:
                return
            self._arrived[partial.start] = partial
            if len(self._arrived) == of:
                self._joined = [self._arrived[start] for start in sorted(self._arrived)]
                self._changed.notify_all()
