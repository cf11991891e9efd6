"""What is compared between real and simulated races: the same figures, taken the same way from both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.field import race_model
from meshd.kinds.lineups.scenarios.race import race_results
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS
from meshd.kinds.lineups.scenarios.tracks import Track
from tests.kinds.lineups.scenarios.race_logs import LoggedRace

Numbers = NDArray[np.int32] | NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """Races of one field, each array [races, drivers]."""

    skill: NDArray[np.float64]
    start: Numbers
    finish: Numbers
    led: Numbers
    fastest: Numbers
    completed: Numbers
    laps: int


def logged(race: LoggedRace) -> Outcomes:
    """Return a real race as outcomes of one."""
    one = np.newaxis
    return Outcomes(
        skill=race.skill[one],
        start=race.start[one],
        finish=race.finish[one],
        led=race.led[one],
        fastest=race.fastest[one],
        completed=race.completed[one],
        laps=race.laps,
    )


def simulated(race: LoggedRace, track: Track, *, seed: int = 1, chunk: int = 0) -> Outcomes:
    """Return one chunk of simulated races of a real race's field from its real grid."""
    model = race_model(entries_of(race), track=replace(track, laps=race.laps), scoring=DRAFTKINGS, seed=seed)
    drawn = race_results(model, chunk)
    rows = (drawn.start, drawn.finish, drawn.laps_led, drawn.fastest_laps, drawn.laps_completed)
    return Outcomes(race.skill[None, :], *rows, race.laps)


def entries_of(race: LoggedRace) -> list[Entry]:
    """Return the field with what was known before the race."""
    return [
        Entry(salary=0, skill=float(skill), start=int(start))
        for skill, start in zip(race.skill, race.start, strict=True)
    ]


def figures(outcomes: Sequence[Outcomes]) -> dict[str, float]:
    """Return each figure's mean over the fields, and how two of them spread over all races."""
    rows = [of_each_race(each) for each in outcomes]
    means = {name: float(np.mean([row[name].mean() for row in rows])) for name in rows[0]}
    for name in ("led, largest share", "leaders"):
        values = np.concatenate([row[name] for row in rows])
        means |= {f"{name}, {percent}%": float(np.percentile(values, percent)) for percent in (10, 90)}
    return means


def of_each_race(races: Outcomes) -> dict[str, NDArray[np.float64]]:
    """Return the figures of each race."""
    led = races.led / races.led.sum(axis=1, keepdims=True)
    fast = races.fastest / np.maximum(1, races.fastest.sum(axis=1, keepdims=True))
    by_led, by_fast = np.sort(led, axis=1)[:, ::-1], np.sort(fast, axis=1)[:, ::-1]
    won, near, back = races.finish == 1, (races.finish > 1) & (races.finish <= 5), races.finish > 20
    return {
        "start and finish, correlation": _correlation(races.start, races.finish),
        "skill and finish, correlation": -_correlation(races.skill, races.finish),
        "on the lead lap": (races.completed == races.laps).mean(axis=1),
        "laps completed, share": races.completed.mean(axis=1) / races.laps,
        "leaders": (led > 0).sum(axis=1).astype(np.float64),
        "one-lap leaders": (races.led == 1).sum(axis=1).astype(np.float64),
        "led, largest share": by_led[:, 0],
        "led, second share": by_led[:, 1],
        "led, third share": by_led[:, 2],
        "led by the winner": (led * won).sum(axis=1),
        "led by 2nd to 5th": (led * near).sum(axis=1),
        "led by those beyond 20th": (led * back).sum(axis=1),
        "led from the first row": (led * (races.start <= 2)).sum(axis=1),
        "led from beyond the 10th": (led * (races.start > 10)).sum(axis=1),
        "fastest laps, share of all": races.fastest.sum(axis=1) / races.laps,
        "fastest, largest share": by_fast[:, 0],
        "fastest, fifth share": by_fast[:, 4],
        "drivers with a fastest lap": (fast > 0).sum(axis=1).astype(np.float64),
        "fastest by the winner": (fast * won).sum(axis=1),
        "fastest by 2nd to 5th": (fast * near).sum(axis=1),
        "fastest by those beyond 20th": (fast * back).sum(axis=1),
        "led and fastest, correlation": _correlation(led, fast),
    }


def _correlation(one: Numbers, other: Numbers) -> NDArray[np.float64]:
    one = one - one.mean(axis=1, keepdims=True)
    other = other - other.mean(axis=1, keepdims=True)
    scale = np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
    return (one * other).sum(axis=1) / np.maximum(scale, 1e-12)
