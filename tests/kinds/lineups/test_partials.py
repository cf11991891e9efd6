"""Partials survive the journey as bytes, add up in any order, and nothing else is taken for one."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.errors import BadInput
from meshd.kinds.lineups.partials import Counts, Effort, Histogram, Moments, Partial, merge, pack, unpack


def moments(seed: int) -> Moments:
    draw = np.random.default_rng(seed)
    return Moments(
        7 + seed,
        draw.integers(-(2**50), 2**50, 9),
        draw.integers(-(2**50), 2**50, (9, 9)),
        Effort(5, 6 + seed, frozenset({f"device {seed}"})),
    )


def histogram(seed: int) -> Histogram:
    counts = np.random.default_rng(seed).multinomial(300, [0.1] * 10, size=4).astype(np.int32)
    return Histogram(300, np.array([3, 5, 8, 12_000_000]), -40, counts, Effort(seed, 0, frozenset({"cpu"})))


def counts(seed: int) -> Counts:
    return Counts(70_000, 5_400, np.random.default_rng(seed).integers(0, 70_000, 50).astype(np.int32), Effort(seed))


EXAMPLES = [moments(1), histogram(2), counts(3)]


def parts(partial: Partial) -> list[object]:
    """Return every field, arrays with their type and shape."""
    match partial:
        case Moments():
            arrays, numbers = [partial.sums, partial.products], [partial.races]
        case Histogram():
            arrays, numbers = [partial.lineups, partial.counts], [partial.races, partial.low]
        case Counts():
            arrays, numbers = [partial.counts], [partial.races, partial.threshold]
    return [type(partial), partial.effort, numbers, [(array.dtype, array.shape, array.tolist()) for array in arrays]]


def same(one: Partial, other: Partial) -> bool:
    return pack(one) == pack(other)


@pytest.mark.parametrize("partial", EXAMPLES, ids=lambda partial: type(partial).__name__)
def test_what_is_packed_is_unpacked(partial: Partial) -> None:
    again = unpack(pack(partial))
    assert parts(again) == parts(partial)


@pytest.mark.parametrize("make", [moments, histogram, counts])
def test_merging_is_associative_and_commutative(make: Callable[[int], Partial]) -> None:
    one, two, three = (make(seed) for seed in (1, 2, 3))
    assert same(merge(merge(one, two), three), merge(one, merge(two, three)))
    assert same(merge(one, two), merge(two, one))


def test_partials_of_different_work_do_not_merge() -> None:
    other = Counts(70_000, 5_401, counts(1).counts)
    shorter = Counts(70_000, 5_400, counts(1).counts[:-1])
    for one, two in ((moments(1), counts(1)), (counts(1), other), (counts(1), shorter)):
        with pytest.raises(BadInput, match="cannot be merged"):
            merge(one, two)


@pytest.mark.parametrize("partial", EXAMPLES, ids=lambda partial: type(partial).__name__)
def test_a_cut_or_lengthened_partial_is_refused(partial: Partial) -> None:
    data = pack(partial)
    for damaged in (b"", data[:3], data[:30], data[:-1], data + b"x", b"MLP0" + data[4:]):
        with pytest.raises(BadInput, match="cannot be read"):
            unpack(damaged)


@given(st.sampled_from(EXAMPLES), st.data())
def test_a_damaged_partial_is_refused_or_is_one_of_plausible_counts(partial: Partial, data: st.DataObject) -> None:
    packed = bytearray(pack(partial))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    try:
        read = unpack(bytes(packed))
    except BadInput:
        return
    assert read.races > 0
    assert not isinstance(read, Counts) or read.counts.max() <= read.races


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        unpack(data)


def test_a_partial_that_would_unfold_into_more_than_it_says_is_refused() -> None:
    honest = pack(counts(1))
    header = honest[: struct.calcsize("<4sBBIqIIQQHQ")]
    bomb = header + b"[]" + zlib.compress(bytes(50 << 20))
    with pytest.raises(BadInput):
        unpack(bomb)


def test_more_counts_than_races_are_refused() -> None:
    with pytest.raises(BadInput):
        unpack(pack(Counts(10, 0, np.array([11], np.int32))))


def test_a_histogram_that_does_not_hold_every_race_is_refused() -> None:
    with pytest.raises(BadInput):
        unpack(pack(Histogram(10, np.array([1]), 0, np.array([[4, 5]], np.int32))))
