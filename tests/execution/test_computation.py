"""A worker drives programs to their results, and speaks of the job as a whole."""

import pytest

from meshd.execution.computation import Course, compute
from meshd.kinds.base import Context, Document, Done, Phase
from tests.execution.counting import Counting
from tests.support.manual_clock import ManualClock

Told = list[tuple[float, str, str, float | None]]


def open_course(clock: ManualClock) -> tuple[Course, Told]:
    told: Told = []

    def tell(share: float, best: str, note: str, eta_s: float | None) -> None:
        told.append((share, best, note, eta_s))

    return Course(clock=clock, tell=tell), told


class Slow(Counting):
    """Takes a second of the clock for every eight units, and remembers its spans."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.spans: list[tuple[int, int, int]] = []

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> int | None:
        self.spans.append((phase.number, start, stop))
        return super().run_span(resolved, phase, start, stop, context)

    def work(self, resolved: Document) -> None:
        self.clock.advance(0.125)


def test_every_unit_of_every_phase_is_computed_once_in_spans_of_about_a_second() -> None:
    clock = ManualClock()
    program = Slow(clock)
    course, _ = open_course(clock)

    result = compute(program, {"units": 200}, course, clock)

    squares = sum(n * n for n in range(200))
    first = [(start, stop) for phase, start, stop in program.spans if phase == 0]
    assert result == {"squares": squares, "multiples": 6 * squares}
    assert [unit for start, stop in first for unit in range(start, stop)] == list(range(200))
    assert [stop - start for start, stop in first][:4] == [1, 4, 8, 8]


def test_progress_is_weighed_by_phase_and_the_rest_estimated_from_the_time_so_far() -> None:
    clock = ManualClock()
    course, told = open_course(clock)

    compute(Slow(clock), {"units": 200}, course, clock)

    shares = [share for share, *_ in told]
    assert shares == sorted(shares)
    assert max(share for share, _, note, _ in told if note == "squares") == pytest.approx(0.75)
    assert shares[-1] == pytest.approx(1.0)
    share, _, _, eta_s = told[len(told) // 2]
    assert 0 < share < 0.75
    assert eta_s == pytest.approx(25 / 0.75 * (1 - share), rel=0.05)


def test_reports_are_told_ten_times_a_second_and_the_newest_before_the_end() -> None:
    clock = ManualClock()
    course, told = open_course(clock)

    for n in range(1000):
        clock.advance(0.001)
        course.report(n / 1000, best=str(n))
    course.flush()
    course.flush()

    assert 9 <= len(told) <= 12
    assert told[-1][:2] == (0.999, "999")


def test_a_cancelled_program_has_no_result() -> None:
    clock = ManualClock()
    course, _ = open_course(clock)
    course.cancel()

    assert compute(Counting(), {"units": 10}, course, clock) is None


class Odd(Counting):
    """Plans a phase without units, returns no partial, or no object."""

    def plan(self, resolved: Document, finished: tuple[int, ...]) -> Phase | Done:
        if resolved["odd"] == "result":
            return Done(None)  # type: ignore[arg-type]
        return Phase(0, 0 if resolved["odd"] == "units" else 5, "odd", 1.0, {})

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> int | None:
        return None


@pytest.mark.parametrize(
    ("odd", "message"), [("units", "without units"), ("partial", "were not computed"), ("result", "NoneType")]
)
def test_a_program_that_breaks_its_promise_is_told_which(odd: str, message: str) -> None:
    clock = ManualClock()
    course, _ = open_course(clock)

    with pytest.raises((ValueError, TypeError), match=message):
        compute(Odd(), {"odd": odd}, course, clock)
