import itertools
from collections.abc import Callable

import pytest

from meshd.trust.codes import Codes
from meshd_protocol.limits import CODE_TRIES, CODE_TTL_S
from tests.support.manual_clock import ManualClock


def tokens(*numbers: int) -> Callable[[int], bytes]:
    """Return a source of these numbers, over and over."""
    stream = itertools.cycle(numbers)
    return lambda size: next(stream).to_bytes(size, "big")


def codes(clock: ManualClock | None = None, *numbers: int) -> Codes:
    return Codes(clock=clock or ManualClock(), token=tokens(*(numbers or (7,))))


def test_a_code_has_six_digits_leading_zeros_included() -> None:
    assert codes(None, 42).open().code == "000042"
    assert codes(None, 3_000_042).open().code == "000042"


def test_draws_that_would_favour_small_codes_are_drawn_again() -> None:
    assert codes(None, 4_294_000_000, 4_294_967_295, 5).open().code == "000005"


def test_no_code_is_open_until_somebody_asks_for_one() -> None:
    assert codes().showing() is None
    assert codes().take() is None


def test_a_code_works_once() -> None:
    book = codes()
    book.open()
    first, second = book.take(), book.take()
    assert first is not None
    assert second is not None

    assert book.spend(first)
    assert not book.spend(second)
    assert not book.spend(first)
    assert book.take() is None


def test_every_try_is_charged_when_it_begins() -> None:
    book = codes()
    book.open()

    tries = [book.take() for _ in range(CODE_TRIES + 1)]

    assert [one.tries_left if one else None for one in tries] == [2, 1, 0, None]
    assert book.showing() is None


def test_the_last_try_may_still_succeed() -> None:
    book = codes()
    book.open()
    *_, last = (book.take() for _ in range(CODE_TRIES))

    assert last is not None
    assert book.spend(last)


@pytest.mark.parametrize("clock_that_moves", ["both", "boot only", "wall only"])
def test_a_code_expires_by_either_clock(clock_that_moves: str) -> None:
    clock = ManualClock()
    book = codes(clock)
    book.open()
    charged = book.take()
    assert charged is not None

    wall = clock.wall()
    if clock_that_moves == "wall only":
        clock.set_wall(wall + CODE_TTL_S)
    else:
        clock.advance(CODE_TTL_S)
    if clock_that_moves == "boot only":
        clock.set_wall(wall)

    assert book.showing() is None
    assert book.take() is None
    assert not book.spend(charged)


def test_a_code_is_good_until_it_expires() -> None:
    clock = ManualClock()
    book = codes(clock)
    shown = book.open(20.0)
    clock.advance(19.9)

    assert book.showing() == shown
    assert shown.expires_at == pytest.approx(clock.wall() + 0.1)


def test_a_new_code_replaces_the_old_one_and_its_tries() -> None:
    book = codes(None, 1, 2)
    book.open()
    old = book.take()
    assert old is not None
    new = book.open()

    assert not book.spend(old)
    assert book.showing() == new
    assert new.tries_left == CODE_TRIES


def test_a_closed_code_takes_no_try_that_is_under_way() -> None:
    book = codes()
    book.open()
    charged = book.take()
    assert charged is not None
    book.close()

    assert not book.spend(charged)


def test_every_change_is_told() -> None:
    clock = ManualClock()
    changes = list[bool]()
    book = Codes(clock=clock, token=tokens(1), on_change=lambda: changes.append(book.showing() is not None))

    book.open()
    book.take()
    book.close()
    book.open()
    clock.advance(CODE_TTL_S)
    book.showing()

    assert changes == [True, True, False, True, False]


def test_a_code_does_not_show_in_a_log() -> None:
    book = codes(None, 123456)

    assert "123456" not in repr(book.open())
    assert "123456" not in repr(book.take())
