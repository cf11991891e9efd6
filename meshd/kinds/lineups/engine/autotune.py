# pyright: basic
"""Which shape of tiles is fastest here: measured once, remembered on disk.

How well XLA's loops vectorise depends on processor and version, and the wrong shape is up to 40 times slower, without
a word. A handful of shapes, timed for a second, tells.
"""

import contextlib
import json
import os
import time
from collections.abc import Sequence
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from meshd.kinds.lineups.engine.device import cache_folder, fingerprint
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.kernels import count_kernel
from meshd.kinds.lineups.engine.tiles import Shape, cells_of
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS

SHAPES = (
    Shape(tiles=1, rows=128, columns=256, unroll=32),
    Shape(tiles=1, rows=128, columns=256, unroll=16),
    Shape(tiles=1, rows=64, columns=256, unroll=32),
    Shape(tiles=2, rows=64, columns=128, unroll=16),
)
"""Each was the best somewhere. Counters of 64 KiB fit every cache, and XLA does not split the work of one tile."""

ACCELERATOR_SHAPES = tuple(
    Shape(tiles=1, rows=rows, columns=columns, unroll=CHUNK_SCENARIOS)
    for rows, columns in ((128, 128), (64, 128), (64, 64), (128, 256))
)
"""One reduction over all scenarios; smaller tiles fit the ragged edge of a slate better, larger ones read less."""

CELLS_AT_ONCE = 1 << 22
"""Pairings that one call works on there, of 1,024 scenarios each: half a millisecond of the fastest card."""

_ROUNDS = 12
"""Times each shape is timed, in turn; the best counts, as other work on the machine only slows down."""


def best_shape(lineups: Lineups, *, looped: bool) -> Shape:
    """Return the shape that scores these lineups soonest on this device; `looped` chooses the CPU's kernel."""
    speed = rates(looped=looped)
    return min(speed, key=lambda shape: (cells_of(lineups, shape) / speed[shape], shape.columns, shape.unroll))


@cache
def rates(*, looped: bool) -> dict[Shape, float]:
    """Return how many pairings a second each shape scores here: on one core, or on the whole accelerator."""
    here = f"{fingerprint()}-{'looped' if looped else 'fused'}"
    # A file each: the processor's worker and those of several GPUs share the folder.
    file = folder / f"tiles-{here}.json" if (folder := cache_folder()) is not None else None
    shapes = SHAPES if looped else ACCELERATOR_SHAPES
    if file is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(file.read_text("utf-8"))
            if kept["fingerprint"] == here:
                found = {Shape(**entry["shape"]): float(entry["rate"]) for entry in kept["rates"]}
                if set(found) == set(shapes) and min(found.values()) > 0:
                    return found
    found = measured(shapes, looped=looped)
    if file is not None:
        told = {
            "fingerprint": here,
            "rates": [{"shape": _fields(shape), "rate": rate} for shape, rate in found.items()],
        }
        with contextlib.suppress(OSError):
            # Two workers may measure at once: each writes a whole file of its own, and the last one stays.
            fresh = file.with_suffix(f".{os.getpid()}")
            fresh.write_text(json.dumps(told), "utf-8")
            fresh.replace(file)
    return found


def _fields(shape: Shape) -> dict[str, int]:
    return {"tiles": shape.tiles, "rows": shape.rows, "columns": shape.columns, "unroll": shape.unroll}


def measured(shapes: Sequence[Shape], *, looped: bool, cells: int = CELLS_AT_ONCE) -> dict[Shape, float]:
    """Return how many pairings a second each shape scores, measured now; a fused kernel works on `cells` at once."""
    draw = np.random.default_rng(1)
    lines = jnp.zeros(CHUNK_SCENARIOS, jnp.int16)
    table = jnp.asarray(draw.integers(-4_000, 8_000, (CHUNK_SCENARIOS, 1_024)).astype(np.int16))
    best = dict.fromkeys(shapes, float("inf"))
    tiles = {shape: shape.tiles if looped else max(1, cells // (shape.rows * shape.columns)) for shape in shapes}
    for _ in range(_ROUNDS):
        for shape in shapes:
            kernel = count_kernel(shape, tiles[shape] // shape.tiles, looped=looped)
            totals = jnp.zeros((tiles[shape], shape.rows, shape.columns), jnp.int16)
            at = [(tile * shape.rows % 1_024, tile * shape.columns % 1_024) for tile in range(tiles[shape])]
            corners = jnp.asarray(at, jnp.int32)
            turns = jnp.asarray(CHUNK_SCENARIOS // shape.unroll, jnp.int32)
            jax.block_until_ready((totals, corners, turns))
            began = time.perf_counter()
            jax.block_until_ready(kernel(totals, table, table, corners, lines, lines, turns))
            best[shape] = min(best[shape], time.perf_counter() - began)
    return {
        shape: tiles[shape] * shape.rows * shape.columns * CHUNK_SCENARIOS / seconds for shape, seconds in best.items()
    }
