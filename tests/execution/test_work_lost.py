"""Losing a worker at any moment costs few seconds of work, however long its job is."""

import pytest

from meshd.execution.computation import Course, compute
from meshd.kinds.base import Context, Document, PackedPartial, Phase
from tests.execution.counting import Counting
from tests.support.manual_clock import ManualClock

ON_THE_WAY_S = 0.5
"""For packing a large partial, and until it is on the origin's disk: left of the 5 s."""


class Timed(Counting):
    """Notes when each unit was computed."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.done_at: dict[tuple[int, int], float] = {}

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> int | None:
        for unit in range(start, stop):
            self.clock.advance(float(str(resolved["unit_s"])))
            self.done_at[phase.number, unit + 1] = self.clock.boot()
        return stop - start


def ignore(share: float, best: str, note: str, eta_s: float | None) -> None:
    pass


@pytest.mark.parametrize(("units", "unit_s"), [(100, 0.05), (400, 0.3), (20_000, 0.05), (1_000_000, 0.001)])
def test_what_is_not_handed_over_yet_is_never_more_than_a_few_seconds_of_work(units: int, unit_s: float) -> None:
    clock = ManualClock()
    program = Timed(clock)
    handed_over: list[float] = []
    lost: list[float] = []

    def keep(partial: PackedPartial) -> None:
        lost.append(clock.boot() - (handed_over or [1000.0])[-1])
        handed_over.append(program.done_at[partial.phase, partial.stop])

    compute(program, {"units": units, "unit_s": unit_s}, Course(clock=clock, tell=ignore), clock, keep=keep)

    assert max([*lost, clock.boot() - handed_over[-1]]) <= 5.0 - ON_THE_WAY_S
