# pyright: basic
"""Counting a block of rows with the columns that are left: exact, in tiles, one strip of columns after the other."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from meshd.kinds.lineups.engine.autotune import CELLS_AT_ONCE, rates
from meshd.kinds.lineups.engine.device import is_cpu
from meshd.kinds.lineups.engine.kernels import MAX_SMALL_GAIN, count_kernel, gain_kernel
from meshd.kinds.lineups.engine.passes import CALLS_AHEAD, CPU_GROUPS, MAX_COUNT, MAX_GAIN
from meshd.kinds.lineups.engine.tiles import Shape
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.sports.exact.halves import BLOCK_ROWS

STRIP_COLUMNS = 8_192
"""Columns whose sums are in a table at once: 16 MiB. With 512 rows, a chunk takes about 0.1 s on two cores."""


def shape_here() -> Shape:
    """Return the shape of tiles that is fastest on this device."""
    speed = rates(looped=is_cpu())
    return max(speed, key=lambda shape: (speed[shape], shape.columns, shape.unroll))


_NO_ROOM = np.iinfo(np.int16).max


class Races:
    """Scores of all races as the tables need them, with the line of each; made once for all blocks."""

    def __init__(self, chunks: Sequence[tuple[np.ndarray, np.ndarray]], most_gained: int | None = None) -> None:
        """Take chunks of scores [races, players] and of lines; every distance from them has to fit 16 bits.

        Where gains are added up instead of races in which the line is reached, `most_gained` is the most of one race.
        """
        self.races = sum(len(scores) for scores, _ in chunks)
        self.most_gained = most_gained
        self.chunks = [self._padded(scores, lines) for scores, lines in chunks]

    def _padded(self, scores: np.ndarray, lines: np.ndarray) -> tuple[jax.Array, jax.Array, int]:
        # One player more, who scores nothing and stands for nobody; and races that nobody counts.
        padded = np.zeros((CHUNK_SCENARIOS, scores.shape[1] + 1), np.float32)
        padded[: len(scores), :-1] = scores
        told = np.full(CHUNK_SCENARIOS, np.iinfo(np.int16).max, np.int16)
        # A line is reached from one unit below it on; a gain counts from the line itself.
        told[: len(scores)] = (lines - (self.most_gained is None)).astype(np.int16)
        return jnp.asarray(padded), jnp.asarray(told), len(scores)


class BlockCount:
    """Counts, for the lineups of one block, the races in which each reaches the line; or adds up what each gains."""

    def __init__(self, races: Races, shape: Shape | None = None) -> None:
        """Prepare for blocks of these races."""
        self._races = races
        self.shape = shape or shape_here()
        self._looped = is_cpu()
        self._groups = CPU_GROUPS if self._looped else max(1, CELLS_AT_ONCE // (self.shape.rows * self.shape.columns))
        self.elements = 0

    def reaching(
        self,
        rows: np.ndarray,
        columns: np.ndarray,
        needed: np.ndarray,
        required: int,
        cancelled: Callable[[], bool],
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray] | None]:
        """Yield rows, columns and counts of lineups that reach the line `required` times or more, strip by strip.

        `needed` [row tiles, columns] tells what to look at; neighbours are counted with it, and come back as well.
        None, and nothing more, when cancelled.
        """
        tiles = len(needed)
        some = np.flatnonzero(needed.any(axis=0))
        # Columns that the same tiles need side by side: then whole tiles can be left out.
        weights = 1 << np.arange(tiles, dtype=np.int64)[::-1]
        pattern = weights @ needed[:, some]
        some = some[np.lexsort((pattern, needed[:, some].sum(axis=0)))][::-1]
        row_members = _padded_members(rows, BLOCK_ROWS, self._nobody)
        for first in range(0, len(some), STRIP_COLUMNS):
            strip = some[first : first + STRIP_COLUMNS]
            corners = self._corners(needed[:, strip])
            counted = self._count(row_members, columns[strip], corners, cancelled)
            if counted is None:
                yield None
                return
            yield self._hits(counted, corners, strip, len(rows), required)

    @property
    def _nobody(self) -> int:
        return self._races.chunks[0][0].shape[1] - 1

    def _corners(self, needed: np.ndarray) -> np.ndarray:
        wide = -needed.shape[1] % self.shape.columns
        by_tile = np.pad(needed, ((0, 0), (0, wide))).reshape(len(needed), -1, self.shape.columns).any(axis=2)
        found = np.argwhere(by_tile)
        return (found * [self.shape.rows, self.shape.columns]).astype(np.int32)

    def _count(
        self, rows: np.ndarray, columns: np.ndarray, corners: np.ndarray, cancelled: Callable[[], bool]
    ) -> np.ndarray | None:
        shape, per_call = self.shape, self._groups * self.shape.tiles
        calls = -(-len(corners) // per_call)
        # Empty places of the last call work on the first tile; their totals are never read.
        filled = np.pad(corners, ((0, calls * per_call - len(corners)), (0, 0)))
        places = [jnp.asarray(part) for part in filled.reshape(calls, per_call, 2)]
        gained = self._races.most_gained
        if gained is None:
            kernel = count_kernel(shape, self._groups, looped=self._looped)
        else:
            kernel = gain_kernel(shape, self._groups, looped=self._looped, small=gained <= MAX_SMALL_GAIN)
        row_list = jnp.asarray(rows)
        column_list = jnp.asarray(_padded_members(columns, STRIP_COLUMNS, self._nobody))
        width, most = (jnp.int16, MAX_COUNT) if gained is None else (jnp.int32, MAX_GAIN // max(1, gained))
        empty = partial(jnp.zeros, (per_call, shape.rows, shape.columns), width)
        totals = [empty() for _ in range(calls)]
        sums = np.zeros((calls * per_call, shape.rows, shape.columns), np.int32 if gained is None else np.int64)
        under_way: deque[jax.Array] = deque()
        rooms = jnp.full(CHUNK_SCENARIOS, _NO_ROOM, jnp.int16)
        held = 0
        for scores, lines, races in self._races.chunks:
            if held + races > most:
                sums += np.concatenate([np.asarray(each) for each in totals])
                totals, held = [empty() for _ in range(calls)], 0
            held += races
            row_table, column_table = _table(scores, row_list), _table(scores, column_list)
            turns = jnp.asarray(-(-races // shape.unroll), jnp.int32)
            for call in range(calls):
                if cancelled():
                    return None
                totals[call], done = kernel(totals[call], row_table, column_table, places[call], lines, rooms, turns)
                under_way.append(done)
                if len(under_way) > CALLS_AHEAD:
                    under_way.popleft().block_until_ready()
        self.elements += len(corners) * shape.rows * shape.columns * self._races.races
        return (sums + np.concatenate([np.asarray(each) for each in totals]))[: len(corners)]

    def _hits(
        self, counted: np.ndarray, corners: np.ndarray, strip: np.ndarray, rows: int, required: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        tile, row, column = np.nonzero(counted >= required)
        counts = counted[tile, row, column]
        row = row + corners[tile, 0]
        column = column + corners[tile, 1]
        real = (row < rows) & (column < len(strip))
        return row[real].astype(np.int64), strip[column[real]].astype(np.int64), counts[real].astype(np.int64)


def _padded_members(members: np.ndarray, to: int, nobody: int) -> np.ndarray:
    return np.pad(members, ((0, to - len(members)), (0, 0)), constant_values=nobody).astype(np.int32)


@jax.jit
def _table(scores: jax.Array, members: jax.Array) -> jax.Array:
    # Sums of a few whole numbers below 2**24: a product of floats is exact, and far faster than gathering.
    holds = jax.nn.one_hot(members, scores.shape[1]).sum(axis=1)
    sums = jnp.matmul(scores, holds.T, precision=lax.Precision.HIGHEST)
    return sums.astype(jnp.int32).astype(jnp.int16)
