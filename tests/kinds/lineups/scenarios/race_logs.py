"""Real Cup races beside the project, as arrays: what the race model is fitted to and judged by."""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.scenarios.scoring import Scoring

DRAFTED = {"Daytona International Speedway", "Talladega Superspeedway"}
ROAD = {
    "Charlotte Motor Speedway Road Course",
    "Chicago Street Race",
    "Circuit of The Americas",
    "DAYTONA Road Course",
    "Daytona International Speedway Road Course",
    "Indianapolis Motor Speedway Road Course",
    "Road America",
    "Sonoma Raceway",
    "Watkins Glen International",
}
SHORT = {
    "Bristol Motor Speedway",
    "Bristol Motor Speedway Dirt",
    "ISM Raceway",
    "Iowa Speedway",
    "Martinsville Speedway",
    "New Hampshire Motor Speedway",
    "North Wilkesboro Speedway",
    "Phoenix Raceway",
    "Richmond Raceway",
}
"""One mile or less; Dover and Gateway race like longer ones."""

FINISHED = {"running", "stage 1 winner", "stage 2 winner"}

HISTORY = 18
"""Races whose average running position stands for a driver's skill: half a season."""

LEAST_KNOWN = 20
JUDGED_SEASON = 2023
"""The season that no number of the model comes from; the real salary files are of it, too."""


@dataclass(frozen=True)
class LoggedRace:
    """One race. Arrays are in the order of the finish."""

    date: str
    track: str
    drivers: tuple[str, ...]
    start: NDArray[np.int64]
    led: NDArray[np.int64]
    fastest: NDArray[np.int64]
    completed: NDArray[np.int64]
    out: NDArray[np.bool_]
    """Who dropped out."""

    running: NDArray[np.float64]
    """Average running position."""

    past: dict[str, float] = field(default_factory=dict[str, float])
    """Average running position over each driver's last races, for those with at least three."""

    @property
    def season(self) -> int:
        return int(self.date[:4])

    @property
    def laps(self) -> int:
        return int(self.completed.max())

    @property
    def track_type(self) -> str:
        # Atlanta was rebuilt for racing in packs before the season of 2022.
        if self.track in DRAFTED or (self.track == "Atlanta Motor Speedway" and self.season >= 2022):
            return "superspeedway"
        if self.track in ROAD:
            return "road"
        return "short" if self.track in SHORT else "intermediate"

    @property
    def finish(self) -> NDArray[np.int64]:
        return np.arange(1, len(self.drivers) + 1)

    @property
    def skill(self) -> NDArray[np.float64]:
        """What was known before: past running positions, standardised; -1 for who has no past."""
        places = np.array([self.past.get(driver, np.nan) for driver in self.drivers])
        away = (np.nanmean(places) - places) / np.nanstd(places)
        return np.clip(np.nan_to_num(away, nan=-1.0), -3, 3)

    @property
    def is_known(self) -> bool:
        """Whether enough drivers have a past to tell their skill."""
        return len(self.past) >= LEAST_KNOWN

    def points(self, scoring: Scoring) -> NDArray[np.int64]:
        """Return what a site gave, in units."""
        by_finish = np.array([*scoring.finish, *([0] * 20)])
        return (
            by_finish[: len(self.drivers)]
            + scoring.place * (self.start - self.finish)
            + scoring.lap_led * self.led
            + scoring.fastest_lap * self.fastest
            + scoring.lap_completed * self.completed
        )


def read_races(folder: Path) -> list[LoggedRace]:
    """Return all points-paying Cup races, oldest first; heats, duels and all-star races are left out."""
    rows: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    text = (folder / "results" / "nascar-race-logs.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(io.StringIO(text)):
        if row["series"] == "Cup":
            rows[row["race_date"], row["track_name"]].append(row)
    races: list[LoggedRace] = []
    before: dict[str, list[float]] = defaultdict(list)
    for (date, track), listed in sorted(rows.items()):
        race = _race(date, track, sorted(listed, key=lambda row: int(row["finish"])))
        if race is None:
            continue
        past = {name: before[name][-HISTORY:] for name in race.drivers}
        race.past.update({name: sum(found) / len(found) for name, found in past.items() if len(found) >= 3})
        for name, place in zip(race.drivers, race.running, strict=True):
            before[name].append(float(place))
        races.append(race)
    return races


def _race(date: str, track: str, rows: list[dict[str, str]]) -> LoggedRace | None:
    def numbers(column: str) -> NDArray[np.float64]:
        return np.array([float(row[column] or 0) for row in rows])

    finish, led, completed = numbers("finish"), numbers("laps_led"), numbers("laps")
    if len(rows) < 34 or led.sum() != completed.max() or (finish != np.arange(1, len(rows) + 1)).any():
        return None
    return LoggedRace(
        date=date,
        track=track,
        drivers=tuple(row["driver_name"] for row in rows),
        start=numbers("start").astype(np.int64),
        led=led.astype(np.int64),
        fastest=numbers("fastest_lap").astype(np.int64),
        completed=completed.astype(np.int64),
        out=np.array([row["status"] not in FINISHED for row in rows]),
        running=numbers("avg"),
    )


def fitted_races(races: list[LoggedRace], track_type: str) -> list[LoggedRace]:
    """Return the races that the presets are fitted to: the present car's, and earlier ones where those are few."""
    scarce = track_type in {"superspeedway", "road"}
    return [
        race
        for race in races
        if race.track_type == track_type and race.season != JUDGED_SEASON and (race.season >= 2022 or scarce)
    ]


def judged_races(races: list[LoggedRace]) -> list[LoggedRace]:
    """Return the races that the model is judged by."""
    return [race for race in races if race.season == JUDGED_SEASON and race.is_known]
