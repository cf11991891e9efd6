"""A divisible job that sleeps instead of computing, with phases as an optimization has them.

What two devices bring to it is what sharing itself allows, however busy the machine is on which it is measured.
"""

import time
from dataclasses import dataclass

from meshd.clock import SystemClock
from meshd.kinds.base import Context, Document, Done, Phase
from tests.execution.counting import Counting
from tests.execution.workshop import PlainKind

PHASES = (("simulating", 0.06), ("ranking", 0.1), ("counting", 0.78), ("describing", 0.01), ("judging", 0.05))
UNITS = 150

_clock = SystemClock()


class Naps(Counting):
    """Each phase knows what the phases before it have summed up to."""

    def plan(self, resolved: Document, finished: tuple[int, ...]) -> Phase | Done:
        if len(finished) == len(PHASES):
            return Done({"sums": list(finished)})
        label, weight = PHASES[len(finished)]
        return Phase(len(finished), UNITS, label, weight, {"before": sum(finished)})

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> int | None:
        unit_s = float(str(resolved["seconds"])) * phase.weight / UNITS
        began = _clock.boot()
        for unit in range(start, stop):
            if context.cancelled():
                return None
            # Of what is late by the clock's ticks, nothing adds up.
            time.sleep(max(0.0, began + (unit + 1 - start) * unit_s - _clock.boot()))
            context.report((unit + 1 - start) / (stop - start))
        return sum(range(start, stop)) * (1 + int(str(phase.params["before"])) % 97)

    def calibrate(self) -> float:
        return 1.0


program = Naps()


@dataclass
class NapsKind(PlainKind):
    """Takes any spec with `seconds`, and may be done by any peer."""

    name: str = "naps"
    program: str = "tests.bench.naps"
    accelerated: bool = True
    divisible: bool = True
    deterministic: bool = True

    def cost(self, resolved: Document) -> float | None:
        return float(str(resolved["seconds"]))


kind = NapsKind()
