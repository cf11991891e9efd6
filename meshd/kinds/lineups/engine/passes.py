# pyright: basic
"""A pass: every lineup of a slate against chunks of scenarios, counted or added up exactly, on whatever device.

Chunks are handed to the device, and worked off there while the next one is prepared; the totals wait for the last.
Any shape of tiles, any device and any order of chunks give the same whole numbers.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.autotune import CELLS_AT_ONCE, best_shape
from meshd.kinds.lineups.engine.device import is_cpu
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.kernels import MAX_SMALL_GAIN, Kernel, count_kernel, gain_kernel
from meshd.kinds.lineups.engine.reach import reach_of
from meshd.kinds.lineups.engine.room import at_once
from meshd.kinds.lineups.engine.tables import HostTables, members_of
from meshd.kinds.lineups.engine.tiles import Shape, Tiling

CPU_GROUPS = 4
"""At most so many turns of a kernel in one call: 2 ms on one core, after which a cancel is seen."""


CALLS_AHEAD = 8
"""Calls handed over and not yet done: enough for eight cores to have one each, few enough to stop within 50 ms."""

MAX_COUNT = np.iinfo(np.int16).max
MAX_GAIN = np.iinfo(np.int32).max
"""What a tile's totals hold before they have to be added to the lineups' totals."""


class CountPass:
    """Counts, lineup by lineup, the scenarios in which it scores at or above a line."""

    def __init__(
        self,
        lineups: Lineups,
        wanted: NDArray[np.bool_] | None = None,
        *,
        shape: Shape | None = None,
        looped: bool | None = None,
        room: int | None = None,
    ) -> None:
        """Prepare to count; only the `wanted` lineups are sure to be. `looped` chooses the CPU's kernel.

        Tables take no more than `room` bytes, and 64 scenarios' at least.
        """
        self._tiles = _Tiles(lineups, wanted, np.int16, shape, looped, room)
        self._counts = np.zeros(lineups.total, np.int32)
        self._counted = 0

    def add(self, scores: NDArray[np.int16], line: int | NDArray[np.int32], cancelled: Callable[[], bool]) -> bool:
        """Count at most 1,024 scenarios, [scenarios, players], against one line or one line each.

        False when cancelled meanwhile, which spoils the counts until `reset`.

        Raises:
            BadInput: the scores are too far apart for 16 bits.
        """
        if self._counted + len(scores) > MAX_COUNT:
            self._settle()
        self._counted += len(scores)
        low, high = reach_of(scores, self._tiles.lineups.size)
        # A line beyond what any lineup scores counts all or none, wherever it is.
        lines = np.clip(np.asarray(line, np.int32) - 1, low - 1, high)
        kernel = count_kernel(self._tiles.shape, self._tiles.groups, looped=self._tiles.looped)
        return self._tiles.run(kernel, scores, lines, cancelled)

    def counts(self) -> NDArray[np.int32]:
        """Return the counts of all lineups, in the enumeration's order; those not wanted may lack scenarios."""
        self._settle()
        return self._counts.copy()

    def reset(self) -> None:
        """Begin again at zero."""
        self._counts[:] = 0
        self._counted = 0
        self._tiles.clear()

    def _settle(self) -> None:
        self._tiles.add_to(self._counts)
        self._counted = 0


class GainPass:
    """Adds up, lineup by lineup, what its scores have above a line, and no more of it than up to another line."""

    def __init__(
        self,
        lineups: Lineups,
        wanted: NDArray[np.bool_] | None = None,
        *,
        shape: Shape | None = None,
        looped: bool | None = None,
        room: int | None = None,
    ) -> None:
        """Prepare to add up; the parameters are those of a `CountPass`."""
        self._tiles = _Tiles(lineups, wanted, np.int32, shape, looped, room)
        self._gains = np.zeros(lineups.total, np.int64)
        self._bound = 0

    def add(
        self,
        scores: NDArray[np.int16],
        line: NDArray[np.int32],
        cancelled: Callable[[], bool],
        *,
        ceiling: NDArray[np.int32] | None = None,
    ) -> bool:
        """Take at most 1,024 scenarios, [scenarios, players], with a line in each, and a ceiling if there is one.

        False when cancelled meanwhile, which spoils the gains until `reset`.

        Raises:
            BadInput: the scores are too far apart for 16 bits.
        """
        low, high = reach_of(scores, self._tiles.lineups.size)
        top = high if ceiling is None else np.maximum(ceiling, line)
        # Below what the worst lineup scores, every lineup gains the same.
        self._gains += int(np.maximum(np.minimum(low, top) - line, 0).sum(dtype=np.int64))
        lines, tops = np.clip(line, low, high), np.clip(top, low, high)
        rooms = tops - lines
        bound = int(rooms.sum(dtype=np.int64))
        if self._bound + bound > MAX_GAIN:
            self._settle()
        self._bound += bound
        small = int(rooms.max(initial=0)) <= MAX_SMALL_GAIN
        kernel = gain_kernel(self._tiles.shape, self._tiles.groups, looped=self._tiles.looped, small=small)
        return self._tiles.run(kernel, scores, lines, cancelled, rooms)

    def gains(self) -> NDArray[np.int64]:
        """Return the gains of all lineups, in the enumeration's order; those not wanted may lack scenarios."""
        self._settle()
        return self._gains.copy()

    def reset(self) -> None:
        """Begin again at zero."""
        self._gains[:] = 0
        self._bound = 0
        self._tiles.clear()

    def _settle(self) -> None:
        self._tiles.add_to(self._gains)
        self._bound = 0


class _Tiles:
    """The tiles of a slate on a device: their totals, and the calls that are under way there."""

    def __init__(
        self,
        lineups: Lineups,
        wanted: NDArray[np.bool_] | None,
        dtype: type,
        shape: Shape | None,
        looped: bool | None,
        room: int | None,
    ) -> None:
        self.lineups = lineups
        self.looped = is_cpu() if looped is None else looped
        self.shape = shape or best_shape(lineups, looped=self.looped)
        self._dtype = dtype
        self._tiling = Tiling(lineups, self.shape, wanted)
        tiles = len(self._tiling.corners)
        # On an accelerator the strips of the tiles of one call take some 128 MiB.
        most = CPU_GROUPS if self.looped else max(1, CELLS_AT_ONCE // (self.shape.rows * self.shape.columns))
        self.groups = _groups(-(-tiles // self.shape.tiles), most)
        self._per_call = self.groups * self.shape.tiles
        # Empty places of the last call work on the tables' first tile; their totals are never read.
        padding = np.zeros((-tiles % self._per_call, 2), np.int32)
        corners = np.concatenate([self._tiling.corners, padding]).reshape(-1, self._per_call, 2)
        self._corners = [jnp.asarray(call) for call in corners]
        width = self._tiling.rows.width + self._tiling.columns.width
        self._at_once, ahead = at_once(width, room)
        self._tables: _Tables = (
            _OnHost(self._tiling, self._at_once, ahead)
            if self.looped
            else _OnDevice(self._tiling, len(lineups.free), self._at_once)
        )
        self._under_way: deque[jax.Array] = deque()
        self.clear()

    def run(
        self,
        kernel: Kernel,
        scores: NDArray[np.int16],
        lines: NDArray[np.int32],
        cancelled: Callable[[], bool],
        rooms: NDArray[np.int32] | None = None,
    ) -> bool:
        """Hand a chunk to the device; False when cancelled meanwhile."""
        for first in range(0, len(scores), self._at_once):
            part = slice(first, first + self._at_once)
            if not self._run(kernel, scores[part], lines[part], cancelled, None if rooms is None else rooms[part]):
                return False
        return True

    def _run(
        self,
        kernel: Kernel,
        scores: NDArray[np.int16],
        lines: NDArray[np.int32],
        cancelled: Callable[[], bool],
        rooms: NDArray[np.int32] | None,
    ) -> bool:
        fixed = scores[:, list(self.lineups.locked)].sum(axis=1, dtype=np.int32)
        turns = -(-len(scores) // self.shape.unroll)
        padded = np.zeros((2, self._at_once), np.int16)
        # 16 bits may wrap around here and in the kernel: in the end only the distance from the line counts.
        padded[0, : len(scores)] = (lines - fixed).astype(np.int16)
        if rooms is not None:
            padded[1, : len(scores)] = rooms
        rows, columns, readers = self._tables.fill(scores[:, self.lineups.free], turns * self.shape.unroll)
        there = jnp.asarray(padded[0]), jnp.asarray(padded[1]), jnp.asarray(turns, jnp.int32)
        for call, corners in enumerate(self._corners):
            if cancelled():
                return False
            self._totals[call], done = kernel(self._totals[call], rows, columns, corners, *there)
            readers.append(done)
            self._under_way.append(done)
            if len(self._under_way) > CALLS_AHEAD:
                self._under_way.popleft().block_until_ready()
        return True

    def add_to(self, totals: NDArray[np.int32] | NDArray[np.int64]) -> None:
        """Wait for the device, and move what the tiles hold to the lineups' totals."""
        for call, held in enumerate(self._totals):
            self._tiling.add_to(totals, np.asarray(held), call * self._per_call)
        self.clear()

    def clear(self) -> None:
        """Begin again at zero."""
        shape = self._per_call, self.shape.rows, self.shape.columns
        # Named a device, as what a kernel returns is: where the first totals were not, all was compiled twice.
        here = jax.devices()[0]
        self._totals = [jnp.zeros(shape, self._dtype, device=here) for _ in self._corners]


class _Tables(Protocol):
    def fill(self, scores: NDArray[np.int16], up_to: int) -> tuple[jax.Array, jax.Array, list[jax.Array]]:
        """Return tables of rows and columns, and the list of those who read them."""
        ...


class _OnHost:
    """Tables where the processor itself computes: two sets in turn if there is room, read in place."""

    def __init__(self, tiling: Tiling, scenarios: int, ahead: bool) -> None:
        self._sets: list[tuple[HostTables, list[jax.Array]]] = [
            (HostTables(tiling.rows, tiling.columns, scenarios), []) for _ in range(1 + ahead)
        ]

    def fill(self, scores: NDArray[np.int16], up_to: int) -> tuple[jax.Array, jax.Array, list[jax.Array]]:
        self._sets.reverse()
        tables, readers = self._sets[0]
        for reader in readers:
            reader.block_until_ready()
        readers.clear()
        tables.fill(np.ascontiguousarray(scores), up_to)
        # Made anew for each chunk: where XLA cannot read them in place, it takes a copy of what is in them now.
        return jax.dlpack.from_dlpack(tables.rows), jax.dlpack.from_dlpack(tables.columns), readers


class _OnDevice:
    """Tables gathered on an accelerator from the scores alone."""

    def __init__(self, tiling: Tiling, players: int, scenarios: int) -> None:
        self._scenarios = scenarios
        self._rows = jnp.asarray(members_of(tiling.rows, players))
        self._columns = jnp.asarray(members_of(tiling.columns, players))

    def fill(self, scores: NDArray[np.int16], up_to: int) -> tuple[jax.Array, jax.Array, list[jax.Array]]:
        del up_to
        padded = np.zeros((self._scenarios, scores.shape[1] + 1), np.int16)
        padded[: len(scores), :-1] = scores
        rows, columns = _gathered(jnp.asarray(padded), self._rows, self._columns)
        return rows, columns, []


@jax.jit
def _gathered(scores: jax.Array, rows: jax.Array, columns: jax.Array) -> tuple[jax.Array, jax.Array]:
    def sums(members: jax.Array) -> jax.Array:
        found = jnp.zeros((scores.shape[0], members.shape[1]), jnp.int16)
        for place in range(members.shape[0]):
            found = found + scores[:, members[place]]
        return found

    return sums(rows), sums(columns)


def _groups(needed: int, most: int) -> int:
    """Return how many groups one call should take, so that as few as possible are worked on in vain at the end."""
    if needed <= most:
        return max(1, needed)
    return min(range(most // 2, most + 1), key=lambda size: (-(-needed // size) * size, -size))
