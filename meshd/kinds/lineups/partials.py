"""What spans of a lineup job yield: exact sums and counts that add up in any order, on any device."""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.limits import MAX_DESCRIBED, MAX_DRIVERS, MAX_SCENARIOS
from meshd.kinds.lineups.scenarios import LINEUP_UNITS

MAX_DEVICES = 64
"""Devices that one job's partials may name: more machines than one person owns."""

MAX_DEVICE_CHARACTERS = 80
"""The longest device name that is kept."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What the work took; it says nothing about the answer, and differs from device to device."""

    microseconds: int = 0
    elements: int = 0
    """Lineups x races that were counted."""

    devices: frozenset[str] = frozenset()

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(
            self.microseconds + other.microseconds,
            self.elements + other.elements,
            frozenset(sorted(self.devices | other.devices)[:MAX_DEVICES]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over races: what means and standard deviations of every lineup follow from."""

    races: int
    sums: NDArray[np.int64]
    products: NDArray[np.int64]
    """Sum of score x score for each pair of drivers."""

    effort: Effort = Effort()


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How often each of some lineups scored what."""

    races: int
    lineups: NDArray[np.int64]
    low: int
    """The score of the first bin; it also counts everything below, as the last one counts everything above."""

    counts: NDArray[np.int32]
    """[lineups, bins], one bin a score."""

    effort: Effort = Effort()


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """In how many races each feasible lineup reached the threshold."""

    races: int
    threshold: int
    counts: NDArray[np.int32]
    effort: Effort = Effort()


Partial: TypeAlias = Moments | Histogram | Counts


def merge(one: Partial, other: Partial) -> Partial:
    """Join the partials of two disjoint spans of one phase.

    Raises:
        BadInput: they are not of the same phase of the same job.
    """
    match one, other:
        case Moments(), Moments() if one.sums.shape == other.sums.shape:
            return Moments(
                one.races + other.races,
                one.sums + other.sums,
                one.products + other.products,
                one.effort + other.effort,
            )
        case Histogram(), Histogram() if (
            one.low == other.low
            and one.counts.shape == other.counts.shape
            and np.array_equal(one.lineups, other.lineups)
        ):
            return Histogram(
                one.races + other.races,
                one.lineups,
                one.low,
                one.counts + other.counts,
                one.effort + other.effort,
            )
        case Counts(), Counts() if one.threshold == other.threshold and one.counts.shape == other.counts.shape:
            return Counts(one.races + other.races, one.threshold, one.counts + other.counts, one.effort + other.effort)
        case _:
            raise BadInput("Two partials of different work cannot be merged.", hint="Submit the job again.")


_HEADER = struct.Struct("<4sBBIqIIQQHQ")
"""Magic, class, width of a count, races, low or threshold, rows, columns, microseconds, elements, and the lengths of
the devices' names and of the body before compression."""

_MAGIC = b"MLP1"
_MOMENTS, _HISTOGRAM, _COUNTS = 1, 2, 3
_BINS = LINEUP_UNITS[1] - LINEUP_UNITS[0] + 1


def pack(partial: Partial) -> bytes:
    """Return the partial as bytes: a header, the devices' names, and the arrays, compressed."""
    width, low, rows, columns = 8, 0, 0, 0
    match partial:
        case Moments():
            tag, rows = _MOMENTS, len(partial.sums)
            body = partial.sums.astype("<i8").tobytes() + partial.products.astype("<i8").tobytes()
        case Histogram():
            tag, low, (rows, columns) = _HISTOGRAM, partial.low, partial.counts.shape
            width = _width(partial.counts)
            body = partial.lineups.astype("<i8").tobytes() + partial.counts.astype(f"<u{width}").tobytes()
        case Counts():
            tag, low, rows = _COUNTS, partial.threshold, len(partial.counts)
            width = _width(partial.counts)
            body = partial.counts.astype(f"<u{width}").tobytes()
    effort = partial.effort
    names = json.dumps(sorted(effort.devices)).encode()
    header = _HEADER.pack(
        _MAGIC, tag, width, partial.races, low, rows, columns,
        effort.microseconds, effort.elements, len(names), len(body),
    )  # fmt: skip
    return header + names + zlib.compress(body, level=1)


def unpack(data: bytes) -> Partial:
    """Read what `pack` wrote.

    Raises:
        BadInput: the bytes are anything else; nothing larger than a real partial is ever unfolded.
    """
    try:
        return _unpack(data)
    except (struct.error, zlib.error, ValueError) as error:
        raise BadInput(
            "A lineups partial cannot be read.", hint="The checkpoint is damaged; submit the job again."
        ) from error


def _unpack(data: bytes) -> Partial:
    magic, tag, width, races, low, rows, columns, microseconds, elements, names_size, size = cast(
        "tuple[bytes, int, int, int, int, int, int, int, int, int, int]", _HEADER.unpack_from(data)
    )
    _require(magic == _MAGIC and 0 < races <= MAX_SCENARIOS and width in {1, 2, 4, 8})
    _require(size == _body_size(tag, width, rows, columns))
    unfold = zlib.decompressobj()
    body = unfold.decompress(data[_HEADER.size + names_size :], size + 1)
    _require(len(body) == size and unfold.eof and not unfold.unused_data)
    effort = Effort(microseconds, elements, _devices(data[_HEADER.size : _HEADER.size + names_size]))
    match tag:
        case 1:
            numbers = np.frombuffer(body, "<i8").astype(np.int64)
            return Moments(races, numbers[:rows], numbers[rows:].reshape(rows, rows), effort)
        case 2:
            counts = _counts(body[8 * rows :], width, races).reshape(rows, columns)
            _require(bool((counts.sum(axis=1) == races).all()))
            return Histogram(races, np.frombuffer(body[: 8 * rows], "<i8").astype(np.int64), low, counts, effort)
        case _:
            return Counts(races, low, _counts(body, width, races), effort)


def _body_size(tag: int, width: int, rows: int, columns: int) -> int:
    sizes: dict[int, tuple[bool, Callable[[], int]]] = {
        _MOMENTS: (0 < rows <= MAX_DRIVERS, lambda: 8 * rows * (rows + 1)),
        _HISTOGRAM: (0 < rows <= MAX_HISTOGRAMS and 0 < columns <= _BINS, lambda: rows * (8 + columns * width)),
        _COUNTS: (0 < rows <= comb(MAX_DRIVERS, 6), lambda: rows * width),
    }
    _require(tag in sizes)
    fits, size = sizes[tag]
    _require(fits)
    return size()


MAX_HISTOGRAMS = max(MAX_DESCRIBED, 4_096)
"""Rows of one histogram: the candidates of a thousand lineups, or what is described at the end."""


def _width(counts: NDArray[np.int32]) -> int:
    highest = int(counts.max(initial=0))
    return 1 if highest < 1 << 8 else 2 if highest < 1 << 16 else 4


def _counts(body: bytes, width: int, races: int) -> NDArray[np.int32]:
    counts = np.frombuffer(body, f"<u{width}")
    _require(int(counts.max(initial=0)) <= races)
    return counts.astype(np.int32)


def _devices(data: bytes) -> frozenset[str]:
    names: object = json.loads(data)
    if not isinstance(names, list):
        raise ValueError("devices")
    listed = cast("list[object]", names)
    _require(len(listed) <= MAX_DEVICES)
    return frozenset(str(name)[:MAX_DEVICE_CHARACTERS] for name in listed)


def _require(fact: bool) -> None:
    if not fact:
        raise ValueError("not a partial")
