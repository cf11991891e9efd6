"""Real salary files beside the results of their races."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS, units
from tests.kinds.lineups.scenarios.race_logs import LoggedRace

DRAFTKINGS_FILES = {
    "NASweek1.csv": "2023/02/26",
    "NASweek2.csv": "2023/03/05",
    "NASweek3.csv": "2023/03/12",
    "NASweek4.csv": "2023/03/19",
}
"""The file of each week, and the day of its race."""


@dataclass(frozen=True)
class JudgedSlate:
    """One file and its race; arrays are in the file's order."""

    file: str
    race: LoggedRace
    names: tuple[str, ...]
    salaries: NDArray[np.int64]
    averages: NDArray[np.float64]
    raced: NDArray[np.bool_]
    starts: NDArray[np.int64]
    points: NDArray[np.int64]
    """What DraftKings gave, in units; 0 for who did not race."""

    def entries(self) -> list[Entry]:
        """Return what was known before the race; who did not race has withdrawn."""
        return [
            Entry(
                salary=int(salary),
                average=units(float(average)),
                start=int(start) if raced else None,
                withdrawn=not raced,
            )
            for salary, average, start, raced in zip(self.salaries, self.averages, self.starts, self.raced, strict=True)
        ]


def read_slates(folder: Path, races: list[LoggedRace]) -> list[JudgedSlate]:
    """Return the four Cup slates in the order of their races."""
    by_date = {race.date: race for race in races}
    return [_slate(folder, file, by_date[date]) for file, date in DRAFTKINGS_FILES.items()]


def _slate(folder: Path, file: str, race: LoggedRace) -> JudgedSlate:
    text = (folder / "nascar-dk" / file).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    places = {folded(driver): place for place, driver in enumerate(race.drivers)}
    at = np.array([places.get(folded(row["Name"]), -1) for row in rows])
    raced = at >= 0
    return JudgedSlate(
        file=file,
        race=race,
        names=tuple(folded(row["Name"]) for row in rows),
        salaries=np.array([int(row["Salary"]) for row in rows]),
        averages=np.array([float(row["AvgPointsPerGame"]) for row in rows]),
        raced=raced,
        starts=np.where(raced, race.start[at], 0),
        points=np.where(raced, race.points(DRAFTKINGS)[at], 0),
    )


def folded(name: str) -> str:
    """Return a name as both sources spell it."""
    return name.replace(".", "").replace(" Jr", "").casefold().strip()
