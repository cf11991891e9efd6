"""Tiles: the rectangles of lineups that a kernel works on at once, laid over the tables of all families.

A tile takes `rows` subsets from one table and `columns` from another, and scores every pairing. Tiles stand at fixed
places of their family's table, so some pairings at the ragged edge are no lineups, and are never read. A tile in which
no lineup is wanted is left out.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.enumeration import Lineups, Step, Strip


@dataclass(frozen=True, slots=True)
class Shape:
    """How a kernel goes about it; every shape counts the same."""

    tiles: int
    """Tiles that one loop over the scenarios serves."""

    rows: int
    columns: int
    unroll: int
    """Scenarios that one turn of the loop takes."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a tile and a step have in common."""

    tile: int
    step: Step
    in_step: tuple[slice, slice]
    in_tile: tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Table:
    """Strips side by side, each filled up to whole tiles, so that no tile reaches over its strip's end."""

    strips: tuple[Strip, ...]
    starts: tuple[int, ...]
    width: int


def table_of(strips: list[Strip], side: int) -> Table:
    """Return the table of the strips, with tiles of `side` subsets."""
    starts: list[int] = []
    width = 0
    for strip in strips:
        starts.append(width)
        width += -(-strip.length // side) * side
    return Table(tuple(strips), tuple(starts), width)


class Tiling:
    """The tiles of one slate in one shape."""

    def __init__(self, lineups: Lineups, shape: Shape, wanted: NDArray[np.bool_] | None = None) -> None:
        """Lay the tiles; without those that hold none of the `wanted` lineups, if any are named."""
        self.shape = shape
        self.rows = table_of([family.rows for family in lineups.families], shape.rows)
        self.columns = table_of([family.columns for family in lineups.families], shape.columns)
        corners: list[tuple[int, int]] = []
        pieces: list[Piece] = []
        for at, family in enumerate(lineups.families):
            for row, column, shared in _tiles(family.steps, family.columns.length, shape):
                tile = len(corners)
                found = [Piece(tile, step, *_overlap(step, row, column, shape)) for step in shared]
                if wanted is None or any(_any_wanted(wanted, piece) for piece in found):
                    corners.append((self.rows.starts[at] + row, self.columns.starts[at] + column))
                    pieces += found
        self._pieces = pieces
        self.corners = np.array(corners, np.int32).reshape(-1, 2)
        """Where each tile starts in the two tables."""

    def add_to(
        self, totals: NDArray[np.int32] | NDArray[np.int64], tiles: NDArray[np.int16] | NDArray[np.int32], first: int
    ) -> None:
        """Add what the tiles from number `first` on hold, [tiles, rows, columns], to the totals of their lineups."""
        last = bisect_left(self._pieces, first + len(tiles), key=_tile)
        for piece in self._pieces[bisect_left(self._pieces, first, key=_tile) : last]:
            block = totals[piece.step.lineups].reshape(piece.step.rows, piece.step.columns)
            block[piece.in_step] += tiles[piece.tile - first][piece.in_tile]


def cells_of(lineups: Lineups, shape: Shape) -> int:
    """Return how many pairings all tiles of a shape hold, lineups or not."""
    tiles = sum(1 for family in lineups.families for _ in _tiles(family.steps, family.columns.length, shape))
    return -(-tiles // shape.tiles) * shape.tiles * shape.rows * shape.columns


def _tile(piece: Piece) -> int:
    return piece.tile


def _any_wanted(wanted: NDArray[np.bool_], piece: Piece) -> bool:
    return bool(wanted[piece.step.lineups].reshape(piece.step.rows, piece.step.columns)[piece.in_step].any())


def _tiles(steps: tuple[Step, ...], columns: int, shape: Shape) -> Iterator[tuple[int, int, list[Step]]]:
    """Yield row, column and steps of each tile that holds a lineup, column by column."""
    for column in range(0, columns, shape.columns):
        over = [
            step
            for step in steps
            if step.first_column < column + shape.columns and step.first_column + step.columns > column
        ]
        for row in range(0, max((step.rows for step in over), default=0), shape.rows):
            yield row, column, [step for step in over if step.rows > row]


def _overlap(step: Step, row: int, column: int, shape: Shape) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    rows = min(step.rows - row, shape.rows)
    first = max(column, step.first_column)
    last = min(column + shape.columns, step.first_column + step.columns)
    in_step = slice(row, row + rows), slice(first - step.first_column, last - step.first_column)
    return in_step, (slice(0, rows), slice(first - column, last - column))
