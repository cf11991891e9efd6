"""The field: from what a slate tells of its drivers to the model of their race."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from meshd.errors import BadInput
from meshd.kinds.lineups.scenarios.calibration import calibrated
from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.model import ONE, RaceModel
from meshd.kinds.lineups.scenarios.quantiles import NORMAL_SD, standardised
from meshd.kinds.lineups.scenarios.race import INDEX_BITS
from meshd.kinds.lineups.scenarios.scoring import Scoring
from meshd.kinds.lineups.scenarios.tracks import Track

SALARY_WEIGHT = 4
"""A salary knows more than an average of a few races: over the four real slates of 2023, finishing positions are
explained with weights of 0.56 for salary and 0.02 for average points. Later in a season averages tell more."""

AVERAGE_WEIGHT = 1

MOST_SKILL = 4
"""Standard deviations: a given skill beyond is held there."""


def race_model(entries: Sequence[Entry], *, track: Track, scoring: Scoring, seed: int) -> RaceModel:
    """Return the model of one race; asked again for the same race, it is there at once, under any seed.

    Skill is the given one, else it follows from salary and average points (salary alone where there are none). Given
    means and standard deviations are then followed by calibration, which takes 0.2 s.

    Raises:
        BadInput: fewer than two drivers start, or more than the draws can hold, or only some starting positions are
            known.
    """
    return _model(tuple(entries), track, scoring).with_seed(seed)


@lru_cache(maxsize=16)
def _model(entries: tuple[Entry, ...], track: Track, scoring: Scoring) -> RaceModel:
    columns = [column for column, entry in enumerate(entries) if not entry.withdrawn]
    field = [entries[column] for column in columns]
    if not 2 <= len(field) <= 1 << INDEX_BITS:
        raise BadInput(
            f"{len(field)} drivers start; a race is simulated for 2 to {1 << INDEX_BITS}.",
            field="drivers",
            hint="Send the whole slate, and mark only those as withdrawn who do not race.",
        )
    starts = [entry.start for entry in field if entry.start is not None]
    if starts and len(starts) < len(field):
        raise BadInput(
            f"Starting positions are known of {len(starts)} of {len(field)} drivers.",
            field="grid",
            hint="Give all positions or none; mark drivers who do not start as withdrawn.",
        )
    model = RaceModel(
        drivers=len(entries),
        starters=np.array(columns, np.int64),
        skill=np.array(_skills(field), np.int32),
        grid=np.array(starts, np.int32) if starts else None,
        edge=np.zeros(len(field), np.int32),
        luck=np.full(len(field), ONE, np.int32),
        track=track,
        scoring=scoring,
        seed=0,
    )
    return calibrated(model, [entry.mean for entry in field], [entry.sd for entry in field])


def _skills(field: Sequence[Entry]) -> list[int]:
    by_salary = standardised([entry.salary for entry in field])
    by_average = list(by_salary)
    known = [place for place, entry in enumerate(field) if entry.average != 0]
    for place, value in zip(known, standardised([field[place].average for place in known]), strict=True):
        by_average[place] = value
    both = zip(by_salary, by_average, strict=True)
    judged = standardised([SALARY_WEIGHT * salary + AVERAGE_WEIGHT * average for salary, average in both])
    return [
        skill if entry.skill is None else round(max(-MOST_SKILL, min(MOST_SKILL, entry.skill)) * NORMAL_SD)
        for skill, entry in zip(judged, field, strict=True)
    ]
