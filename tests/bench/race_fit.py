"""The numbers of the race model: `python -m tests.bench.race_fit [TYPE ...] [--evaluations N]` fits and prints them.

For each track type two kinds of numbers, from the race logs beside the project. Some follow from the logs at once: how
many cars drop out, when, and how much together; laps under green; laps down. The rest are searched for: random steps
from the numbers that are shipped, kept when the figures of simulated races (real fields, from their real grids) come
nearer to those of the real ones, in units of the real figures' standard errors. Printed are the numbers, then the
figures side by side. One evaluation takes 0.1 s; 500 leave nothing to gain by eye.
"""

import argparse
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from statistics import NormalDist

import numpy as np

from meshd.kinds.lineups.scenarios.tracks import PRESETS, RANGES, TRACK_TYPES, Track
from tests.kinds.lineups.scenarios.race_figures import figures, logged, simulated
from tests.kinds.lineups.scenarios.race_logs import LoggedRace, fitted_races, read_races

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

NORMAL = NormalDist()
NODES = [NORMAL.inv_cdf((2 * part + 1) / 1_024) for part in range(512)]
"""Equally likely values of the chaos of a race."""

SEARCHED = (
    "trouble", "trouble_cost", "skill", "grid", "form", "lead_lap", "closing", "lead_luck", "lead_grid", "lead_noise",
    "lead_reach", "lead_reach_sd", "lead_power", "lead_jitter", "fast_closing", "fast_noise", "fast_reach",
    "fast_power", "fast_jitter", "fast_lead",
)  # fmt: skip

MOST_TROUBLE_COST = 4.0
"""Beyond, a troubled car is last in any case, and the search wanders."""

FIELDS = 11
"""Of how many races, spread over the seasons, the fields are drawn for a step of the search."""

SLACK = 0.02
"""The share of a figure that is never worth chasing."""


def given_chaos(line: float, rho: float) -> list[float]:
    """Return the share that drops out at each node, for a one-factor normal copula."""
    return [NORMAL.cdf((line - sqrt(rho) * node) / sqrt(1 - rho)) for node in NODES]


def drop_outs(races: list[LoggedRace]) -> dict[str, object]:
    """Return how many drop out, how much together, and when."""
    cars, out = sum(len(race.drivers) for race in races), sum(int(race.out.sum()) for race in races)
    share = out / cars
    pairs = sum(int(race.out.sum()) * (int(race.out.sum()) - 1) for race in races)
    together = pairs / sum(len(race.drivers) * (len(race.drivers) - 1) for race in races)
    line = NORMAL.inv_cdf(share)
    low, high = 0.0, 0.9
    for _ in range(40):
        rho = (low + high) / 2
        found = float(np.mean(np.square(given_chaos(line, rho))))
        low, high = (rho, high) if found < together else (low, rho)
    shares = np.concatenate([(race.completed / race.laps)[race.out] for race in races])
    return {
        "dnf": round(share, 3),
        "rho": round(low, 3),
        "out": tuple(round(float(value), 2) for value in np.percentile(shares, np.linspace(0, 100, 9))),
    }


def fast_cars_survive(races: list[LoggedRace], track: Track) -> dict[str, object]:
    """Return the slope of a probit of survival on pace, from how much slower those were that dropped out."""
    known = [race for race in races if race.is_known]
    pace = np.concatenate([track.skill * race.skill + track.grid * grid_scores(race) for race in known])
    out = np.concatenate([race.out for race in known])
    share, spread = float(out.mean()), float(pace.std())
    apart = float(pace[~out].mean() - pace[out].mean()) / spread
    shift = apart * share * (1 - share) / NORMAL.pdf(NORMAL.inv_cdf(share))
    qualifying = np.mean([np.corrcoef(race.skill, grid_scores(race))[0, 1] for race in known])
    return {
        "pace_survival": round(shift / (spread * sqrt(1 - shift * shift)), 2),
        "qualifying": round(float(qualifying), 2),
    }


def grid_scores(race: LoggedRace) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return normal scores of the starting positions."""
    cars = len(race.drivers)
    scores = np.array([NORMAL.inv_cdf(1 - (2 * place + 1) / (2 * cars)) for place in range(cars)])
    return scores[np.argsort(np.argsort(race.start))]


def under_green(races: list[LoggedRace], dnf: float, rho: float) -> dict[str, object]:
    """Return the share of laps under green, its spread, and how it falls with chaos."""
    green = np.array([race.fastest.sum() / race.laps for race in races])
    out = np.array([race.out.mean() for race in races])
    shares = np.array(given_chaos(NORMAL.inv_cdf(dnf), rho))
    cars = np.mean([len(race.drivers) for race in races])
    seen = float(np.mean(shares * NODES)) / sqrt(shares.var() + float(np.mean(shares * (1 - shares))) / cars)
    chaos = float(np.corrcoef(green, out)[0, 1]) / seen
    return {
        "green": round(float(green.mean()), 3),
        "green_sd": round(float(green.std()), 3),
        "green_chaos": round(max(0.0, min(0.9, chaos)), 2),
    }


def laps_down(races: list[LoggedRace], track: Track) -> dict[str, object]:
    """Return how many laps down a standard deviation is, from the mean of those who are down by up to a dozen."""
    running = np.concatenate([race.laps - race.completed[~race.out] for race in races])
    lead_lap = float((running == 0).mean())
    line = NORMAL.inv_cdf(1 - lead_lap)
    below = line + NORMAL.pdf(line) / (1 - lead_lap)
    base = track.skill**2 + track.grid**2 + 2 * track.skill * track.grid * track.qualifying
    down = running[(running > 0) & (running <= 12)]
    return {"laps_down": round((float(down.mean()) - 0.5) / (below * sqrt(base + track.form**2 + 1)), 2)}


@dataclass(frozen=True)
class Target:
    """The figures of the real races, and how far they may be by chance."""

    real: dict[str, float]
    errors: dict[str, float]

    def distance(self, drawn: dict[str, float]) -> float:
        """Return the sum of squares of what is missing, in standard errors."""
        slack = {name: self.errors[name] + SLACK * abs(self.real[name]) for name in self.real}
        return sum(((drawn[name] - self.real[name]) / slack[name]) ** 2 for name in self.real)


def target_of(races: list[LoggedRace]) -> Target:
    """Return what simulated races should come near to."""
    each = [figures([logged(race)]) for race in races]
    real = figures([logged(race) for race in races])
    return Target(real, {name: float(np.std([row[name] for row in each])) / sqrt(len(races)) for name in real})


def drawn_figures(races: list[LoggedRace], track: Track) -> dict[str, float]:
    """Return the figures of a thousand simulated races of each field."""
    return figures([simulated(race, track, seed=9) for race in races])


def searched(races: list[LoggedRace], target: Target, track: Track, evaluations: int) -> Track:
    """Return a track whose figures are nearer to the target."""
    draw = np.random.default_rng(1)
    fields = [races[int(place)] for place in np.linspace(0, len(races) - 1, FIELDS)]
    best, width, failures = target.distance(drawn_figures(fields, track)), 0.3, 0
    for _ in range(evaluations):
        names = draw.choice(SEARCHED, size=draw.integers(1, 4), replace=False)
        tried = replace(
            track, **{str(name): stepped(str(name), getattr(track, str(name)), width, draw) for name in names}
        )
        distance = target.distance(drawn_figures(fields, tried))
        if distance < best:
            best, track, failures = distance, tried, 0
        else:
            failures += 1
            if failures > 25:
                width, failures = 0.7 * width, 0
    return track


def stepped(name: str, value: float, width: float, draw: np.random.Generator) -> float:
    """Return a number near the given one, within its range."""
    low, high = RANGES[name]
    high = MOST_TROUBLE_COST if name == "trouble_cost" else high
    if isinstance(value, int):
        return int(min(high, max(low, value + draw.choice([-1, 1]))))
    moved = (value + 0.05) * float(np.exp(width * draw.normal())) - 0.05
    return round(min(high, max(low, moved)), 3)


def fit(races: list[LoggedRace], track_type: str, evaluations: int) -> None:
    """Fit one track type, and print."""
    chosen = fitted_races(races, track_type)
    track = PRESETS[track_type]
    direct: dict[str, object] = drop_outs(chosen)
    track = replace(track, **direct)
    for more in (fast_cars_survive(chosen, track), under_green(chosen, track.dnf, track.rho), laps_down(chosen, track)):
        track = replace(track, **more)
    known = [race for race in chosen if race.is_known]
    target = target_of(known)
    track = searched(known, target, track, evaluations)
    drawn = drawn_figures(known, track)
    print(f"{track_type}: {len(chosen)} races, median {int(np.median([race.laps for race in chosen]))} laps")
    print(f"    {track}")
    print(f"    distance {target.distance(drawn):.1f} over {len(drawn)} figures")
    for name, real in target.real.items():
        error = target.errors[name]
        mark = "" if abs(drawn[name] - real) <= 2.5 * error else " (!)"
        print(f"    {name:32} real {real:7.3f} ± {error:.3f}   simulated {drawn[name]:7.3f}{mark}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the race model to the race logs beside the project.")
    parser.add_argument("types", nargs="*", metavar="TYPE", default=TRACK_TYPES)
    parser.add_argument("--evaluations", type=int, default=0, help="steps of the search; 0 compares what is shipped")
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    races = read_races(given.data)
    for track_type in given.types:
        fit(races, track_type, given.evaluations)


if __name__ == "__main__":
    main()
