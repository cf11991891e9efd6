# pyright: basic
"""The slates that the optimizer's bench asks for lineups of: real files where they are, and look-alikes."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.rules import Rules
from meshd.kinds.lineups.input.salaries import read_salaries
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.field import race_model
from meshd.kinds.lineups.scenarios.race import scores
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS, units
from meshd.kinds.lineups.scenarios.tracks import DEFAULT_PRESET, PRESETS

REAL_SLATE = Path(__file__).resolve().parents[3] / "shared" / "data" / "nascar-dk" / "NASweek4.csv"
"""The Las Vegas race of 2023: 36 drivers."""

CAP = 50_000
HOLDOUT = 20_480


@dataclass(frozen=True)
class Slate:
    """Drivers, and races that are simulated once."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def lineups(self) -> Lineups:
        return Lineups(len(self.entries), 6)

    @property
    def rules(self) -> Rules:
        return Rules(tuple(entry.salary for entry in self.entries), cap=CAP)

    def salary_file(self) -> str:
        """Return the slate as DraftKings would let one download it."""
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow(["Position", "Name + ID", "Name", "ID", "Roster Position", "Salary", "AvgPointsPerGame"])
        for at, entry in enumerate(self.entries):
            name = f"Driver {at}"
            writer.writerow(["D", f"{name} ({100 + at})", name, 100 + at, "D", entry.salary, entry.average / 20])
        return out.getvalue()


class SimulatedRaces:
    """Races of a slate, kept from step to step as a worker keeps them."""

    def __init__(self, slate: Slate, races: int) -> None:
        self._model = race_model(slate.entries, track=PRESETS[DEFAULT_PRESET], scoring=DRAFTKINGS, seed=1)
        self._races = races
        self._kept: dict[int, np.ndarray] = {}
        self.key = slate.name, races

    def chunk(self, number: int) -> np.ndarray:
        return self._get(number)[: min(CHUNK_SCENARIOS, self._races - number * CHUNK_SCENARIOS)]

    def fresh(self, number: int) -> np.ndarray:
        return self._get((1 << 32) + number)[: min(CHUNK_SCENARIOS, HOLDOUT - number * CHUNK_SCENARIOS)]

    def _get(self, number: int) -> np.ndarray:
        if number not in self._kept:
            self._kept[number] = scores(self._model, number)
        return self._kept[number]


def slates() -> tuple[Slate, Slate]:
    """Return one of 36 and one of 39 drivers."""
    if REAL_SLATE.is_file():
        drivers = read_salaries(REAL_SLATE.read_text("utf-8")).players
        small = tuple(Entry(driver.salary, units(driver.avg_points)) for driver in drivers)
        return Slate("Las Vegas 2023", small), invented(39)
    return invented(36), invented(39)


def invented(drivers: int) -> Slate:
    """Return a slate that looks like those of 2023: a few dear drivers, many cheap ones, averages that follow."""
    draw = np.random.default_rng(drivers)
    salaries = [4_600 + 100 * round(70 * (1 - place / drivers) ** 1.7) for place in range(drivers)]
    averages = [
        max(1.0, salary / 220 + noise) for salary, noise in zip(salaries, draw.normal(0, 5, drivers), strict=True)
    ]
    return Slate(f"invented, {drivers} drivers", tuple(map(Entry, salaries, map(units, averages))))
