"""A job of the lineup engine, driven in one process."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.bench import Bench
from meshd.kinds.lineups.engine.objectives import planner
from meshd.kinds.lineups.engine.planning import Planned
from meshd.kinds.lineups.engine.spans import Races, Span
from meshd.kinds.lineups.engine.steps import read_step
from meshd.kinds.lineups.engine.task import Task
from meshd.kinds.lineups.engine.work import run
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from tests.support.drive import Cut, Driven, drive, whole


class Patient:
    """A context that never cancels, or does so at the given question."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.cancel_at = cancel_at
        self.questions = 0
        self.reports: list[float] = []

    def cancelled(self) -> bool:
        self.questions += 1
        return self.cancel_at is not None and self.questions >= self.cancel_at

    def report(self, share: float, *, best: str = "", note: str = "") -> None:
        del best, note
        self.reports.append(share)


@dataclass(frozen=True)
class DrawnRaces:
    """Races in which every player's score is drawn by itself; small whole numbers, so that many are equal."""

    players: int
    races: int
    seed: int
    spread: int = 400
    holdout: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        return self.players, self.races, self.seed, self.spread, self.holdout

    def chunk(self, number: int) -> NDArray[np.int16]:
        return self._drawn(number)[: min(CHUNK_SCENARIOS, self.races - number * CHUNK_SCENARIOS)]

    def fresh(self, number: int) -> NDArray[np.int16]:
        return self._drawn((1 << 32) + number)[: min(CHUNK_SCENARIOS, self.holdout - number * CHUNK_SCENARIOS)]

    def all(self) -> NDArray[np.int64]:
        """Return all races, [races, players]."""
        chunks = range(-(-self.races // CHUNK_SCENARIOS))
        return np.concatenate([self.chunk(number) for number in chunks]).astype(np.int64)

    def all_fresh(self) -> NDArray[np.int64]:
        """Return all fresh races, [races, players]."""
        chunks = range(-(-self.holdout // CHUNK_SCENARIOS))
        return np.concatenate([self.fresh(number) for number in chunks]).astype(np.int64)

    def _drawn(self, number: int) -> NDArray[np.int16]:
        skill = np.random.default_rng(self.seed).integers(200, 900, self.players)
        draw = np.random.default_rng((self.seed, number))
        luck = draw.integers(-self.spread, self.spread, (CHUNK_SCENARIOS, self.players))
        return (skill + luck).astype(np.int16)


def solve(task: Task, races: Races, *, cut: Cut = whole, bench: Bench | None = None) -> Driven[Planned, Answer]:
    """Drive a task to its answer."""
    bench = bench or Bench()
    return drive(
        planner(),
        task,
        Answer,
        step_of=lambda planned: (planned.step, planned.units(task)),
        compute=lambda told, start, stop: run(read_step(told), Span(task, races, start, stop, Patient()), bench),
        cut=cut,
    )
