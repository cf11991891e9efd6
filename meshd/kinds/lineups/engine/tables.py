"""Sums over subsets, scenario by scenario, laid out as kernels read them.

In host memory they are contiguous slices added up; an accelerator gathers them from the scores itself, so that a
hundred times fewer bytes travel there.
"""

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.enumeration import Strip
from meshd.kinds.lineups.engine.subsets import add_largest, subset_sums, subsets
from meshd.kinds.lineups.engine.tiles import Table

ALIGNMENT = 64
"""Bytes. XLA reads an array that starts on such a boundary where it lies; others it copies."""


def aligned(rows: int, columns: int) -> NDArray[np.int16]:
    """Return an array of zeros that XLA need not copy."""
    size = rows * columns * 2
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(np.int16).reshape(rows, columns)


class HostTables:
    """The sums of some scenarios, [scenarios, subsets], as rows and as columns."""

    def __init__(self, rows: Table, columns: Table, scenarios: int) -> None:
        self.rows = aligned(scenarios, rows.width)
        self.columns = aligned(scenarios, columns.width)
        placed = [
            (strip, array, start)
            for table, array in ((rows, self.rows), (columns, self.columns))
            for strip, start in zip(table.strips, table.starts, strict=True)
        ]
        self._placed = sorted(placed, key=lambda place: place[0].size)

    def fill(self, scores: NDArray[np.int16], up_to: int) -> None:
        """Put in the sums of the scores, [scenarios, players], and zeros behind them up to scenario `up_to`."""
        known: dict[tuple[bool, int], tuple[Strip, NDArray[np.int16]]] = {}
        for strip, array, start in self._placed:
            out = array[: len(scores), start : start + strip.length]
            facing = strip.facing(scores)
            smaller = known.get((strip.back, strip.size - 1))
            if strip.size > 1 and smaller is not None and smaller[0].reach >= strip.reach - 1:
                add_largest(facing, smaller[1], strip.size, out=out)
            else:
                subset_sums(facing, strip.size, out=out)
            known[strip.back, strip.size] = strip, out
        self.rows[len(scores) : up_to] = 0
        self.columns[len(scores) : up_to] = 0


def members_of(table: Table, players: int) -> NDArray[np.int32]:
    """Return the members of every subset of a table, [size, subsets]; `players` stands for nobody."""
    size = max((strip.size for strip in table.strips), default=0)
    members = np.full((table.width, size), players, np.int32)
    for strip, start in zip(table.strips, table.starts, strict=True):
        listed = subsets(strip.reach, strip.size)
        members[start : start + strip.length, : strip.size] = players - 1 - listed if strip.back else listed
    return np.ascontiguousarray(members.T)
