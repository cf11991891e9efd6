"""What is to be optimized, as the engine sees it: lineups, rules, an objective, and how many races it is judged by."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.opponents import Field, draw_field
from meshd.kinds.lineups.engine.rules import Rules, allowed
from meshd.kinds.lineups.engine.steps import Score
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS


@dataclass(frozen=True, slots=True)
class FieldLine:
    """The line is a share of a field of opponents to beat."""

    opponents: int
    quantile: int
    """In thousandths of a percent: 99,000 to be in the top percent."""

    seed: int
    cap: int | None
    floor: int
    temperature: float = 7.0
    """Points of mean by which a player has to be better to be taken e times as often; where no ownership is given."""

    ownership: tuple[float, ...] | None = None
    """The share of opponents that takes each player."""


LineSpec: TypeAlias = Score | FieldLine


@dataclass(frozen=True, slots=True)
class Mean:
    """The highest expected score."""


@dataclass(frozen=True, slots=True)
class Quantile:
    """The highest quantile, in thousandths of a percent: 99,000 for p99."""

    quantile: int


@dataclass(frozen=True, slots=True)
class Beat:
    """The most races at or above a line, each lineup for itself."""

    line: LineSpec


@dataclass(frozen=True, slots=True)
class Cover:
    """The most races in which at least one of the lineups reaches the line."""

    line: LineSpec


@dataclass(frozen=True, slots=True)
class ExpectedMax:
    """The highest expected score of the best of the lineups."""


Objective: TypeAlias = Mean | Quantile | Beat | Cover | ExpectedMax


@dataclass(frozen=True)
class Task:
    """One optimization. Equal tasks have equal answers."""

    lineups: Lineups
    rules: Rules
    diversity: Diversity
    objective: Objective
    scenarios: int
    bounds: tuple[int, int]
    """No lineup scores outside."""

    holdout: int = 0
    """Fresh races to judge the answer by."""

    # Of what is seen by others; how many they are decides nothing but time.
    candidates: int = field(default=0, compare=False)
    """How many lineups are looked at one by one before a pass; 0: as many as usual."""

    memory_bytes: int | None = field(default=None, compare=False)
    """What the process may hold; None: as much as the device has. It decides nothing but time, either."""

    @property
    def chunks(self) -> int:
        """How many units the phases over races have."""
        return -(-self.scenarios // CHUNK_SCENARIOS)

    @property
    def holdout_chunks(self) -> int:
        """How many units the phase over fresh races has."""
        return -(-self.holdout // CHUNK_SCENARIOS)

    def opponents(self, field: Field) -> NDArray[np.int64]:
        """Return the lineups that a field of opponents enters, [opponents, size].

        Raises:
            BadInput: hardly any lineup drawn is one.
        """
        return draw_field(field, self.rules.salaries, self.lineups.size)

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """Which of all lineups keep the rules; not to be written to."""
        return _allowed(self.lineups, self.rules)

    @cached_property
    def feasible(self) -> NDArray[np.int64]:
        """Their numbers, ascending: what partials have an entry for."""
        return _feasible(self.lineups, self.rules)


def known_members(task: Task, chosen: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the players of the lineups given beforehand, and behind these of those chosen."""
    members = task.lineups.members(np.array(chosen, np.int64))
    given = np.array(task.diversity.given, np.int64).reshape(-1, task.lineups.size)
    return np.concatenate([given, members])


@lru_cache(maxsize=2)
def _allowed(lineups: Lineups, rules: Rules) -> NDArray[np.bool_]:
    # A job reads its task anew for every span.
    mask = allowed(lineups, rules)
    mask.flags.writeable = False
    return mask


@lru_cache(maxsize=2)
def _feasible(lineups: Lineups, rules: Rules) -> NDArray[np.int64]:
    numbers = np.flatnonzero(_allowed(lineups, rules)).astype(np.int64)
    numbers.flags.writeable = False
    return numbers
