"""What spans of a lineup job yield: exact sums and counts that add up in any order, on any device."""

from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput

MAX_DEVICES = 64
"""Devices that one job's partials may name: more machines than one person owns."""

MAX_DEVICE_CHARACTERS = 80
"""The longest device name that is kept."""


Whole: TypeAlias = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.uint16]
"""Whole numbers, one for each of millions of lineups: no wider than they have to be."""


def narrowed(numbers: Whole) -> Whole:
    """Return numbers that are not negative in as few bytes as hold them: a job keeps those of all its passes."""
    highest = int(numbers.max(initial=0))
    if highest <= np.iinfo(np.uint16).max:
        return numbers.astype(np.uint16, copy=False)
    return numbers.astype(np.int32, copy=False) if highest <= np.iinfo(np.int32).max else numbers


def signed(numbers: Whole) -> NDArray[np.int64] | NDArray[np.int32]:
    """Return the same numbers, to be subtracted from."""
    return numbers.astype(np.int32) if numbers.dtype == np.uint16 else cast("NDArray[np.int64]", numbers)


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
    """In how many races each allowed lineup reached the line."""

    races: int
    threshold: int
    """The line; where each race has its own, a checksum of what they follow from."""

    counts: Whole
    """Without the races that are skipped."""

    effort: Effort = Effort()
    skipped: int = 0
    """Races that were not counted in: in them, chosen lineups already reached the line, or did not."""


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """By how much each allowed lineup beats the best of the lineups chosen already, summed over races."""

    races: int
    best: int
    """Sum of the best scores that there were already."""

    gains: Whole
    effort: Effort = Effort()


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """Lineups chosen one after the other, each with the largest gain of all that were open."""

    races: int
    reached: int
    """What the lineups chosen before reach together: races covered, or the sum of the best scores."""

    lineups: NDArray[np.int64]
    gains: NDArray[np.int64]
    bounds: NDArray[np.int64]
    """At each choice, what no lineup outside the candidates could gain more than; -1 where there was none outside."""

    effort: Effort = Effort()


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """How some lineups did in races that had no part in choosing them."""

    races: int
    covered: int
    """Races in which one of them, or a lineup given beforehand, reached the line."""

    best: int
    """Sum of the best of their scores in each race, lineups given beforehand included."""

    best_squares: int
    """Of the same."""

    lineups: NDArray[np.int64]
    sums: NDArray[np.int64]
    squares: NDArray[np.int64]
    """Of each lineup's scores."""

    wins: NDArray[np.int64]
    """Races in which each reached the line."""

    effort: Effort = Effort()


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """What the objective of the chosen lineups came to after so many races."""

    races: int
    marks: NDArray[np.int64]
    """After how many, ascending; the last is all."""

    values: NDArray[np.int64]
    """The sum of the scores, the races that were won, or the quantile."""

    spreads: NDArray[np.int64]
    """The sum of their squares; of a quantile, how far apart the scores are one standard error to its either side."""

    effort: Effort = Effort()


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The best of the lineups that were looked at, best first, where an entry for each would be too much."""

    races: int
    """In which each was scored; 0 where none had to be."""

    take: int
    """How many are kept at most."""

    covered: int
    """Lineups that were looked at or ruled out."""

    members: NDArray[np.int64]
    """[lineups, players]"""

    values: NDArray[np.int64]
    totals: NDArray[np.int64]
    """What orders lineups of equal value; after that, their players do."""

    effort: Effort = Effort()


def best_of(
    members: NDArray[np.int64], values: NDArray[np.int64], totals: NDArray[np.int64], take: int
) -> NDArray[np.int64]:
    """Return where the `take` best of some different lineups are, best first."""
    return np.lexsort([*members.T[::-1], -totals, -values])[:take]


Partial: TypeAlias = Moments | Histogram | Counts | Gains | Picks | Tally | Trail | Best


def merge(one: Partial, other: Partial) -> Partial:
    """Join the partials of two disjoint spans of one phase.

    Raises:
        BadInput: they are not of the same phase of the same job.
    """
    races, effort = one.races + other.races, one.effort + other.effort
    match one, other:
        case Moments(), Moments() if one.sums.shape == other.sums.shape:
            return Moments(races, one.sums + other.sums, one.products + other.products, effort)
        case Histogram(), Histogram() if (
            one.low == other.low
            and one.counts.shape == other.counts.shape
            and np.array_equal(one.lineups, other.lineups)
        ):
            return Histogram(races, one.lineups, one.low, one.counts + other.counts, effort)
        case Counts(), Counts() if one.threshold == other.threshold and one.counts.shape == other.counts.shape:
            counts = narrowed(np.add(one.counts, other.counts, dtype=np.int32))
            return Counts(races, one.threshold, counts, effort, one.skipped + other.skipped)
        case Gains(), Gains() if one.gains.shape == other.gains.shape:
            gains = narrowed(np.add(one.gains, other.gains, dtype=np.int64))
            return Gains(races, one.best + other.best, gains, effort)
        case Tally(), Tally() if np.array_equal(one.lineups, other.lineups):
            return Tally(
                races,
                one.covered + other.covered,
                one.best + other.best,
                one.best_squares + other.best_squares,
                one.lineups,
                one.sums + other.sums,
                one.squares + other.squares,
                one.wins + other.wins,
                effort,
            )
        case Best(), Best() if (
            one.races == other.races and one.take == other.take and one.members.shape[1] == other.members.shape[1]
        ):
            members = np.concatenate([one.members, other.members])
            values, totals = np.concatenate([one.values, other.values]), np.concatenate([one.totals, other.totals])
            # Ranges share no lineup, but chains may have found the same one.
            _, different = np.unique(members, axis=0, return_index=True)
            members, values, totals = members[different], values[different], totals[different]
            kept = best_of(members, values, totals, one.take)
            covered = one.covered + other.covered
            return Best(one.races, one.take, covered, members[kept], values[kept], totals[kept], effort)
        case _:
            # Picks and trails, too: they are of one unit, which has nothing to be merged with.
            raise BadInput("Two partials of different work cannot be merged.", hint="Submit the job again.")
