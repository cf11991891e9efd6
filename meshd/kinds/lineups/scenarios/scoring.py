"""How both sites score a NASCAR race, in whole units of 0.05 points, which neither site's rules ever split."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

UNITS_PER_POINT = 20
"""Scores are whole multiples of 0.05 points."""

LINEUP_UNITS = (-8_000, 21_000)
"""No lineup scores outside: six drivers of at most 48 places each, and 0.7 points for each of at most 600 laps."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """What one site gives for one driver's race, in units."""

    site: str
    finish: tuple[int, ...]
    """For finishing 1st, 2nd, …; nothing beyond the last."""

    place: int
    """For each place gained from start to finish, and taken for each lost."""

    lap_led: int
    fastest_lap: int
    lap_completed: int


DRAFTKINGS = Scoring(
    site="draftkings",
    finish=tuple(
        UNITS_PER_POINT * points
        for points in (45, *range(42, 33, -1), *range(32, 22, -1), *range(21, 11, -1), *range(10, 0, -1))
    ),
    place=20,
    lap_led=5,
    fastest_lap=9,
    lap_completed=0,
)
"""45 for a win, then 42 falling by one a place and by two after the 10th, 20th and 30th; ±1, 0.25, 0.45."""

FANDUEL = Scoring(
    site="fanduel",
    finish=tuple(UNITS_PER_POINT * points for points in (43, 40, 38, *range(37, 0, -1))),
    place=10,
    lap_led=2,
    fastest_lap=0,
    lap_completed=2,
)
"""43, 40, 38, then 37 falling by one a place; ±0.5, 0.1 for a lap led, 0.1 for a lap completed."""

SCORING: Mapping[str, Scoring] = MappingProxyType({table.site: table for table in (DRAFTKINGS, FANDUEL)})
"""The tables by site. Both are proven: they account for the change of the sites' own averages from race to race."""


def units(points: float) -> int:
    """Return points as the nearest whole number of units."""
    return round(points * UNITS_PER_POINT)
