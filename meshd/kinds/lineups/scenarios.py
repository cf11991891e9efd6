"""Simulated races, scored: whole numbers only, so that every device gets the same ones.

A race is drawn like this. Each driver has a skill, made of salary and average points. Skill plus the weekend's form
plus luck in qualifying gives the grid (unless it is given); skill plus form plus luck in the race gives the finish.
A driver drops out when luck and the race's common chaos fall below a line. The lead is split into stints and the
fastest laps into blocks, each handed to a driver near the front, so that both add up to the laps there are.

Scores are in units of 0.05 points, which DraftKings' rules never split. No floating point takes part in a draw, as
its last bits differ between processors and libraries.

The constants were chosen against 225 Cup races of 2019-2025: start and finish correlate at 0.44, 13% of cars drop
out (sd 10% between races), the winner leads 29% of the laps and the top leader 42%, ten drivers lead, the
winner takes 15% and the busiest driver 21% of the fastest laps, of which there are 82 for 100 laps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.limits import CHUNK_SCENARIOS

UNITS_PER_POINT = 20
"""Scores are whole multiples of 0.05 points."""

POINTS_BY_FINISH = (
    45, *range(42, 33, -1), *range(32, 22, -1), *range(21, 11, -1), *range(10, 0, -1)
)  # fmt: skip
"""DraftKings' points for finishing 1st to 40th; an extra point is lost after 1st (two), 10th, 20th and 30th."""

UNITS_PER_PLACE = 20
"""±1 point for each place gained or lost between start and finish."""

UNITS_PER_LAP_LED = 5
"""0.25 points."""

UNITS_PER_FASTEST_LAP = 9
"""0.45 points."""

BELL = 37_837
"""Standard deviation of a bell-shaped draw: the sum of four 16-bit numbers, less their mean."""

LINEUP_UNITS = (-8_000, 21_000)
"""No lineup scores outside: six drivers of at most 48 places each, and 0.7 points for each of at most 600 laps."""

_FORM_WEIGHT = 4
_SKILL_WEIGHT = 10
_QUALIFYING_WEIGHT = 8
_RACE_WEIGHT = 11
# With the grid known, form is partly known too: what qualifying tells moves from skill and form to the grid.
_KNOWN_GRID_WEIGHTS = (8, 3, 4)

_DROP_OUT_LINE = -94_500
_DROPPED_OUT = -(1 << 23)
"""Below any performance of a car that finishes (those stay within 2**22)."""

_INDEX_BITS = 6
"""Low bits of a sort key that carry the driver, so that keys never tie: up to 64 drivers."""

_STINTS = 16
_BLOCKS = 44
_FASTEST_LAPS_PERCENT = 82


def _ranks(*weights: int) -> NDArray[np.int64]:
    table = np.repeat(np.arange(len(weights)), weights)
    if len(table) != 256:
        raise ValueError(f"a rank table has 256 entries, not {len(table)}")
    return table


# Which place in the running order (or on the grid) a stint or block goes to, by a random byte.
_LEAD_BY_FINISH = _ranks(62, 40, 27, 24, 15, 13, 11, 9, 8, 7, 6, 5, 4, 4, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1)
_LEAD_BY_GRID = _ranks(64, 40, 25, 24, 16, 14, 11, 10, 8, 7, 6, 5, 4, 4, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1)
_FAST_BY_FINISH = _ranks(
    34, 24, 18, 16, 12, 12, 11, 9, 8, 8, 7, 6, 6, 5, 5, 5, 5, 5, 5, 5, 5, 5,
    4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 2, 2, 2,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RaceModel:
    """What the draws depend on: every field is whole numbers, one entry a driver, in slate order."""

    skill: NDArray[np.int32]
    grid: NDArray[np.int32] | None
    """Known starting positions, from 1; None when the grid is drawn for each race."""

    laps: int
    seed: int

    @property
    def drivers(self) -> int:
        """How many drivers start."""
        return len(self.skill)


def race_model(
    *, salaries: Sequence[int], average_points: Sequence[float], grid: Sequence[int] | None, laps: int, seed: int
) -> RaceModel:
    """Return the model of one race; a driver without average points is judged by salary alone."""
    by_salary = standardised(salaries)
    hundredths = [round(points * 100) for points in average_points]
    known = [index for index, points in enumerate(hundredths) if points != 0]
    by_points = list(by_salary)
    for index, value in zip(known, standardised([hundredths[index] for index in known]), strict=True):
        by_points[index] = value
    skill = standardised([2 * salary + points for salary, points in zip(by_salary, by_points, strict=True)])
    return RaceModel(
        skill=np.array(skill, np.int32),
        grid=None if grid is None else np.array(grid, np.int32),
        laps=laps,
        seed=seed,
    )


def standardised(values: Sequence[int]) -> list[int]:
    """Return the values shifted to mean 0, scaled to a standard deviation of `BELL` and held within three of them."""
    count, total = len(values), sum(values)
    distances = [count * value - total for value in values]
    deviation = isqrt(sum(distance * distance for distance in distances) // count) if count else 0
    if deviation == 0:
        return [0] * count
    return [max(-3 * BELL, min(3 * BELL, distance * BELL // deviation)) for distance in distances]


def scores(model: RaceModel, chunk: int) -> NDArray[np.int16]:
    """Return chunk `chunk` of the races as [CHUNK_SCENARIOS, drivers] scores in units of 0.05 points.

    A pure function of the model and the chunk's number: the same bits on any device, in any order.
    """
    return race_results(model, chunk).scores()


@dataclass(frozen=True, slots=True)
class RaceResults:
    """Raw outcomes of one chunk of races, each [CHUNK_SCENARIOS, drivers]."""

    start: NDArray[np.int32]
    finish: NDArray[np.int32]
    laps_led: NDArray[np.int32]
    fastest_laps: NDArray[np.int32]

    def scores(self) -> NDArray[np.int16]:
        """Score every driver by DraftKings' rules."""
        units = _FINISH_UNITS[self.finish]
        units += UNITS_PER_PLACE * (self.start - self.finish)
        units += UNITS_PER_LAP_LED * self.laps_led
        units += UNITS_PER_FASTEST_LAP * self.fastest_laps
        return units.astype(np.int16)


_FINISH_UNITS = np.array([0, *(UNITS_PER_POINT * points for points in POINTS_BY_FINISH), *([0] * 60)], np.int32)


def race_results(model: RaceModel, chunk: int) -> RaceResults:
    """Draw the races of one chunk."""
    races, drivers = CHUNK_SCENARIOS, model.drivers
    bits = np.random.Philox(key=np.array([model.seed, chunk], np.uint64))
    form, qualifying, luck, survival = _bells(bits, 4 * races * drivers).reshape(4, races, drivers)
    chaos = _bells(bits, races).reshape(races, 1)

    skill = model.skill[None, :]
    if model.grid is None:
        pace = _SKILL_WEIGHT * skill + _FORM_WEIGHT * form
        grid_order = _order(pace + _QUALIFYING_WEIGHT * qualifying)
        start = _positions(grid_order)
    else:
        skill_weight, grid_weight, form_weight = _KNOWN_GRID_WEIGHTS
        from_grid = np.array(standardised([-int(place) for place in model.grid]), np.int32)[None, :]
        pace = skill_weight * skill + grid_weight * from_grid + form_weight * form
        start = np.broadcast_to(model.grid, (races, drivers))
        grid_order = np.broadcast_to(np.argsort(model.grid, kind="stable").astype(np.int32), (races, drivers))
    # The unluckiest drop out first, and are classified last.
    running = pace + _RACE_WEIGHT * luck
    dropped_out = chaos + 2 * survival < _DROP_OUT_LINE
    order = _order(np.where(dropped_out, _DROPPED_OUT + 16 * (survival + 131_070), running))

    return RaceResults(
        start=start,
        finish=_positions(order),
        laps_led=_share_lead(bits, order, grid_order, model.laps),
        fastest_laps=_share_fastest(bits, order, model.laps * _FASTEST_LAPS_PERCENT // 100),
    )


def _bells(bits: np.random.Philox, count: int) -> NDArray[np.int32]:
    """Sums of four 16-bit draws: close to normal, bounded, and made of integers."""
    words = bits.random_raw(count)
    lanes = np.uint64(0x0000_FFFF_0000_FFFF)
    pairs = (words & lanes) + ((words >> np.uint64(16)) & lanes)
    sums = (pairs + (pairs >> np.uint64(32))) & np.uint64(0xFFFF_FFFF)
    return sums.astype(np.int32) - np.int32(131_070)


def _uniforms(bits: np.random.Philox, races: int, columns: int) -> NDArray[np.int32]:
    """16-bit numbers, [races, columns]; the byte order is fixed, so that every processor reads the same ones."""
    words = bits.random_raw(races * columns // 4)
    return words.astype("<u8", copy=False).view("<u2").reshape(races, columns).astype(np.int32)


def _order(performance: NDArray[np.int32]) -> NDArray[np.int32]:
    """Drivers from best to worst, per race. The driver rides in the key's low bits: no two keys are equal."""
    drivers = performance.shape[1]
    keys = (-performance << _INDEX_BITS) | np.arange(drivers, dtype=np.int32)
    keys.sort(axis=1)
    return keys & ((1 << _INDEX_BITS) - 1)


def _positions(order: NDArray[np.int32]) -> NDArray[np.int32]:
    races, drivers = order.shape
    places = np.empty(races * drivers, np.int32)
    places[_flat(order)] = np.tile(np.arange(1, drivers + 1, dtype=np.int32), races)
    return places.reshape(races, drivers)


def _flat(drivers_by_race: NDArray[np.int32], drivers: int = 0) -> NDArray[np.int64]:
    races, columns = drivers_by_race.shape
    return (drivers_by_race + (drivers or columns) * np.arange(races, dtype=np.int64)[:, None]).ravel()


def _pieces(cuts: NDArray[np.int32], total: int) -> NDArray[np.int32]:
    """Split `total` at random cuts into one piece more than there are cuts; the last one is never empty."""
    points = (cuts * np.int32(total)) >> 16
    points.sort(axis=1)
    return np.diff(points, axis=1, prepend=0, append=total).astype(np.int32)


def _totals(chosen: NDArray[np.int32], pieces: NDArray[np.int32], drivers: int) -> NDArray[np.int32]:
    races = chosen.shape[0]
    # bincount adds in float64; whole numbers this small stay exact in any order.
    sums = np.bincount(_flat(chosen, drivers), weights=pieces.ravel(), minlength=races * drivers)
    return sums.astype(np.int32).reshape(races, drivers)


def _share_lead(
    bits: np.random.Philox, order: NDArray[np.int32], grid_order: NDArray[np.int32], laps: int
) -> NDArray[np.int32]:
    """Laps led: early stints go by the grid, late ones by the finish, the last one to the winner."""
    races, drivers = order.shape
    draws = _uniforms(bits, races, 2 * _STINTS)
    choices = draws[:, :_STINTS]
    ranks = choices & 255
    by_finish = np.take_along_axis(order, (_LEAD_BY_FINISH[ranks] % drivers), axis=1)
    by_grid = np.take_along_axis(grid_order, (_LEAD_BY_GRID[ranks] % drivers), axis=1)
    late = (choices >> 8) * (_STINTS - 1) < 255 * np.arange(_STINTS, dtype=np.int32)
    leaders = np.where(late, by_finish, by_grid)
    leaders[:, -1] = order[:, 0]
    # Squared cuts crowd the start: many short stints early, long ones late, as dominance looks in the logs.
    halves = draws[:, _STINTS + 1 :] >> 1
    return _totals(leaders, _pieces((halves * halves) >> 14, laps), drivers)


def _share_fastest(bits: np.random.Philox, order: NDArray[np.int32], laps: int) -> NDArray[np.int32]:
    races, drivers = order.shape
    draws = _uniforms(bits, races, 2 * _BLOCKS)
    ranks = draws[:, :_BLOCKS] & 255
    quickest = np.take_along_axis(order, (_FAST_BY_FINISH[ranks] % drivers), axis=1)
    return _totals(quickest, _pieces(draws[:, _BLOCKS + 1 :], laps), drivers)
