# pyright: basic
"""Which shape of tiles is fastest here: measured once, remembered on disk.

How well XLA's loops vectorise depends on processor and version, and the wrong shape is up to 40 times slower, without
a word. A handful of shapes, timed for a second, tells.
"""

import contextlib
import json
import os
import time
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from meshd.kinds.lineups.engine.device import cache_folder, fingerprint, is_cpu
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

ACCELERATOR_SHAPE = Shape(tiles=1, rows=128, columns=128, unroll=CHUNK_SCENARIOS)
"""One reduction over all scenarios; smaller tiles fit the ragged edge of a slate better."""

_ROUNDS = 12
"""Times each shape is timed, in turn; the best counts, as other work on the machine only slows down."""


def best_shape(lineups: Lineups) -> Shape:
    """Return the shape that scores these lineups soonest on this device."""
    if not is_cpu():
        return ACCELERATOR_SHAPE
    speed = rates()
    return min(speed, key=lambda shape: (cells_of(lineups, shape) / speed[shape], shape.columns, shape.unroll))


@cache
def rates() -> dict[Shape, float]:
    """Return how many pairings a second each shape scores here, on one core."""
    file = folder / "tiles.json" if (folder := cache_folder()) is not None else None
    here = fingerprint()
    if file is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(file.read_text("utf-8"))
            if kept["fingerprint"] == here:
                found = {Shape(**entry["shape"]): float(entry["rate"]) for entry in kept["rates"]}
                if set(found) == set(SHAPES) and min(found.values()) > 0:
                    return found
    found = _measured()
    if file is not None:
        told = {
            "fingerprint": here,
            "rates": [{"shape": _fields(shape), "rate": rate} for shape, rate in found.items()],
        }
        with contextlib.suppress(OSError):
            # Two workers may measure at once: each writes a whole file of its own, and the last one stays.
            fresh = file.with_name(f"tiles-{os.getpid()}.json")
            fresh.write_text(json.dumps(told), "utf-8")
            fresh.replace(file)
    return found


def _fields(shape: Shape) -> dict[str, int]:
    return {"tiles": shape.tiles, "rows": shape.rows, "columns": shape.columns, "unroll": shape.unroll}


def _measured() -> dict[Shape, float]:
    draw = np.random.default_rng(1)
    lines = jnp.zeros(CHUNK_SCENARIOS, jnp.int16)
    table = jnp.asarray(draw.integers(-4_000, 8_000, (CHUNK_SCENARIOS, 1_024)).astype(np.int16))
    best = dict.fromkeys(SHAPES, float("inf"))
    for _ in range(_ROUNDS):
        for shape in SHAPES:
            kernel = count_kernel(shape, 1, looped=True)
            totals = jnp.zeros((shape.tiles, shape.rows, shape.columns), jnp.int16)
            corners = jnp.asarray([(tile * shape.rows, tile * shape.columns) for tile in range(shape.tiles)], jnp.int32)
            turns = jnp.asarray(CHUNK_SCENARIOS // shape.unroll, jnp.int32)
            jax.block_until_ready((totals, corners, turns))
            began = time.perf_counter()
            jax.block_until_ready(kernel(totals, table, table, corners, lines, lines, turns))
            best[shape] = min(best[shape], time.perf_counter() - began)
    return {
        shape: shape.tiles * shape.rows * shape.columns * CHUNK_SCENARIOS / seconds for shape, seconds in best.items()
    }
