"""One optimization, read from a resolved spec: drivers in a fixed order, the race model, what is feasible."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.field import race_model
from meshd.kinds.lineups.scenarios.model import RaceModel
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS, units
from meshd.kinds.lineups.scenarios.tracks import read_track
from meshd.kinds.lineups.spec import ROSTER_SIZE


@dataclass(frozen=True)
class Problem:
    """The drivers are ordered by id, so that neither the answer nor a tie depends on the file's order."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    salaries: NDArray[np.int64]
    model: RaceModel
    objective: str
    lineup_count: int
    scenarios: int
    salary_cap: int
    salary_min: int

    @property
    def drivers(self) -> int:
        """How many drivers are on the slate."""
        return len(self.ids)

    @property
    def chunks(self) -> int:
        """How many units of work every phase has."""
        return -(-self.scenarios // CHUNK_SCENARIOS)

    @cached_property
    def enumeration(self) -> Lineups:
        """All lineups, numbered."""
        return Lineups(self.drivers, ROSTER_SIZE)

    @property
    def lineups(self) -> int:
        """How many lineups there are, feasible or not."""
        return self.enumeration.total

    @cached_property
    def feasible(self) -> NDArray[np.int64]:
        """The numbers of the lineups that the salary bounds allow, ascending.

        Raises:
            BadInput: there are fewer than were asked for.
        """
        costs = self.enumeration.sums(self.salaries.astype(np.int32))
        allowed = np.flatnonzero((costs >= self.salary_min) & (costs <= self.salary_cap))
        if len(allowed) < self.lineup_count:
            bounds = f"cost at most {self.salary_cap:,}"
            if self.salary_min:
                bounds = f"cost {self.salary_min:,} to {self.salary_cap:,}"
            raise BadInput(
                f"{self.lineup_count:,} lineups were asked for; only {len(allowed):,} of {self.lineups:,} {bounds}.",
                field="lineup_count",
                hint="Ask for fewer lineups, or widen the salary bounds.",
            )
        return allowed.astype(np.int64)

    def races_in(self, chunk: int) -> int:
        """Return how many of a chunk's races count: the last chunk may be cut short."""
        return min(CHUNK_SCENARIOS, self.scenarios - chunk * CHUNK_SCENARIOS)

    def ranked(self, lineups: NDArray[np.int64], *values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the lineups by descending values, then by their drivers' ids: an order without ties."""
        members = self.enumeration.members(lineups)
        keys = [*(members[:, place] for place in reversed(range(6))), *(-value for value in reversed(values))]
        return lineups[np.lexsort(keys)]

    def highest(self, lineups: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the `lineup_count` lineups of highest value, ties broken by ids."""
        at = len(values) - self.lineup_count
        kept = values >= np.partition(values, at)[at]
        return self.ranked(lineups[kept], values[kept])[: self.lineup_count]


def read_problem(resolved: Document) -> Problem:
    """Return the problem that a resolved spec states; the spec has been validated."""
    drivers = sorted(cast("list[dict[str, object]]", resolved["drivers"]), key=lambda driver: str(driver["id"]))
    grid = cast("dict[str, int] | None", resolved["grid"])
    ids = tuple(str(driver["id"]) for driver in drivers)
    salaries = [cast("int", driver["salary"]) for driver in drivers]
    return Problem(
        ids=ids,
        names=tuple(str(driver["name"]) for driver in drivers),
        salaries=np.array(salaries, np.int64),
        model=race_model(
            [
                Entry(
                    salary=salary,
                    average=units(cast("float", driver["avg_points"])),
                    start=None if grid is None else grid[identity],
                )
                for identity, salary, driver in zip(ids, salaries, drivers, strict=True)
            ],
            track=read_track({"laps": cast("int", resolved["laps"])}),
            scoring=DRAFTKINGS,
            seed=cast("int", resolved["seed"]),
        ),
        objective=str(resolved["objective"]),
        lineup_count=cast("int", resolved["lineup_count"]),
        scenarios=cast("int", resolved["scenarios"]),
        salary_cap=cast("int", resolved["salary_cap"]),
        salary_min=cast("int", resolved["salary_min"]),
    )
