"""Partials as bytes: a header that says what follows, and the arrays, compressed.

Bytes come from other devices. Nothing is unfolded before the header is found plausible, and never more than it says.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, prod
from types import MappingProxyType
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.limits import MAX_CANDIDATES, MAX_HISTOGRAM_CELLS, MAX_MARKS
from meshd.kinds.lineups.limits import MAX_COLUMNS, MAX_DRIVERS, MAX_LINEUPS, MAX_ROSTER, MAX_SCENARIOS
from meshd.kinds.lineups.partials import (
    MAX_DEVICE_CHARACTERS,
    MAX_DEVICES,
    Best,
    Counts,
    Effort,
    Gains,
    Histogram,
    Moments,
    Partial,
    Picks,
    Tally,
    Trail,
    Whole,
    narrowed,
)

_MAGIC = b"MLP3"
_LENGTH = 4
MAX_HEADER_BYTES = 16 << 10
"""Sixty-four devices' names take 6 kB."""

_BINS = 1 << 16
"""Scores have 16 bits."""

_WIDTHS = ("u1", "u2", "u4", "u8")
_NARROW = frozenset({"u1", "u2"})

_Read: TypeAlias = NDArray[np.int64] | NDArray[np.uint16]
"""Millions of small numbers are looked through as they came: made wide first, that takes five times as long."""

_LITTLE_REPEATS = frozenset({"counts", "gains"})
"""A number for each of millions of lineups: looking for longer repeats than runs takes twice as long and saves 5%."""


class _Header(msgspec.Struct, frozen=True):
    type: str
    numbers: list[int]
    arrays: list[tuple[str, list[int]]]
    """Type and shape of each; `u1` to `u8` for counts, `i8` for what may be negative."""

    microseconds: int
    elements: int
    devices: list[str]


@dataclass(frozen=True, slots=True)
class _Parts:
    """A partial taken apart."""

    numbers: list[int]
    arrays: list[_Read]
    effort: Effort

    def wide(self) -> list[NDArray[np.int64]]:
        """Return the arrays as numbers of any size."""
        return [array.astype(np.int64, copy=False) for array in self.arrays]


def pack(partial: Partial) -> bytes:
    """Return the partial as bytes."""
    numbers: list[int]
    arrays: Sequence[Whole]
    match partial:
        case Moments():
            name, numbers, arrays = "moments", [], [partial.sums, partial.products]
        case Histogram():
            name, numbers, arrays = "histogram", [partial.low], [partial.lineups, partial.counts]
        case Counts():
            name, numbers, arrays = "counts", [partial.threshold, partial.skipped], [partial.counts]
        case Gains():
            name, numbers, arrays = "gains", [partial.best], [partial.gains]
        case Picks():
            name, numbers, arrays = "picks", [partial.reached], [partial.lineups, partial.gains, partial.bounds]
        case Tally():
            name, numbers = "tally", [partial.covered, partial.best, partial.best_squares]
            arrays = [partial.lineups, partial.sums, partial.squares, partial.wins]
        case Trail():
            name, numbers, arrays = "trail", [], [partial.marks, partial.values, partial.spreads]
        case Best():
            name, numbers = "best", [partial.take, partial.covered]
            arrays = [partial.members, partial.values, partial.totals]
    types = [_narrowest(array) for array in arrays]
    effort = partial.effort
    header = _Header(
        name,
        [partial.races, *numbers],
        [(kind, list(array.shape)) for kind, array in zip(types, arrays, strict=True)],
        effort.microseconds,
        effort.elements,
        sorted(effort.devices),
    )
    told = msgspec.json.encode(header)
    fold = zlib.compressobj(level=1, strategy=zlib.Z_RLE if name in _LITTLE_REPEATS else zlib.Z_DEFAULT_STRATEGY)
    body = b"".join(
        [
            *(
                fold.compress(np.ascontiguousarray(array, f"<{kind}").data)
                for kind, array in zip(types, arrays, strict=True)
            ),
            fold.flush(),
        ]
    )
    return _MAGIC + len(told).to_bytes(_LENGTH, "little") + told + body


def unpack(data: bytes) -> Partial:
    """Read what `pack` wrote.

    Raises:
        BadInput: the bytes are anything else; nothing larger than a real partial is ever unfolded.
    """
    try:
        return _unpack(data)
    except (zlib.error, ValueError, OverflowError, msgspec.DecodeError) as error:
        raise BadInput(
            "A lineups partial cannot be read.", hint="The checkpoint is damaged; submit the job again."
        ) from error


def _unpack(data: bytes) -> Partial:
    start = len(_MAGIC) + _LENGTH
    stop = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    _require(data[: len(_MAGIC)] == _MAGIC and start < stop <= min(len(data), start + MAX_HEADER_BYTES))
    header = msgspec.json.decode(data[start:stop], type=_Header)
    _require(header.type in _READERS)
    reader = _READERS[header.type]
    shapes = [shape for _, shape in header.arrays]
    _require(len(header.numbers) == reader.numbers and 0 <= header.numbers[0] <= MAX_SCENARIOS)
    _require(header.numbers[0] > 0 or header.type == "best")
    _require(all(side >= reader.least for shape in shapes for side in shape))
    _require(all(kind == "i8" or kind in _WIDTHS for kind, _ in header.arrays) and reader.fits(shapes))
    _require(len(header.devices) <= MAX_DEVICES)
    sizes = [int(kind[1]) * prod(shape) for kind, shape in header.arrays]
    unfold = zlib.decompressobj()
    body = unfold.decompress(data[stop:], sum(sizes) + 1)
    _require(len(body) == sum(sizes) and unfold.eof and not unfold.unused_data)
    arrays: list[_Read] = []
    at = 0
    for (kind, shape), size in zip(header.arrays, sizes, strict=True):
        read = np.frombuffer(body, f"<{kind}", prod(shape), at).reshape(shape)
        array = read.astype(np.uint16) if kind in _NARROW else read.astype(np.int64)
        _require(kind != "u8" or bool((array >= 0).all()))
        arrays.append(array)
        at += size
    effort = Effort(
        header.microseconds,
        header.elements,
        frozenset(name[:MAX_DEVICE_CHARACTERS] for name in header.devices),
    )
    return reader.read(_Parts(header.numbers, arrays, effort))


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one type of partial is put together again."""

    numbers: int
    least: int
    """How short an array may be."""

    fits: Callable[[list[list[int]]], bool]
    read: Callable[[_Parts], Partial]


def _moments(parts: _Parts) -> Moments:
    sums, products = parts.wide()
    return Moments(parts.numbers[0], sums, products, parts.effort)


def _histogram(parts: _Parts) -> Histogram:
    races, low = parts.numbers
    lineups, counts = parts.arrays
    _require(bool((counts >= 0).all()) and bool((counts.sum(axis=1) == races).all()))
    return Histogram(races, lineups.astype(np.int64, copy=False), low, counts.astype(np.int32), parts.effort)


def _counts(parts: _Parts) -> Counts:
    races, threshold, skipped = parts.numbers
    counts = parts.arrays[0]
    _require(0 <= skipped <= races and bool((counts >= 0).all()) and int(counts.max()) <= races - skipped)
    return Counts(races, threshold, narrowed(counts), parts.effort, skipped)


def _gains(parts: _Parts) -> Gains:
    _require(bool((parts.arrays[0] >= 0).all()))
    races, best = parts.numbers
    return Gains(races, best, narrowed(parts.arrays[0]), parts.effort)


def _picks(parts: _Parts) -> Picks:
    races, reached = parts.numbers
    lineups, gains, bounds = parts.wide()
    return Picks(races, reached, lineups, gains, bounds, parts.effort)


def _tally(parts: _Parts) -> Tally:
    races, covered, best, best_squares = parts.numbers
    lineups, sums, squares, wins = parts.wide()
    _require(0 <= covered <= races and bool((wins >= 0).all()) and int(wins.max()) <= covered)
    return Tally(races, covered, best, best_squares, lineups, sums, squares, wins, parts.effort)


def _trail(parts: _Parts) -> Trail:
    marks, values, spreads = parts.wide()
    races = parts.numbers[0]
    _require(bool((np.diff(marks, prepend=0) > 0).all()) and int(marks[-1]) == races and bool((spreads >= 0).all()))
    return Trail(races, marks, values, spreads, parts.effort)


def _best(parts: _Parts) -> Best:
    races, take, covered = parts.numbers
    members, values, totals = parts.wide()
    _require(take > 0 and len(members) <= take and covered >= 0 and bool((members >= 0).all()))
    return Best(races, take, covered, members, values, totals, parts.effort)


def _alike(shapes: list[list[int]], arrays: int, most: int) -> bool:
    """Return whether there are so many arrays, each with one entry for each of at most `most` lineups."""
    return len(shapes) == arrays and len(shapes[0]) == 1 and shapes[0][0] <= most and shapes.count(shapes[0]) == arrays


def _fits_histogram(shapes: list[list[int]]) -> bool:
    if [len(shape) for shape in shapes] != [1, 2] or shapes[0][0] != shapes[1][0]:
        return False
    rows, bins = shapes[1]
    return rows <= MAX_CANDIDATES and bins <= _BINS and rows * bins <= MAX_HISTOGRAM_CELLS


def _fits_best(shapes: list[list[int]]) -> bool:
    if [len(shape) for shape in shapes] != [2, 1, 1]:
        return False
    lineups, size = shapes[0]
    return 0 < size <= MAX_ROSTER and lineups <= MAX_CANDIDATES + 1 and shapes[1] == shapes[2] == [lineups]


_READERS: Mapping[str, _Reader] = MappingProxyType(
    {
        "moments": _Reader(1, 1, lambda shapes: shapes in [[[n], [n, n]] for n in range(1, MAX_COLUMNS + 1)], _moments),
        "histogram": _Reader(2, 1, _fits_histogram, _histogram),
        "counts": _Reader(3, 1, lambda shapes: _alike(shapes, 1, comb(MAX_DRIVERS, 6)), _counts),
        "gains": _Reader(2, 1, lambda shapes: _alike(shapes, 1, comb(MAX_DRIVERS, 6)), _gains),
        "picks": _Reader(2, 0, lambda shapes: _alike(shapes, 3, MAX_LINEUPS), _picks),
        "tally": _Reader(4, 1, lambda shapes: _alike(shapes, 4, MAX_CANDIDATES), _tally),
        "trail": _Reader(1, 1, lambda shapes: _alike(shapes, 3, MAX_MARKS), _trail),
        "best": _Reader(3, 0, _fits_best, _best),
    }
)


def _narrowest(array: Whole) -> str:
    if int(array.min(initial=0)) < 0:
        return "i8"
    highest = int(array.max(initial=0))
    return next(kind for kind in _WIDTHS if highest < 1 << 8 * int(kind[1]))


def _require(fact: bool) -> None:
    if not fact:
        raise ValueError("not a partial")
