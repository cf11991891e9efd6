# pyright: basic
"""The next lineup by mean as a linear program in whole numbers, for solvers that know nothing of lineups.

Rows are written down from a spec's rules as a person would, and share no code with the engine. Each lineup is asked for
given those that the engine chose before it, so that two lineups of equal worth cannot lead solver and engine apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from tests.support.lineups_by_hand import ByHand

DRIVERS = 36
TEAMS = 9


@dataclass(frozen=True)
class Row:
    """Low <= sum of weight x variable <= high."""

    weights: Mapping[int, int]
    low: int | None
    high: int | None


@dataclass(frozen=True)
class LinearProgram:
    """What is to be made as large as it can be, in variables of 0 and 1: one a driver, and then one a team."""

    values: tuple[int, ...]
    variables: int
    rows: tuple[Row, ...]

    def document(self) -> dict[str, object]:
        """Return it as JSON."""
        rows = [[sorted(row.weights.items()), row.low, row.high] for row in self.rows]
        return {"values": self.values, "variables": self.variables, "rows": rows}


def next_lineup(job: ByHand, picks: Sequence[tuple[str, ...]]) -> LinearProgram:
    """Return the program of the lineup after some that were chosen."""
    column = {str(driver["id"]): at for at, driver in enumerate(job.drivers)}
    given = [tuple(lineup) for lineup in cast("list[list[str]]", job.rules["existing_lineups"])]
    before = [*given, *picks]
    count = cast("int", job.resolved["lineup_count"])
    rows = [*_of_each(job, column), *_of_all(job, column, before, count - len(picks), count + len(given))]
    values = tuple(int(total) for total in job.races.sum(axis=0))
    return LinearProgram(values, len(column) + TEAMS, tuple(rows))


def _of_each(job: ByHand, column: Mapping[str, int]) -> list[Row]:
    rules, size = job.rules, job.size
    salaries = {column[str(driver["id"])]: cast("int", driver["salary"]) for driver in job.drivers}
    rows = [
        Row(dict.fromkeys(column.values(), 1), size, size),
        Row(salaries, cast("int", rules["salary_min"]), cast("int", rules["salary_cap"])),
        *(Row({column[who]: 1}, 1, 1) for who in job.ids("locked")),
        *(Row({column[who]: 1}, 0, 0) for who in job.ids("excluded") | job.ids("withdrawn")),
        *(
            Row({column[who]: 1 for who in lineup}, None, size - 1)
            for lineup in cast("list[list[str]]", rules["exclude_lineups"])
        ),
    ]
    for group in cast("list[dict[str, object]]", rules["groups"]):
        members = {column[who]: 1 for who in cast("list[str]", group["ids"])}
        least, most = cast("int", group["min"]), cast("int | None", group["max"])
        if group["if"] is None:
            rows.append(Row(members, least, most))
            continue
        when = column[str(group["if"])]
        rows.append(Row({**members, when: members.get(when, 0) - least}, 0, None))
        if most is not None:
            rows.append(Row({**members, when: members.get(when, 0) + size - most}, None, size))
    return [*rows, *_of_teams(job, column)]


def _of_teams(job: ByHand, column: Mapping[str, int]) -> list[Row]:
    most, least = cast("int | None", job.rules["max_from_team"]), cast("int | None", job.rules["min_from_team"])
    names = sorted({str(driver["team"]) for driver in job.drivers if driver["team"]})
    teams = [{column[str(driver["id"])]: 1 for driver in job.drivers if driver["team"] == name} for name in names]
    rows = [Row(team, None, most) for team in teams] if most is not None else []
    if least is not None:
        stacks = {len(column) + at: 1 for at in range(len(teams))}
        rows += [Row({**team, len(column) + at: -least}, 0, None) for at, team in enumerate(teams)]
        rows.append(Row(stacks, 1, None))
    return rows


def _of_all(
    job: ByHand, column: Mapping[str, int], before: Sequence[tuple[str, ...]], left: int, whole: int
) -> list[Row]:
    overlap, size = cast("int | None", job.rules["max_overlap"]), job.size
    shared = size - 1 if overlap is None else min(overlap, size - 1)
    rows = [Row({column[who]: 1 for who in lineup}, None, shared) for lineup in before]
    lacking: dict[int, int] = {}
    for driver in job.drivers:
        identity = str(driver["id"])
        uses = sum(identity in lineup for lineup in before)
        least, most = job.bounds(driver, whole)
        if uses >= most:
            rows.append(Row({column[identity]: 1}, 0, 0))
        if uses < least:
            lacking[column[identity]] = least - uses
    rows += [Row({at: 1}, 1, 1) for at, lack in lacking.items() if lack >= left]
    if lacking:
        rows.append(Row(dict.fromkeys(lacking, 1), sum(lacking.values()) - (left - 1) * size, None))
    return rows


def best_by_highs(program: LinearProgram) -> int | None:
    """Return the best value, as HiGHS proves it; None where no lineup keeps the rules."""
    matrix = np.zeros((len(program.rows), program.variables))
    for at, row in enumerate(program.rows):
        matrix[at, list(row.weights)] = list(row.weights.values())
    low = np.array([-np.inf if row.low is None else row.low for row in program.rows])
    high = np.array([np.inf if row.high is None else row.high for row in program.rows])
    goal = np.zeros(program.variables)
    goal[: len(program.values)] = [-float(value) for value in program.values]
    bounds: tuple = matrix, low, high
    found = milp(
        goal,
        integrality=np.ones(program.variables),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(*bounds),
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        return None
    return sum(value for value, taken in zip(program.values, found.x, strict=False) if taken > 0.5)


def random_spec(seed: int) -> dict[str, object]:
    """Return a NASCAR job by mean under rules of every kind, some of which may conflict."""
    draw = np.random.default_rng(seed)
    names = [f"Driver {number}" for number in range(DRIVERS)]
    salaries = [4_600 + 100 * round(65 * (1 - place / DRIVERS) ** 1.6) for place in range(DRIVERS)]
    order = draw.permutation(DRIVERS)

    def some(count: int) -> list[str]:
        return [names[at] for at in draw.choice(DRIVERS, count, replace=False)]

    marks = some(8)
    groups = [
        {
            "ids": some(int(draw.integers(2, 7))),
            "min": int(draw.integers(0, 3)),
            "max": int(draw.integers(2, 4)),
            "if": names[draw.integers(DRIVERS)] if draw.random() < 0.5 else None,
        }
        for _ in range(draw.integers(0, 4))
    ]
    rules: dict[str, object] = {
        "salary_cap": int(draw.choice([45_000, 50_000])),
        "salary_min": int(draw.choice([0, 44_500])),
        "locked": marks[: draw.integers(0, 2)],
        "excluded": marks[2:4],
        "withdrawn": marks[4:5],
        "groups": groups,
        "max_from_team": [None, 2, 3][draw.integers(3)],
        "min_from_team": [None, 2, 3][draw.integers(3)],
        "max_overlap": [None, 3, 4][draw.integers(3)],
        "exclude_lineups": [some(6) for _ in range(2)],
        "existing_lineups": [some(6) for _ in range(draw.integers(0, 3))],
        "exposure": {marks[5]: [0.0, 0.5], marks[6]: [0.3, 1.0]},
        "global_exposure_max": float(draw.choice([0.75, 1.0])),
    }
    if rules["max_from_team"] == 2:
        rules["min_from_team"] = [None, 2][draw.integers(2)]
    return {
        "drivers": [
            {
                "id": str(100 + number),
                "name": names[number],
                "salary": salaries[order[number]],
                "avg_points": float(round(40 - order[number] + draw.normal(0, 6), 2)),
                "team": f"Team {number % TEAMS}" if number < 34 else "",
            }
            for number in range(DRIVERS)
        ],
        "objective": "mean",
        "constraints": rules,
        "lineup_count": 8,
        "scenarios": 2_048,
        "holdout": 1_000,
        "randomness": float(draw.choice([0.0, 3.0])),
        "seed": seed,
    }
