"""Calibration: drivers are made faster or slower until their simulated means are the projected ones.

What a race hands out is fixed by its rules, so the projections of one race only say how drivers differ: each step
compares them with the simulated means after shifting them to the same total. Where only some are projected, the others
have less for what these have more, and the shift is what that comes to when shared among all. The races that are
compared are always the same ones, and all is whole numbers, so every device finds the same model. A projection that no
pace can reach (more points than winning from there brings) is approached as far as the bounds allow.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.scenarios.model import ONE, RaceModel
from meshd.kinds.lineups.scenarios.quantiles import NORMAL_SD
from meshd.kinds.lineups.scenarios.race import scores
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT

STEPS = (*([1] * 6), 4, 4, 8, 8, 8)
"""How many chunks each step looks at: few while the way is long, more when it comes to tenths of a point."""

POINTS_PER_PACE = 26
"""About what one standard deviation of luck is worth in points in the middle of a field; a step divides by it."""

LONGEST_STEP = NORMAL_SD // 2
FURTHEST = 6 * NORMAL_SD
"""Nobody is made better or worse than that by a projection."""

LEAST_LUCK, MOST_LUCK = ONE // 4, 3 * ONE

CALIBRATION_SEED = (1 << 64) - 1
"""No job's seed: the races that are compared are not those that lineups are chosen by."""


def calibrated(model: RaceModel, means: Sequence[int | None], sds: Sequence[int | None]) -> RaceModel:
    """Return the model whose simulated means and standard deviations are the given ones, for those given.

    Both are in units of points, one entry a starter.
    """
    wanted = np.array([mean is not None for mean in means])
    wanted_sd = np.array([sd is not None and sd > 0 for sd in sds])
    if not (wanted.any() or wanted_sd.any()):
        return model
    mean = np.array([mean or 0 for mean in means], np.int64)
    sd = np.array([sd or 0 for sd in sds], np.int64)
    found = model.with_seed(CALIBRATION_SEED)
    more, of_races = 0, 0
    for chunks in STEPS:
        races = chunks * CHUNK_SCENARIOS
        sums, squares = _moments(found, chunks)
        edge, luck = found.edge, found.luck
        if wanted.any():
            missing = mean * races - sums
            if wanted.all():
                missing -= missing.sum() // len(missing)
            else:
                # What some are to have more, all others have less: everybody gives way by the same.
                if not of_races:
                    more, of_races = int(missing[wanted].sum()), races
                missing -= more * races // (of_races * len(missing))
            step = missing * NORMAL_SD // (races * POINTS_PER_PACE * UNITS_PER_POINT)
            moved = np.clip(edge + np.clip(step, -LONGEST_STEP, LONGEST_STEP), -FURTHEST, FURTHEST)
            edge = np.where(wanted, moved, edge).astype(np.int32)
        if wanted_sd.any():
            present = _deviations(sums, squares, races)
            # Half of the way in proportion: more luck also moves the others.
            scaled = np.clip(luck * (sd + present) // (2 * present), LEAST_LUCK, MOST_LUCK)
            luck = np.where(wanted_sd, scaled, luck).astype(np.int32)
        found = replace(found, edge=edge, luck=luck)
    return found.with_seed(model.seed)


def _moments(model: RaceModel, chunks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sums = np.zeros(len(model.starters), np.int64)
    squares = np.zeros_like(sums)
    for chunk in range(chunks):
        drawn = scores(model, chunk)[:, model.starters].astype(np.int64)
        sums += drawn.sum(axis=0)
        squares += (drawn * drawn).sum(axis=0)
    return sums, squares


def _deviations(sums: NDArray[np.int64], squares: NDArray[np.int64], races: int) -> NDArray[np.int64]:
    variances = (races * squares - sums * sums).tolist()
    return np.array([max(1, isqrt(max(0, variance)) // races) for variance in variances], np.int64)
