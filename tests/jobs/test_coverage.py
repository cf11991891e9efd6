"""No unit of a job is ever counted twice, and every unit is counted in the end."""

from hypothesis import given
from hypothesis import strategies as st

from meshd.execution.checkpoint import gaps
from meshd.jobs.coverage import admits, enter
from meshd_protocol.messages.jobs import PartialRef


def span(start: int, stop: int, *, phase: int = 0, units: int = 20) -> PartialRef:
    return PartialRef(phase=phase, units=units, start=start, stop=stop, digest="0" * 64, size=1)


def test_a_span_that_goes_further_takes_the_place_of_those_inside_it() -> None:
    covered = enter([], 1, span(0, 5))
    assert admits(covered, span(0, 9))
    assert enter(covered, 1, span(0, 9)) == [(1, span(0, 9))]
    covered = enter(enter(covered, 2, span(6, 8)), 3, span(12, 14))
    assert admits(covered, span(0, 9))
    assert enter(covered, 4, span(0, 9)) == [(4, span(0, 9)), (3, span(12, 14))]


def test_what_brings_no_unit_is_refused() -> None:
    covered = [(1, span(0, 9)), (2, span(9, 12))]
    for late in (span(0, 5), span(0, 9), span(0, 12), span(8, 10)):
        assert not admits(covered, late)


def test_a_span_that_would_lose_units_by_entering_is_refused() -> None:
    covered = [(1, span(0, 9)), (2, span(0, 12, phase=1))]
    assert not admits(covered, span(8, 12))
    assert admits(covered, span(9, 12))


def test_another_grid_is_another_job() -> None:
    assert not admits([(1, span(0, 9))], span(9, 12, units=30))
    assert admits([(1, span(0, 9))], span(9, 12, phase=1, units=30))


def test_a_span_outside_its_phase_is_refused() -> None:
    assert not admits([], span(5, 25))
    assert not admits([], span(5, 5))


SPANS = st.tuples(st.integers(0, 22), st.integers(0, 8), st.integers(0, 1)).map(
    lambda drawn: span(drawn[0], drawn[0] + drawn[1], phase=drawn[2])
)


@given(st.lists(st.tuples(st.integers(1, 4), SPANS), max_size=30))
def test_whatever_arrives_the_covered_spans_stay_disjoint(arrivals: list[tuple[int, PartialRef]]) -> None:
    covered: list[tuple[int, PartialRef]] = []
    for attempt, new in arrivals:
        before = {(ref.phase, unit) for _, ref in covered for unit in range(ref.start, ref.stop)}
        if admits(covered, new):
            covered = enter(covered, attempt, new)
        units = [(ref.phase, unit) for _, ref in covered for unit in range(ref.start, ref.stop)]
        assert len(units) == len(set(units))
        assert before <= set(units)
    for phase in (0, 1):
        spans = [(ref.start, ref.stop) for _, ref in covered if ref.phase == phase]
        missing = [unit for start, stop in gaps(20, spans) for unit in range(start, stop)]
        done = [unit for start, stop in spans for unit in range(start, stop)]
        assert sorted(missing + done) == list(range(20))
