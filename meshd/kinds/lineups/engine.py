# pyright: basic
"""The count pass: for every lineup, in how many races it scores above a line. The only module that needs JAX.

A lineup's score is a left triple's plus a right triple's, so a tile of 128 x 128 lineups needs two strips of 128
sums per race. Scores are 16-bit whole numbers and every count is exact: floats in points miscount up to 2.5% of the
lineups, bfloat16 19%.

On a CPU the tile's counters stay in the cache while the races pass by, at three 16-bit operations a lineup and
race: `counter -= (line - left - right) >> 15`, which adds 1 where the difference is negative. On an accelerator,
where a loop over races would launch a kernel each, the same comparison is written as one fused compare-and-reduce.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from meshd.kinds.lineups.enumeration import Step, lineup_total, staircase, triple_sums, triples
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS

TILE = 128
"""Lineups a side. 256 leave half of the staircase's tiles empty, 64 do not fill the vector units."""

TILES_AT_ONCE = 4
"""Tiles that one loop over the races serves: enough work between two meetings of the threads (measured: 4 is best)."""

UNROLL = 16
"""Races a loop step: the best of 8 to 64 here. With few, or with other tiles, XLA on CPUs leaves vector code and is up
to 40 times slower, without a word; a test therefore holds a floor."""

CPU_CALL_TILES = 80
"""At most so many tiles in one call: 16 ms on two cores, after which a cancel is seen."""

ACCELERATOR_CALL_TILES = 512
"""At most so many tiles in one call on an accelerator: the strips of 512 tiles take 256 MiB there."""


def _set_up() -> None:
    directory = os.environ.get("MESHD_JAX_CACHE", "")
    if directory:
        jax.config.update("jax_compilation_cache_dir", directory)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


_set_up()


def device_name() -> str:
    """Return what computes here, for example `cpu` or `NVIDIA H200`."""
    return str(jax.devices()[0].device_kind)


def versions() -> dict[str, str]:
    """Return the versions of the libraries that computed."""
    return {"jax": jax.__version__, "numpy": np.__version__}


class CountPass:
    """Counts, lineup by lineup, the races scored at or above a threshold."""

    def __init__(self, drivers: int, *, looped: bool | None = None) -> None:
        """Prepare for a slate of `drivers`; `looped` chooses the CPU's formulation, None by the device."""
        if looped is None:
            looped = jax.default_backend() == "cpu"
        self.drivers = drivers
        self._tiles = _tiles(drivers)
        self._call_tiles = _call_tiles(len(self._tiles), CPU_CALL_TILES if looped else ACCELERATOR_CALL_TILES)
        self._add = _looped(self._call_tiles) if looped else _fused(self._call_tiles)
        self._tables = _HostTables(drivers) if looped else _DeviceTables(drivers)
        padding = -len(self._tiles) % self._call_tiles
        # Empty calls at the end recount the first tile; those counts are never read.
        corners = np.array([*self._tiles, *([(0, 0)] * padding)], np.int32).reshape(-1, self._call_tiles, 2)
        self._corners = [jnp.asarray(call) for call in corners]
        self._counts = [jnp.zeros((self._call_tiles, TILE, TILE), jnp.int32) for _ in self._corners]

    def add(self, scores: NDArray[np.int16], threshold: int, cancelled: Callable[[], bool]) -> bool:
        """Count one chunk of races, [races, drivers]; False when cancelled meanwhile, which spoils the counts."""
        line_less_left, right_sums = self._tables(scores, threshold)
        for call, corners in enumerate(self._corners):
            if cancelled():
                return False
            self._counts[call] = self._add(self._counts[call], line_less_left, right_sums, corners)
            self._counts[call].block_until_ready()
        return True

    def counts(self) -> NDArray[np.int32]:
        """Return the counts of all lineups, in the enumeration's order."""
        tiles = np.concatenate([np.asarray(call) for call in self._counts])
        counts = np.empty(lineup_total(self.drivers), np.int32)
        by_row: dict[int, NDArray[np.int32]] = {}
        for row in sorted({row for row, _ in self._tiles}):
            by_row[row] = np.concatenate(
                [tiles[number] for number, (tile_row, _) in enumerate(self._tiles) if tile_row == row], axis=1
            )
        for step in staircase(self.drivers):
            _copy_step(counts, by_row, step)
        return counts


class _HostTables:
    """Sums of all triples, race by race, made where memory is cheap: contiguous slices added up by NumPy."""

    def __init__(self, drivers: int) -> None:
        # No triple reaches within three drivers of the far end: the other triple has to lie beyond it.
        self._reach = drivers - 3
        # Reused for every chunk, as fresh pages cost more than the sums. The columns that fill up the last tile
        # hold anything: their counts are never read.
        strip = _rounded(comb(self._reach, 3), TILE)
        self._left = np.zeros((CHUNK_SCENARIOS, strip), np.int16)
        self._right = np.zeros((CHUNK_SCENARIOS, strip), np.int16)

    def __call__(self, scores: NDArray[np.int16], threshold: int) -> tuple[jax.Array, jax.Array]:
        races = len(scores)
        triple_sums(scores[:, : self._reach], out=self._left[:races])
        np.subtract(np.int16(threshold - 1), self._left, out=self._left)
        triple_sums(scores[:, : -self._reach - 1 : -1], out=self._right[:races])
        # Races that only fill up the chunk must count nothing: 0 - 0 is not negative.
        self._left[races:] = 0
        self._right[races:] = 0
        return jnp.asarray(self._left), jnp.asarray(self._right)


class _DeviceTables:
    """The same tables, made on an accelerator from the scores alone: 500 times fewer bytes to send there."""

    def __init__(self, drivers: int) -> None:
        reach = drivers - 3
        self._triples = jnp.asarray(np.pad(triples(reach), ((0, -comb(reach, 3) % TILE), (0, 0))).astype(np.int32).T)

    def __call__(self, scores: NDArray[np.int16], threshold: int) -> tuple[jax.Array, jax.Array]:
        padded = np.zeros((CHUNK_SCENARIOS, scores.shape[1]), np.int16)
        padded[: len(scores)] = scores
        return _gathered(jnp.asarray(padded), len(scores), threshold, self._triples)


@jax.jit
def _gathered(scores: jax.Array, races: int, threshold: int, members: jax.Array) -> tuple[jax.Array, jax.Array]:
    def sums(table: jax.Array) -> jax.Array:
        return table[:, members[0]] + table[:, members[1]] + table[:, members[2]]

    counted = jnp.arange(CHUNK_SCENARIOS)[:, None] < races
    line = jnp.asarray(threshold - 1, jnp.int16)
    return jnp.where(counted, line - sums(scores), jnp.int16(0)), sums(scores[:, ::-1])


def _copy_step(counts: NDArray[np.int32], by_row: dict[int, NDArray[np.int32]], step: Step) -> None:
    row, end = step.first_row, step.first_row + step.rows
    while row < end:
        tile_row = row // TILE * TILE
        stop = min(end, tile_row + TILE)
        start = step.offset + (row - step.first_row) * step.width
        block = counts[start : start + (stop - row) * step.width].reshape(stop - row, step.width)
        block[:] = by_row[tile_row][row - tile_row : stop - tile_row, : step.width]
        row = stop


def _tiles(drivers: int) -> list[tuple[int, int]]:
    """Return the corners (left triple, right triple) of the tiles that cover the staircase, row by row."""
    widths: dict[int, int] = {}
    for step in staircase(drivers):
        last = step.first_row + step.rows - 1
        for row in range(step.first_row // TILE, last // TILE + 1):
            # Widths only shrink down the staircase: the first step in a row of tiles is its widest.
            widths.setdefault(row, step.width)
    return [(row * TILE, column) for row, width in widths.items() for column in range(0, width, TILE)]


def _call_tiles(tiles: int, most: int) -> int:
    """Return how many tiles one call should take, so that as few as possible are counted in vain at the end."""
    groups, most_groups = -(-tiles // TILES_AT_ONCE), most // TILES_AT_ONCE
    if groups <= most_groups:
        return groups * TILES_AT_ONCE
    return TILES_AT_ONCE * min(range(most_groups // 2, most_groups + 1), key=lambda size: _rounded(groups, size))


def _rounded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _strips(table: jax.Array, corners: jax.Array) -> jax.Array:
    return jnp.stack(
        [lax.dynamic_slice(table, (0, corners[tile]), (CHUNK_SCENARIOS, TILE)) for tile in range(TILES_AT_ONCE)], 1
    )


@cache
def _looped(call_tiles: int) -> Callable[..., jax.Array]:
    def count(line_less_left: jax.Array, right_sums: jax.Array, corners: jax.Array) -> jax.Array:
        left, right = _strips(line_less_left, corners[:, 0]), _strips(right_sums, corners[:, 1])

        def step(race: jax.Array, counters: jax.Array) -> jax.Array:
            above = lax.dynamic_index_in_dim(left, race, 0, keepdims=False)[:, :, None]
            below = lax.dynamic_index_in_dim(right, race, 0, keepdims=False)[:, None, :]
            return counters - lax.shift_right_arithmetic(above - below, jnp.int16(15))

        # 1,024 races at most: 16-bit counters cannot overflow.
        counters = jnp.zeros((TILES_AT_ONCE, TILE, TILE), jnp.int16)
        return lax.fori_loop(0, CHUNK_SCENARIOS, step, counters, unroll=UNROLL)

    @partial(jax.jit, donate_argnums=0)
    def add(counts: jax.Array, line_less_left: jax.Array, right_sums: jax.Array, corners: jax.Array) -> jax.Array:
        groups = corners.reshape(call_tiles // TILES_AT_ONCE, TILES_AT_ONCE, 2)
        counted = lax.map(partial(count, line_less_left, right_sums), groups)
        return counts + counted.reshape(call_tiles, TILE, TILE).astype(jnp.int32)

    return add


@cache
def _fused(call_tiles: int) -> Callable[..., jax.Array]:
    @partial(jax.jit, donate_argnums=0)
    def add(counts: jax.Array, line_less_left: jax.Array, right_sums: jax.Array, corners: jax.Array) -> jax.Array:
        def strip(table: jax.Array, corner: jax.Array) -> jax.Array:
            return lax.dynamic_slice(table, (0, corner), (CHUNK_SCENARIOS, TILE))

        left = jax.vmap(partial(strip, line_less_left))(corners[:, 0])
        right = jax.vmap(partial(strip, right_sums))(corners[:, 1])
        scored = (left[:, :, :, None] < right[:, :, None, :]).astype(jnp.int32)
        return counts + scored.sum(axis=1).reshape(call_tiles, TILE, TILE)

    return add
