"""Lineups chosen by hand: every lineup in every race, one rule of a spec after the other, no table and no bound.

It reads a spec as a person would, and shares no code with what is tested but the races themselves and the lines that
a simulated field draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from typing import cast

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.base import Document
from meshd.kinds.lineups import kind
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.problem import read_problem
from meshd.kinds.lineups.races import RaceCache, SimulatedRaces
from meshd.kinds.lineups.scenarios.race import scores

UNITS = 20


@dataclass
class ByHand:
    """A job, with everything that a lineup's value follows from."""

    spec: Document
    drivers: list[dict[str, object]] = field(init=False)
    rules: Mapping[str, object] = field(init=False)
    races: NDArray[np.int64] = field(init=False)
    fresh: NDArray[np.int64] = field(init=False)
    _points: dict[tuple[str, ...], NDArray[np.int64]] = field(
        init=False, default_factory=dict[tuple[str, ...], NDArray[np.int64]]
    )

    def __post_init__(self) -> None:
        resolved = kind.validate(self.spec)
        self.resolved = resolved
        self.drivers = sorted(cast("list[dict[str, object]]", resolved["drivers"]), key=lambda each: str(each["id"]))
        self.rules = cast("Mapping[str, object]", resolved["constraints"])
        problem = read_problem(resolved)
        moved = np.array(problem.moved, np.int16)
        drawn = SimulatedRaces(problem.model, problem.task.scenarios, problem.task.holdout, moved, RaceCache(scores))
        self.races, self.fresh = (
            np.concatenate([draw(chunk) for chunk in range(-(-races // CHUNK_SCENARIOS))]).astype(np.int64)
            for draw, races in ((drawn.chunk, problem.task.scenarios), (drawn.fresh, problem.task.holdout))
        )
        self.moved = {str(each["id"]): move for each, move in zip(self.drivers, problem.moved, strict=True)}

    @property
    def size(self) -> int:
        return cast("int", self.rules["roster_size"])

    def ids(self, mark: str) -> set[str]:
        """Return who is locked, excluded or withdrawn."""
        return {str(driver["id"]) for driver in self.drivers if driver[mark]}

    def points(self, lineup: tuple[str, ...], races: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return what a lineup scores in each race, in units."""
        columns = [at for at, driver in enumerate(self.drivers) if driver["id"] in lineup]
        if races is not None:
            return races[:, columns].sum(axis=1)
        if lineup not in self._points:
            self._points[lineup] = self.races[:, columns].sum(axis=1)
        return self._points[lineup]

    def feasible(self) -> list[tuple[str, ...]]:
        """Return every lineup that keeps the rules."""
        everyone = [str(driver["id"]) for driver in self.drivers]
        return [lineup for lineup in combinations(everyone, self.size) if self.keeps(lineup)]

    def keeps(self, lineup: tuple[str, ...]) -> bool:
        """Judge one lineup by the rules for lineups."""
        chosen, rules = set(lineup), self.rules
        held = [driver for driver in self.drivers if driver["id"] in chosen]
        salary = sum(cast("int", driver["salary"]) for driver in held)
        if not cast("int", rules["salary_min"]) <= salary <= cast("int", rules["salary_cap"]):
            return False
        if not self.ids("locked") <= chosen or chosen & (self.ids("excluded") | self.ids("withdrawn")):
            return False
        for group in cast("list[dict[str, object]]", rules["groups"]):
            among = len(chosen & set(cast("list[str]", group["ids"])))
            binds = group["if"] is None or group["if"] in chosen
            most = cast("int | None", group["max"])
            if binds and (among < cast("int", group["min"]) or (most is not None and among > most)):
                return False
        teams = [str(driver["team"]) for driver in held if driver["team"]]
        largest = max((teams.count(team) for team in teams), default=0)
        most, least = cast("int | None", rules["max_from_team"]), cast("int | None", rules["min_from_team"])
        if (most is not None and largest > most) or (least is not None and largest < least):
            return False
        return sorted(lineup) not in cast("list[list[str]]", rules["exclude_lineups"])

    def may_follow(self, lineup: tuple[str, ...], before: list[tuple[str, ...]], left: int, whole: int) -> bool:
        """Judge one lineup by those before it, with `left` to choose of `whole` in all."""
        overlap = cast("int | None", self.rules["max_overlap"])
        shared = [len(set(lineup) & set(other)) for other in before]
        if any(share == self.size or (overlap is not None and share > overlap) for share in shared):
            return False
        uses = {str(driver["id"]): sum(driver["id"] in other for other in before) for driver in self.drivers}
        lacking: dict[str, int] = {}
        for driver in self.drivers:
            identity = str(driver["id"])
            least, most = self.bounds(driver, whole)
            if identity in lineup and uses[identity] >= most:
                return False
            if least > uses[identity]:
                lacking[identity] = least - uses[identity]
        if any(lack >= left and identity not in lineup for identity, lack in lacking.items()):
            return False
        return len(lacking.keys() & set(lineup)) >= sum(lacking.values()) - (left - 1) * self.size

    def bounds(self, driver: Mapping[str, object], whole: int) -> tuple[int, int]:
        """Return in how many lineups a driver must be at least, and may be at most."""
        low, high = (Fraction(repr(share)) for share in cast("list[float]", driver["exposure"]))
        if not driver["locked"]:
            high = min(high, Fraction(repr(self.rules["global_exposure_max"])))
        low = max(low, Fraction(repr(self.rules["global_exposure_min"])))
        if driver["excluded"] or driver["withdrawn"]:
            low = Fraction(0)
        return -(-low.numerator * whole // low.denominator), high.numerator * whole // high.denominator

    def chosen(self, line: NDArray[np.int64] | None) -> list[tuple[str, ...]]:
        """Choose one lineup after the other, each time looking at all lineups in all races."""
        given = [tuple(lineup) for lineup in cast("list[list[str]]", self.rules["existing_lineups"])]
        count = cast("int", self.resolved["lineup_count"])
        lineups, picks = self.feasible(), list[tuple[str, ...]]()
        while len(picks) < count:
            before = [*given, *picks]
            open_lineups = [
                each for each in lineups if self.may_follow(each, before, count - len(picks), count + len(given))
            ]
            if not open_lineups:
                break
            picks.append(
                min(
                    open_lineups,
                    key=lambda each: (-self.value(each, before, line), -int(self.points(each).sum()), each),
                )
            )
        return picks

    def value(self, lineup: tuple[str, ...], before: list[tuple[str, ...]], line: NDArray[np.int64] | None) -> int:
        """Return what a lineup is worth by the objective, after those before it."""
        mine, others = self.points(lineup), [self.points(other) for other in before]
        objective = cast("Mapping[str, float]", self.resolved["objective"])
        match str(objective["kind"]):
            case "mean":
                return int(mine.sum())
            case "quantile":
                tail = (1 - Fraction(repr(objective["q"]))) * len(mine)
                return int(np.sort(mine)[-max(1, -(-tail.numerator // tail.denominator))])
            case "portfolio_emax":
                best = np.max(others, axis=0) if others else np.zeros(len(mine), np.int64)
                return int(np.maximum(mine - best, 0).sum()) if others else int(mine.sum())
            case name:
                assert line is not None
                free = np.ones(len(mine), bool)
                if name == "portfolio_cover" and others:
                    free = np.all([other < line for other in others], axis=0)
                return int(((mine >= line) & free).sum())
