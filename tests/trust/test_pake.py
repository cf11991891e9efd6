import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.trust import pake

A, B = b"identity of A", b"identity of B"


def keys(code_a: str = "123456", code_b: str = "123456", *, a: bytes = A, b: bytes = B) -> tuple[bytes, bytes]:
    """Run one exchange and return the key of each side; `a` and `b` are what B believes."""
    first, second = pake.initiator(code_a, A, B, os.urandom), pake.responder(code_b, a, b, os.urandom)
    return first.finish(second.half), second.finish(first.half)


def test_both_sides_get_the_same_key_and_another_one_each_time() -> None:
    first, second = keys(), keys()

    assert first[0] == first[1]
    assert second[0] == second[1] != first[0]


def test_another_code_or_identity_gives_another_key() -> None:
    for one, other in (keys(code_b="123457"), keys(a=b"M"), keys(b=b"M")):
        assert one != other


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"B",
        b"B" + bytes(31),
        b"B" + bytes(33),
        b"B" + b"\xff" * 32,
        b"B" + bytes(32),
        b"B\x01" + bytes(31),
        b"C" + bytes(32),
    ],
)
def test_what_is_no_half_is_refused(half: bytes) -> None:
    with pytest.raises(pake.ExchangeError):
        pake.initiator("123456", A, B, os.urandom).finish(half)


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_are_a_half_or_refused(point: bytes) -> None:
    exchange = pake.initiator("123456", A, B, os.urandom)
    try:
        key = exchange.finish(b"B" + point)
    except pake.ExchangeError:
        return
    assert len(key) == 32


def test_ones_own_half_is_refused() -> None:
    exchange = pake.initiator("123456", A, B, os.urandom)
    with pytest.raises(pake.ExchangeError):
        exchange.finish(exchange.half)

    exchange = pake.initiator("123456", A, B, os.urandom)
    with pytest.raises(pake.ExchangeError):
        exchange.finish(b"B" + exchange.half[1:])
