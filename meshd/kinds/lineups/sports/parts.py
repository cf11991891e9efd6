"""The parts of a lineup: sets of columns, of each of which it holds so many."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb


@dataclass(frozen=True, slots=True)
class Part:
    """Every lineup holds `count` of these columns."""

    columns: tuple[int, ...]
    count: int


def lineups_of(parts: Sequence[Part]) -> int:
    """Return how many lineups the parts make, other rules aside."""
    total = 1
    for part in parts:
        total *= comb(len(part.columns), part.count)
    return total
