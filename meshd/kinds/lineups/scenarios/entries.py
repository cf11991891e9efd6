"""Entries: what the race model is told of each driver on a slate."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One driver. Points are in units; whatever is None is not known."""

    salary: int
    average: int = 0
    """The site's average points; 0 when the driver has none."""

    start: int | None = None
    """The starting position, from 1. Known for everyone who races, or for nobody."""

    skill: float | None = None
    """In standard deviations above the field's mean; otherwise salary and average points tell it."""

    mean: int | None = None
    """Expected points by somebody's projection, which the simulated ones then follow."""

    sd: int | None = None
    """Their standard deviation, which the simulated one then follows as far as a race allows."""

    withdrawn: bool = False
    """A late scratch: scores 0 in every race and takes nobody's place."""
