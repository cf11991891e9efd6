"""A chunk's random numbers are those of Philox4x64-10 on any machine and with any version of NumPy."""

import sys

import numpy as np

from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.scenarios.draws import Draws

MASK = (1 << 64) - 1


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x64-10, as its authors write it."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c0, 1 << 64)
        high1, low1 = divmod(0xCA5A826395121157 * c2, 1 << 64)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c0, c1, c2, c3


def test_the_written_out_generator_gives_its_authors_known_answers() -> None:
    assert philox((0, 0, 0, 0), (0, 0)) == (
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B,
    )  # fmt: skip
    assert philox((MASK, MASK, MASK, MASK), (MASK, MASK)) == (
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0,
    )  # fmt: skip


def test_a_chunks_numbers_are_the_generators() -> None:
    seed, chunk = (1 << 53) - 1, 12_345
    drawn = Draws(seed, chunk).uniforms(2, 3).ravel()
    words = [word for block in range(1, 11) for word in philox((block, 0, 0, 0), (seed, chunk))]
    lanes = [word >> 16 * lane & 0xFFFF for word in words for lane in range(4)]
    assert drawn[: len(lanes)].tolist() == lanes
    assert drawn.size == 2 * CHUNK_SCENARIOS * 3


def test_later_numbers_of_a_chunk_follow_the_earlier_ones() -> None:
    at_once = Draws(1, 2).uniforms(5, 1).ravel()
    draws = Draws(1, 2)
    in_parts = np.concatenate([draws.uniforms(lanes, 1).ravel() for lanes in (2, 3)])
    assert (at_once == in_parts).all()


def test_the_byte_order_is_this_machines_own() -> None:
    # Arrays in a foreign byte order would be slow wherever they are used.
    assert Draws(1, 2).uniforms(1, 1).dtype.byteorder in {"=", "<" if sys.byteorder == "little" else ">"}
