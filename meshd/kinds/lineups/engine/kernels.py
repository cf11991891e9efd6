# pyright: basic
"""The loops over scenarios: how often each lineup reaches a line, and by how much it beats what is there already.

A lineup's score is a row's sum plus a column's, in 16-bit whole numbers that may wrap around: only the distance from
the line has to fit, and `passes` sees to that. So a count takes three 16-bit operations for a lineup and scenario,
`counter -= (line - row - column) >> 15`, and is exact: floats in points miscount up to 2.5% of the lineups, bfloat16
19%. A gain adds what a score has between two lines, `min(max(0, row + column - line), room)`, and a few scenarios are
added up in 16 bits before the sum is widened.

On a CPU a tile's counters stay in the cache while the scenarios pass by. XLA leaves vector code, and is up to 40 times
slower, without a word, when a turn of that loop takes fewer than 16 scenarios: it then reads the tables through the
counters' own loop. Hence `autotune`, and a test that holds a floor. On an accelerator, where each turn of a loop would
be a launch, the same arithmetic is written as one reduction.
"""

from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
from jax import lax

from meshd.kinds.lineups.engine.tiles import Shape

_ADDED_AT_ONCE = 8
"""Gains added up in 16 bits before they are widened, when none is above `MAX_SMALL_GAIN`."""

MAX_SMALL_GAIN = 65_535 // _ADDED_AT_ONCE
"""409 points."""

Kernel = Callable[..., tuple[jax.Array, jax.Array]]
"""Takes totals [tiles, rows, columns], both tables, corners [tiles, 2], lines [scenarios], the room above each, and the
turns of the loop; returns the new totals (the old ones are spent), and a token that is ready when they are."""


def count_kernel(shape: Shape, groups: int, *, looped: bool) -> Kernel:
    """Return what counts in `groups` x `shape.tiles` tiles; totals are int16, good for 31 chunks."""
    return _looped(shape, groups, 0) if looped else _fused(False)


def gain_kernel(shape: Shape, groups: int, *, looped: bool, small: bool) -> Kernel:
    """Return what adds up gains in as many tiles; totals are int32. `small`: no gain is above `MAX_SMALL_GAIN`."""
    return _looped(shape, groups, _ADDED_AT_ONCE if small else 2) if looped else _fused(True)


def _add_counts(totals: jax.Array, above: jax.Array, columns: jax.Array, room: jax.Array) -> jax.Array:
    del room
    for scenario in range(len(above)):
        short = above[scenario][..., :, None] - columns[scenario][..., None, :]
        totals = totals - lax.shift_right_arithmetic(short, jnp.int16(15))
    return totals


def _add_gains(at_once: int, totals: jax.Array, above: jax.Array, columns: jax.Array, room: jax.Array) -> jax.Array:
    for first in range(0, len(above), at_once):
        some = jnp.zeros(totals.shape, jnp.uint16)
        for scenario in range(first, first + at_once):
            gain = columns[scenario][..., None, :] - above[scenario][..., :, None]
            some = some + jnp.clip(gain, jnp.int16(0), room[scenario]).astype(jnp.uint16)
        totals = totals + some.astype(jnp.int32)
    return totals


@cache
def _looped(shape: Shape, groups: int, gains_at_once: int) -> Kernel:
    add = partial(_add_gains, gains_at_once) if gains_at_once else _add_counts

    def serve(
        rows: jax.Array, columns: jax.Array, lines: jax.Array, rooms: jax.Array, turns: jax.Array, group: tuple
    ) -> jax.Array:
        totals, corners = group

        def turn(number: jax.Array, totals: jax.Array) -> jax.Array:
            first = number * shape.unroll
            line = lax.dynamic_slice(lines, (first,), (shape.unroll,))

            def slices(table: jax.Array, side: int, place: int) -> jax.Array:
                parts = [
                    lax.dynamic_slice(table, (first, corners[tile, place]), (shape.unroll, side))
                    for tile in range(shape.tiles)
                ]
                return jnp.stack(parts, 1)

            above = line[:, None, None] - slices(rows, shape.rows, 0)
            room = lax.dynamic_slice(rooms, (first,), (shape.unroll,))
            return add(totals, above, slices(columns, shape.columns, 1), room)

        return lax.fori_loop(0, turns, turn, totals)

    @partial(jax.jit, donate_argnums=0)
    def run(
        totals: jax.Array,
        rows: jax.Array,
        columns: jax.Array,
        corners: jax.Array,
        lines: jax.Array,
        rooms: jax.Array,
        turns: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        grouped = totals.reshape(groups, shape.tiles, shape.rows, shape.columns)
        by_group = corners.reshape(groups, shape.tiles, 2)
        new = lax.map(partial(serve, rows, columns, lines, rooms, turns), (grouped, by_group))
        return new.reshape(totals.shape), new.reshape(-1)[0]

    return run


def _counted(above: jax.Array, columns: jax.Array, rooms: jax.Array) -> jax.Array:
    del rooms
    return -lax.shift_right_arithmetic(above - columns, jnp.int16(15)).astype(jnp.int32)


def _gained(above: jax.Array, columns: jax.Array, rooms: jax.Array) -> jax.Array:
    return jnp.clip(columns - above, jnp.int16(0), rooms[:, None, None]).astype(jnp.int32)


@cache
def _fused(gains: bool) -> Kernel:
    one = _gained if gains else _counted

    @partial(jax.jit, donate_argnums=0)
    def run(
        totals: jax.Array,
        rows: jax.Array,
        columns: jax.Array,
        corners: jax.Array,
        lines: jax.Array,
        rooms: jax.Array,
        turns: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        def slices(table: jax.Array, side: int, corner: jax.Array) -> jax.Array:
            return lax.dynamic_slice(table, (0, corner), (len(table), side))

        above = lines[:, None] - jax.vmap(partial(slices, rows, totals.shape[1]))(corners[:, 0])
        across = jax.vmap(partial(slices, columns, totals.shape[2]))(corners[:, 1])
        added = one(above[:, :, :, None], across[:, :, None, :], rooms).sum(axis=1)
        new = totals + added.astype(totals.dtype)
        return new, new.reshape(-1)[0]

    return run
