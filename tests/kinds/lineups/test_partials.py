"""Partials survive the journey as bytes, add up in any order, and nothing else is taken for one."""

import zlib
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.packing import pack, unpack
from meshd.kinds.lineups.partials import Counts, Effort, Gains, Histogram, Moments, Partial, Picks, Tally, Trail, merge


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
    some = np.random.default_rng(seed).integers(0, 69_000, 50).astype(np.int32)
    return Counts(70_000, 5_400, some, Effort(seed), skipped=900)


def gains(seed: int) -> Gains:
    return Gains(70_000, 2**40 + seed, np.random.default_rng(seed).integers(0, 2**40, 50), Effort(seed))


def tally(seed: int) -> Tally:
    draw = np.random.default_rng(seed)
    sums, squares = draw.integers(-(2**40), 2**40, 3), draw.integers(0, 2**60, 3)
    return Tally(
        300, 200, -7 + seed, 900 + seed, np.array([3, 1, 2]), sums, squares, draw.integers(0, 200, 3), Effort(seed)
    )


def picks(seed: int) -> Picks:
    return Picks(300, seed, np.array([9, 4]), np.array([70, 60]), np.array([50, -1]), Effort(seed))


def trail(seed: int) -> Trail:
    return Trail(3_000, np.array([1_500, 3_000]), np.array([-9, seed]), np.array([0, 2**50]), Effort(seed))


EXAMPLES = [moments(1), histogram(2), counts(3), gains(4), tally(5), picks(6), trail(7)]


def parts(partial: Partial) -> list[object]:
    """Return every field, arrays with their type and shape."""
    fields = [getattr(partial, name) for name in partial.__slots__]
    numbers = [field for field in fields if isinstance(field, int)]
    arrays = [cast("NDArray[np.generic]", field) for field in fields if isinstance(field, np.ndarray)]
    return [type(partial), partial.effort, numbers, [(array.dtype, array.shape, array.tolist()) for array in arrays]]


def same(one: Partial, other: Partial) -> bool:
    return pack(one) == pack(other)


@pytest.mark.parametrize("partial", EXAMPLES, ids=lambda partial: type(partial).__name__)
def test_what_is_packed_is_unpacked(partial: Partial) -> None:
    again = unpack(pack(partial))
    assert parts(again) == parts(partial)


@pytest.mark.parametrize("make", [moments, histogram, counts, gains, tally])
def test_merging_is_associative_and_commutative(make: Callable[[int], Partial]) -> None:
    one, two, three = (make(seed) for seed in (1, 2, 3))
    assert same(merge(merge(one, two), three), merge(one, merge(two, three)))
    assert same(merge(one, two), merge(two, one))


def test_partials_of_different_work_do_not_merge() -> None:
    other = Counts(70_000, 5_401, counts(1).counts)
    shorter = Counts(70_000, 5_400, counts(1).counts[:-1])
    for one, two in ((moments(1), counts(1)), (counts(1), other), (counts(1), shorter), (picks(1), picks(2))):
        with pytest.raises(BadInput, match="cannot be merged"):
            merge(one, two)


@pytest.mark.parametrize("partial", EXAMPLES, ids=lambda partial: type(partial).__name__)
def test_a_cut_or_lengthened_partial_is_refused(partial: Partial) -> None:
    data = pack(partial)
    for damaged in (b"", data[:3], data[:30], data[:-1], data + b"x", b"MLP2" + data[4:]):
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
    assert not isinstance(read, Counts) or 0 <= read.counts.min() <= read.counts.max() <= read.races


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        unpack(data)


def test_a_partial_that_would_unfold_into_more_than_it_says_is_refused() -> None:
    honest = pack(counts(1))
    header = honest[: 8 + int.from_bytes(honest[4:8], "little")]
    bomb = header + zlib.compress(bytes(50 << 20))
    with pytest.raises(BadInput):
        unpack(bomb)


def test_more_counts_than_races_are_refused() -> None:
    with pytest.raises(BadInput):
        unpack(pack(Counts(10, 0, np.array([11], np.int32))))


def test_a_histogram_that_does_not_hold_every_race_is_refused() -> None:
    with pytest.raises(BadInput):
        unpack(pack(Histogram(10, np.array([1]), 0, np.array([[4, 5]], np.int32))))
