"""When a return begins, when it has come, and which do not count."""

from tests.soak.ledger import AnyEntry, CannotTalk, CanTalk, Connected, Disconnected
from tests.soak.recovery import Recovery, quantile, recoveries

PAIR = "laptop-pc"


def can(at: float) -> CanTalk:
    return CanTalk(at=at, pair=PAIR)


def cannot(at: float) -> CannotTalk:
    return CannotTalk(at=at, pair=PAIR)


def opened(at: float) -> Connected:
    return Connected(at=at, pair=PAIR)


def closed(at: float) -> Disconnected:
    return Disconnected(at=at, pair=PAIR)


def took(*entries: AnyEntry, until: float = 100.0) -> list[float]:
    return [each.took_s for each in recoveries(entries, until)]


def test_a_return_lasts_from_the_end_of_the_last_fault_to_the_session() -> None:
    assert took(can(10), opened(12.5)) == [2.5]
    assert took(can(10), opened(12), cannot(20), can(30), opened(31)) == [2, 1]


def test_a_session_that_dies_at_once_was_an_old_one_and_does_not_count() -> None:
    assert took(can(10), opened(10.2), closed(15), opened(17)) == [7]


def test_a_session_that_breaks_without_a_fault_has_to_come_back_as_well() -> None:
    assert took(can(10), opened(11), closed(50), opened(53)) == [1, 3]


def test_a_return_that_the_next_fault_cut_short_counts_only_when_it_was_late() -> None:
    assert took(can(10), cannot(15)) == []
    assert recoveries([can(10), cannot(25)], 100) == [Recovery(PAIR, 10, 15, came=False)]
    assert took(can(80), until=100) == [20]


def test_quantiles_are_values_that_were_seen() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile(list(range(1, 101)), 0.95) == 95
    assert quantile([], 0.95) == 0
