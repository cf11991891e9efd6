"""Units that are given away are computed by nobody here, and units that come back are."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.clock import SystemClock
from meshd.execution.checkpoint import BadCheckpoint, gaps
from meshd.execution.computation import Course, compute
from meshd.execution.todo import HANDOVER_S, LEAST_GIVEN_S, LEAST_TAKEN_S, Todo
from meshd.kinds.base import Context, Document, PackedPartial, Part, Phase
from tests.execution.counting import Counting
from tests.support.manual_clock import ManualClock

SPEC: Document = {"units": 100}
SQUARES = Phase(0, 100, "squares", 0.75, {})


def quiet() -> Todo:
    return Todo(lambda phase, missing: None)


def course() -> Course:
    return Course(clock=SystemClock(), tell=lambda share, best, note, eta_s: None)


def whole() -> object:
    return compute(Counting(), SPEC, course(), SystemClock())


def squares(start: int, stop: int) -> PackedPartial:
    return PackedPartial(0, 100, start, stop, str(sum(unit * unit for unit in range(start, stop))).encode())


class Interrupted(Counting):
    """Lets something happen before the first units of a phase are computed."""

    def __init__(self, todo: Todo, happen: dict[int, object]) -> None:
        self.todo = todo
        self.happen = happen
        self.computed: list[tuple[int, int, int]] = []

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> int | None:
        self.todo.pace(1.0)
        event = self.happen.pop(phase.number, None)
        if callable(event):
            event()
        self.computed.append((phase.number, start, stop))
        return super().run_span(resolved, phase, start, stop, context)


def what_is_missing(part: Part) -> list[PackedPartial]:
    return [squares(part.start, part.stop)]


def what_is_missing_in_two(part: Part) -> list[PackedPartial]:
    return [squares(part.start, 70), squares(70, part.stop)]


def all_of_the_phase(part: Part) -> list[PackedPartial]:
    return [squares(0, 30), squares(30, part.start + 1), squares(part.start + 1, part.stop)]


@pytest.mark.parametrize("come", [what_is_missing, what_is_missing_in_two, all_of_the_phase])
def test_what_was_given_away_is_taken_from_others_and_the_result_is_the_same(
    come: Callable[[Part], list[PackedPartial]],
) -> None:
    given: list[Part | None] = []

    def wait(phase: Phase, missing: object) -> None:
        part = given[0]
        assert part is not None
        assert missing == ((part.start, part.stop),)
        for partial in come(part):
            todo.join(partial, len(come(part)))

    kept: list[PackedPartial] = []
    todo = Todo(wait)
    program = Interrupted(todo, {0: lambda: given.append(todo.shrink(0.5))})
    result = compute(program, SPEC, course(), SystemClock(), keep=kept.append, todo=todo)
    assert result == whole()
    # Nobody had to wait until it was packed.
    assert kept == []
    part = given[0]
    assert part is not None
    assert all(stop <= part.start for phase, _, stop in program.computed if phase == 0)


def test_what_comes_back_is_computed_here() -> None:
    given: list[Part | None] = []

    def wait(phase: Phase, missing: object) -> None:
        part = given[0]
        assert part is not None
        todo.extend(phase.number, part.start, part.stop)

    todo = Todo(wait)
    program = Interrupted(todo, {0: lambda: given.append(todo.shrink(0.3))})
    assert compute(program, SPEC, course(), SystemClock(), todo=todo) == whole()


def test_a_part_keeps_its_units_and_has_no_result() -> None:
    kept: list[PackedPartial] = []
    result = compute(Counting(), SPEC, course(), SystemClock(), keep=kept.append, part=Part(SQUARES, 20, 65))
    assert result == {}
    assert kept == [squares(20, 65)]


def test_a_part_that_gives_away_keeps_the_rest() -> None:
    kept: list[PackedPartial] = []
    given: list[Part | None] = []
    todo = quiet()
    program = Interrupted(todo, {0: lambda: given.append(todo.shrink(0.25))})
    compute(program, SPEC, course(), SystemClock(), keep=kept.append, part=Part(SQUARES, 0, 80), todo=todo)
    part = given[0]
    assert part is not None
    assert part.stop == 80
    assert kept == [squares(0, part.start)]


def test_what_others_computed_is_refused_when_it_does_not_cover_the_phase() -> None:
    todo = Todo(lambda phase, missing: todo.join(squares(0, 99), 1))
    program = Interrupted(todo, {0: lambda: todo.shrink(0.5)})
    with pytest.raises(BadCheckpoint, match="does not cover"):
        compute(program, SPEC, course(), SystemClock(), todo=todo)


def test_a_wait_for_others_ends_when_the_attempt_is_cancelled() -> None:
    run = course()
    todo = Todo(lambda phase, missing: run.cancel())
    program = Interrupted(todo, {0: lambda: todo.shrink(0.5)})
    assert compute(program, SPEC, run, SystemClock(), todo=todo) is None


def test_between_phases_there_is_nothing_to_give() -> None:
    todo = quiet()
    assert todo.shrink(0.0) is None
    todo.begin(SQUARES, [(0, 100)])
    todo.end()
    assert todo.shrink(0.0) is None


@given(st.lists(st.one_of(st.integers(1, 30), st.floats(0, 1), st.tuples(st.integers(0, 99), st.integers(1, 100)))))
def test_every_unit_is_taken_or_given_and_never_both(history: list[int | float | tuple[int, int]]) -> None:
    todo = quiet()
    todo.begin(SQUARES, [(0, 40), (50, 100)])
    taken: list[tuple[int, int]] = []
    given_away: list[tuple[int, int]] = []
    for event in history:
        match event:
            case int(size):
                got = todo.take(size)
                if got is not None:
                    taken.append((got.start, got.stop))
            case float(keep):
                part = todo.shrink(keep)
                if part is not None:
                    given_away.append((part.start, part.stop))
            case (start, stop):
                todo.extend(0, start, stop)
    while (got := todo.take(7)) is not None:
        taken.append((got.start, got.stop))
    units = [unit for start, stop in taken for unit in range(start, stop)]
    assert len(units) == len(set(units))
    away = {unit for start, stop in given_away for unit in range(start, stop)}
    assert set(units) | away == {*range(40), *range(50, 100)}
    assert bool(gaps(100, [*taken, (40, 50)])) == todo.is_shared


def test_too_little_is_not_given_away_and_what_was_asked_for_is_given_of_the_next_phase() -> None:
    gifts: list[Part] = []
    todo = Todo(lambda phase, missing: None, gifts.append)
    small, large = Phase(0, 10, "small", 0.1, {}), Phase(1, 100, "large", 0.9, {})
    todo.begin(small, [(0, 10)], unit_s=LEAST_GIVEN_S / 10)
    assert todo.shrink(0.5) is None
    todo.end()
    assert gifts == []
    todo.begin(large, [(0, 100)], unit_s=LEAST_GIVEN_S / 10)
    assert [(part.phase, part.stop) for part in gifts] == [(large, 100)]
    todo.end()
    todo.begin(large, [(0, 100)], unit_s=LEAST_GIVEN_S / 10)
    assert len(gifts) == 1


def test_what_nobody_knows_the_worth_of_is_given_once_it_is_known() -> None:
    gifts: list[Part] = []
    todo = Todo(lambda phase, missing: None, gifts.append)
    todo.begin(SQUARES, [(0, 100)])
    assert todo.shrink(0.5) is None
    assert todo.take(1) is not None
    todo.pace(LEAST_GIVEN_S)
    assert [(part.start, part.stop) for part in gifts] == [(51, 100)]


def test_whoever_gives_away_is_done_when_what_was_given_has_come_back() -> None:
    todo = quiet()
    todo.begin(SQUARES, [(0, 100)], unit_s=0.1)
    part = todo.shrink(0.5)
    assert part is not None
    kept_s, given_s = part.start * 0.1, (part.stop - part.start) * 0.1
    assert kept_s == pytest.approx(given_s + HANDOVER_S)


def test_what_is_under_way_counts_as_half_kept() -> None:
    todo = quiet()
    todo.begin(SQUARES, [(0, 100)], unit_s=HANDOVER_S)
    assert todo.take(41) is not None
    part = todo.shrink(0.5)
    assert part is not None
    # 59 untouched and 20.5 of those under way, less the one that handing over takes.
    assert part.stop - part.start == round((59 + 20.5 - 1) / 2)


def test_of_a_phase_that_counts_for_nothing_units_are_given_once_it_is_known_how_long_they_take() -> None:
    gifts: list[Part] = []
    todo = Todo(lambda phase, missing: None, gifts.append)
    todo.begin(SQUARES, [(0, 100)], unit_s=1e-9)
    assert todo.shrink(0.5) is None
    todo.begin(SQUARES, [(0, 100)], unit_s=0.0)
    assert gifts == []
    todo.pace(0.1)
    assert len(gifts) == 1


def test_units_are_given_of_the_last_span_that_has_enough() -> None:
    todo = quiet()
    todo.begin(SQUARES, [(30, 80), (99, 100)], unit_s=LEAST_GIVEN_S / 2)
    part = todo.shrink(0.5)
    assert part is not None
    assert part.stop == 80


def test_no_span_is_so_small_that_what_comes_with_it_counts() -> None:
    todo = quiet()
    todo.begin(SQUARES, [(40, 100)], unit_s=LEAST_TAKEN_S / 10, is_part=True)
    sizes: list[int] = []
    while (taken := todo.take(100)) is not None:
        sizes.append(taken.stop - taken.start)
    assert sizes == [12, 10, 10, 10, 10, 8]


def test_the_last_units_of_what_is_shared_are_taken_in_small_spans() -> None:
    def sizes(todo: Todo) -> list[int]:
        found: list[int] = []
        while (taken := todo.take(100)) is not None:
            found.append(taken.stop - taken.start)
        return found

    alone, part = quiet(), quiet()
    alone.begin(SQUARES, [(0, 100)])
    assert sizes(alone) == [100]
    part.begin(SQUARES, [(40, 100)], is_part=True)
    assert (sum(found := sizes(part)), found == sorted(found, reverse=True), found[-1]) == (60, True, 1)


def test_what_a_phase_takes_once_does_not_make_its_units_worth_giving() -> None:
    clock, gifts = ManualClock(), list[Part]()

    class Slow(Counting):
        def __init__(self) -> None:
            self.begun: set[int] = set()

        def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> int | None:
            clock.advance(0.001 * (stop - start) + (phase.number not in self.begun) * 10.0)
            self.begun.add(phase.number)
            return super().run_span(resolved, phase, start, stop, context)

    todo = Todo(lambda phase, missing: None, gifts.append)
    todo.shrink(0.5)
    told = Course(clock=clock, tell=lambda share, best, note, eta_s: None)
    compute(Slow(), {"units": 100}, told, clock, todo=todo)
    assert gifts == []


def test_how_long_units_of_the_next_phase_take_is_told_by_those_before() -> None:
    clock = ManualClock()
    expected: list[float | None] = []

    class Noted(Todo):
        def begin(
            self, phase: Phase, spans: Sequence[tuple[int, int]], *, unit_s: float | None = None, is_part: bool = False
        ) -> None:
            expected.append(unit_s)
            super().begin(phase, spans, unit_s=unit_s, is_part=is_part)

    class Timed(Counting):
        def work(self, resolved: Document) -> None:
            clock.advance(0.1)

    told = Course(clock=clock, tell=lambda share, best, note, eta_s: None)
    compute(Timed(), SPEC, told, clock, todo=Noted(lambda phase, missing: None))
    # 100 units with 3/4 of the weight took 10 s: the 4 units of the rest will take 10 / 3 s.
    assert expected == [None, pytest.approx(10 / 3 / 4)]


def test_whoever_waits_hands_over_again_what_a_disk_may_not_have_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshd.execution.computation.AGAIN_S", 0.0)
    monkeypatch.setattr("meshd.execution.computation.PATIENCE_S", 0.0)
    given: list[Part | None] = []
    kept: list[PackedPartial] = []

    def wait(phase: Phase, missing: object) -> None:
        part, own = given[0], [partial for partial in kept if partial.phase == 0]
        assert part is not None
        if len(own) == 3:
            for partial in (own[-1], squares(part.start, part.stop)):
                todo.join(partial, 2)

    todo = Todo(wait)
    program = Interrupted(todo, {0: lambda: given.append(todo.shrink(0.5))})
    assert compute(program, SPEC, course(), SystemClock(), keep=kept.append, todo=todo) == whole()
    first = [partial for partial in kept if partial.phase == 0]
    assert len({(partial.start, partial.stop, partial.data) for partial in first}) == 1
