"""A pass counts and adds up every lineup exactly, whatever the shape of its tiles, and stays fast."""

import os
import subprocess
import sys
from math import comb
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.autotune import SHAPES, rates
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.passes import CountPass, GainPass
from meshd.kinds.lineups.engine.tiles import Shape, Tiling, cells_of
from tests.bench.optimizer import OPERATIONS, cost, peak

measured_rates = rates
"""The rates themselves, which other tests do without."""


def never() -> bool:
    return False


def drawn(seed: int, races: int, players: int, low: int = -900, high: int = 3_000) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(low, high, (races, players)).astype(np.int16)


def points(lineups: Lineups, races: NDArray[np.int16]) -> NDArray[np.int64]:
    """Score every lineup, [races, lineups], as plainly as NumPy can."""
    return races.astype(np.int64)[:, lineups.members(np.arange(lineups.total))].sum(axis=2)


SLATES = [
    Lineups(6, 6),
    Lineups(7, 6),
    Lineups(14, 6),
    Lineups(16, 6, locked=(3,), excluded=(0, 9)),
    Lineups(12, 5),
    Lineups(9, 4),
    Lineups(8, 3),
    Lineups(8, 2),
    Lineups(5, 1),
    Lineups(6, 2, locked=(1, 4)),
]


@pytest.mark.parametrize("looped", [True, False])
@pytest.mark.parametrize("lineups", SLATES, ids=str)
def test_all_counts_and_gains_equal_numpys(lineups: Lineups, *, looped: bool) -> None:
    chunks = [drawn(races, races, lineups.players) for races in (1_024, 700, 301)]
    draw = np.random.default_rng(3)
    middle = 1_000 * lineups.size
    lines = [draw.integers(middle - 900, middle + 900, len(chunk)).astype(np.int32) for chunk in chunks]
    ceilings = [line + draw.integers(-200, 800, len(line)).astype(np.int32) for line in lines]
    counting = CountPass(lineups, looped=looped)
    gaining, capped = GainPass(lineups, looped=looped), GainPass(lineups, looped=looped)
    for chunk, line, ceiling in zip(chunks, lines, ceilings, strict=True):
        assert counting.add(chunk, line, never)
        assert gaining.add(chunk, line, never)
        assert capped.add(chunk, line, never, ceiling=ceiling)
    scored, line, ceiling = points(lineups, np.concatenate(chunks)), np.concatenate(lines), np.concatenate(ceilings)
    above = np.maximum(scored - line[:, None], 0)
    assert (counting.counts() == (scored >= line[:, None]).sum(axis=0)).all()
    assert (gaining.gains() == above.sum(axis=0)).all()
    assert (capped.gains() == np.minimum(above, np.maximum(ceiling - line, 0)[:, None]).sum(axis=0)).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_counts_alike(shape: Shape) -> None:
    lineups, chunk = Lineups(15, 6), drawn(4, 1_000, 15)
    counting = CountPass(lineups, shape=shape)
    counting.add(chunk, 6_500, never)
    assert (counting.counts() == (points(lineups, chunk) >= 6_500).sum(axis=0)).all()


@pytest.mark.parametrize("looped", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_how_many_races_are_looked_at_together_changes_no_bit(seed: int, *, looped: bool) -> None:
    draw = np.random.default_rng(seed)
    lineups = Lineups(int(draw.integers(9, 15)), int(draw.integers(4, 7)))
    chunks = [drawn(seed + races, races, lineups.players) for races in (1_024, 555)]
    lines = [(1_000 * lineups.size + draw.integers(-900, 900, len(chunk))).astype(np.int32) for chunk in chunks]
    found: list[tuple[list[int], list[int]]] = []
    # No room at all, room for tables of some hundred races, and as much as there is.
    for room in (0, 500_000, None):
        counting = CountPass(lineups, looped=looped, room=room)
        gaining = GainPass(lineups, looped=looped, room=room)
        for chunk, line in zip(chunks, lines, strict=True):
            assert counting.add(chunk, line, never)
            assert gaining.add(chunk, line, never)
        found.append((counting.counts().tolist(), gaining.gains().tolist()))
    assert found[0] == found[1] == found[2]


def test_counts_of_random_lineups_of_a_whole_slate_equal_numpys() -> None:
    lineups, chunks = Lineups(36, 6), [drawn(seed, 1_024, 36, -400, 1_400) for seed in range(2)]
    counting = CountPass(lineups)
    for chunk in chunks:
        counting.add(chunk, 4_200, never)
    some = np.random.default_rng(1).integers(0, lineups.total, 2_000)
    scored = np.concatenate(chunks).astype(np.int32)[:, lineups.members(some)].sum(axis=2)
    expected = (scored >= 4_200).sum(axis=0)
    assert (counting.counts()[some] == expected).all()
    assert 0 < expected.max() < 2_048


@pytest.mark.parametrize("looped", [True, False])
def test_extreme_scores_and_lines_do_not_overflow(*, looped: bool) -> None:
    races = np.full((10, 7), 3_500, np.int16)
    races[5:] = -1_333
    lineups = Lineups(7, 6)
    for line, expected in ((-32_000, 10), (-7_998, 10), (-7_997, 5), (21_000, 5), (21_001, 0), (32_000, 0)):
        counting = CountPass(lineups, looped=looped)
        counting.add(races, line, never)
        assert (counting.counts() == expected).all()
    gaining = GainPass(lineups, looped=looped)
    gaining.add(races, np.full(10, -9_000, np.int32), never)
    assert (gaining.gains() == 5 * 30_000 + 5 * (9_000 - 6 * 1_333)).all()


@pytest.mark.parametrize("looped", [True, False])
def test_lineups_as_far_apart_as_16_bits_allow_are_counted_rightly(*, looped: bool) -> None:
    races = np.full((200, 12), -2_700, np.int16)
    races[:, :6] = 2_700
    races[1::2] = races[1::2, ::-1]
    lineups = Lineups(12, 6)
    scored = points(lineups, races)
    for line in (-16_199, 0, 16_200):
        counting, gaining = CountPass(lineups, looped=looped), GainPass(lineups, looped=looped)
        counting.add(races, line, never)
        gaining.add(races, np.full(200, line, np.int32), never)
        assert (counting.counts() == (scored >= line).sum(axis=0)).all()
        assert (gaining.gains() == np.maximum(scored - line, 0).sum(axis=0)).all()


def test_scores_that_need_more_than_16_bits_are_refused() -> None:
    for worst, best in ((5_500, 5_600), (-3_000, 3_000), (-5_600, -5_500)):
        races = np.array([[worst] * 6 + [best] * 6], np.int16)
        with pytest.raises(BadInput):
            CountPass(Lineups(12, 6)).add(races, 0, never)


@pytest.mark.parametrize("kind", [CountPass, GainPass])
def test_totals_of_more_races_than_a_tile_can_hold_are_exact(kind: type[CountPass | GainPass]) -> None:
    lineups = Lineups(12, 6)
    line, chunks = np.full(1_024, -16_200, np.int32), 80
    races = np.full((1_024, 12), -2_700, np.int16)
    races[:, :6] = 2_700
    adding = kind(lineups)
    for _ in range(chunks):
        adding.add(races, line, never)
    if isinstance(adding, CountPass):
        assert (adding.counts() == chunks * 1_024).all()
    else:
        assert (adding.gains() == chunks * (points(lineups, races) + 16_200).sum(axis=0)).all()
        assert adding.gains().max() > 1 << 31


def test_the_order_of_chunks_changes_nothing() -> None:
    lineups, chunks = Lineups(13, 6), [drawn(seed, 1_024 - 100 * seed, 13) for seed in range(4)]
    found: list[list[int]] = []
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        counting = CountPass(lineups)
        for number in order:
            counting.add(chunks[number], 6_300, never)
        found.append(counting.counts().tolist())
    assert found[0] == found[1]


def test_a_cancelled_pass_stops_says_so_and_can_begin_again() -> None:
    lineups, races = Lineups(10, 6), drawn(1, 700, 10)
    counting = CountPass(lineups)
    counting.add(races, 6_000, never)
    assert not counting.add(races, 6_000, lambda: True)
    counting.reset()
    counting.add(races, 6_000, never)
    assert (counting.counts() == (points(lineups, races) >= 6_000).sum(axis=0)).all()


def test_tiles_without_a_wanted_lineup_are_left_out_and_the_others_are_counted() -> None:
    lineups, races = Lineups(18, 6), drawn(1, 500, 18)
    wanted = lineups.sums(np.arange(18, dtype=np.int32)) > 75
    shape = Shape(1, 16, 16, 16)
    assert len(Tiling(lineups, shape, wanted).corners) < len(Tiling(lineups, shape).corners) // 2
    counting = CountPass(lineups, wanted, shape=shape)
    counting.add(races, 6_300, never)
    assert (counting.counts() == (points(lineups, races) >= 6_300).sum(axis=0))[wanted].all()


def test_where_no_lineup_is_wanted_nothing_is_counted() -> None:
    lineups = Lineups(9, 6)
    counting = CountPass(lineups, np.zeros(lineups.total, bool))
    assert counting.add(drawn(1, 10, 9), 0, never)
    assert not counting.counts().any()


def test_the_kernel_is_near_what_registers_can_do_and_far_above_numpy() -> None:
    # Ratios of processor time within one process, which other work on the machine hardly touches. With 512-bit vectors
    # they are 19-29 and 0.8-1.1, at any load. Scalar code, the cliff of `kernels`, stays below 3 and 0.1; whatever
    # makes the kernel three times slower fails.
    lineups, line = Lineups(30, 6), 5_000
    races = drawn(1, 1_024, 30, -500, 2_500)
    members = lineups.members(np.arange(4_096))
    shape = fastest(measured_rates(looped=True))
    counting = CountPass(lineups, shape=shape)

    def passes() -> None:
        for _ in range(4):
            counting.add(races, line, never)
        counting.counts()

    tables = [np.ascontiguousarray(races[:, members[:, place]]) for place in range(6)]

    def plainly() -> None:
        scored = tables[0] + tables[1]
        for table in tables[2:]:
            scored += table
        (scored >= line).sum(axis=0)

    passes()
    numpy_rate = len(members) * 1_024 / min(cost(plainly)[1] for _ in range(5))
    seconds = min(cost(passes)[1] for _ in range(5))
    kernel_rate = 4 * 1_024 * comb(30, 6) / seconds
    cells_rate = 4 * 1_024 * cells_of(lineups, shape) / seconds
    assert kernel_rate > 10 * numpy_rate, (kernel_rate, numpy_rate)
    assert cells_rate * OPERATIONS > 0.3 * peak(), (cells_rate, peak())


def fastest(speed: dict[Shape, float]) -> Shape:
    return max(speed, key=lambda shape: speed[shape])


COUNTED_AGAIN = """
import sys
import jax
import numpy as np
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.passes import CountPass
from meshd.kinds.lineups.engine.tiles import Shape

heard = []
jax.monitoring.register_event_listener(lambda name, **_: heard.append(name))
counting = CountPass(Lineups(12, 6), shape=Shape(1, 64, 128, 16))
races = np.random.default_rng(1).integers(0, 2_000, (100, 12)).astype(np.int16)
counting.add(races, 6_000, lambda: False)
sys.stdout.write(f"{counting.counts().sum()} {sum(name.endswith('cache_misses') for name in heard)}")
"""
"""Prints what it has counted, and how often it had to compile."""


def test_a_second_start_compiles_nothing_and_a_damaged_cache_does_no_harm(tmp_path: Path) -> None:
    def counted() -> list[int]:
        told = subprocess.run(
            [sys.executable, "-c", COUNTED_AGAIN],
            env={**os.environ, "MESHD_JAX_CACHE": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        return [int(number) for number in told.stdout.split()]

    total, compiled = counted()
    assert compiled > 0
    assert counted() == [total, 0]
    for file in tmp_path.glob("*-cache"):
        # As a worker leaves them that is killed while it writes.
        file.write_bytes(file.read_bytes()[:100])
    assert counted()[0] == total
