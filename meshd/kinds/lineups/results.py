"""What a finished job tells: lineups, players, exposure, and the certificate."""

from importlib.metadata import version
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.base import Document
from meshd.kinds.lineups.partials import Counts, Effort, Histogram, Moments
from meshd.kinds.lineups.problem import Problem
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT

PERCENTILES = (10, 50, 90, 99)
"""What is told of every lineup's scores."""


def races_required(races: int, percentile: int) -> int:
    """Return in how many races a score must be reached to be the percentile: a tenth, rounded up, for 90."""
    return -(-races * (100 - percentile) // 100)


def percentile_of(histogram: Histogram, percentile: int) -> NDArray[np.int64]:
    """Return each lineup's highest score that is reached in the required number of races."""
    from_above = np.cumsum(histogram.counts[:, ::-1], axis=1)
    bins = histogram.counts.shape[1]
    return histogram.low + bins - 1 - (from_above >= races_required(histogram.races, percentile)).argmax(axis=1)


def job_result(
    problem: Problem,
    resolved: Document,
    best: NDArray[np.int64],
    moments: Moments,
    described: Histogram,
    *,
    other_effort: Effort,
    counted: Counts | None,
    complete_set: int,
) -> Document:
    """Return the result of a job whose best lineups are `best`, in that order; all of them are in `described`."""
    proof: dict[str, object] = {}
    effort, rate = moments.effort + described.effort + other_effort, None
    devices = moments.effort.devices
    if counted is not None:
        proof = {
            "threshold": counted.threshold / UNITS_PER_POINT,
            "races_required": races_required(problem.scenarios, 90),
            "complete_set": complete_set,
        }
        effort += counted.effort
        devices = counted.effort.devices
        rate = round(counted.effort.elements / max(1, counted.effort.microseconds) / 1e3, 2)
    return {
        **_told_lineups(problem, moments, described, best),
        "certificate": _certificate(problem, resolved, proof),
        **_told_run(resolved, effort, devices, rate),
    }


def _told_lineups(
    problem: Problem, moments: Moments, described: Histogram, best: NDArray[np.int64]
) -> dict[str, object]:
    races = moments.races
    row_of = {int(lineup): row for row, lineup in enumerate(described.lineups)}
    percentiles = {percentile: percentile_of(described, percentile) for percentile in PERCENTILES}
    lineups: list[dict[str, object]] = []
    members = problem.enumeration.members(best)
    for lineup, drivers in zip(best, members, strict=True):
        total = int(moments.sums[drivers].sum())
        squares = int(moments.products[np.ix_(drivers, drivers)].sum())
        row = row_of[int(lineup)]
        lineups.append(
            {
                "ids": [problem.ids[driver] for driver in drivers],
                "names": [problem.names[driver] for driver in drivers],
                "salary": int(problem.salaries[drivers].sum()),
                "mean": total / (UNITS_PER_POINT * races),
                # Exact up to here in whole numbers; square root and division round alike on every device.
                "sd": sqrt(races * squares - total * total) / (UNITS_PER_POINT * races),
                **{f"p{name}": int(value[row]) / UNITS_PER_POINT for name, value in percentiles.items()},
            }
        )
    used = np.bincount(members.ravel(), minlength=problem.drivers)
    return {
        "lineups": lineups,
        "players": [
            {"id": identity, "name": name, "salary": int(salary), "mean": int(total) / (UNITS_PER_POINT * races)}
            for identity, name, salary, total in zip(
                problem.ids, problem.names, problem.salaries, moments.sums, strict=True
            )
        ],
        "exposure": {
            identity: int(times) / len(best) for identity, times in zip(problem.ids, used, strict=True) if times
        },
    }


def _certificate(problem: Problem, resolved: Document, proof: Document) -> dict[str, object]:
    if problem.model.grid is None:
        grid = "A DraftKings file has no starting grid: it is drawn for each race, better drivers nearer the front."
    else:
        grid = "The starting grid is the given one."
    track = problem.model.track
    return {
        "exact": True,
        "objective": problem.objective,
        "lineups_evaluated": problem.lineups,
        "lineups_feasible": len(problem.feasible),
        "scenarios": problem.scenarios,
        "passes": 0 if problem.objective == "mean" else 1,
        **proof,
        "assumptions": [
            "Best among all lineups over these simulated races; how well they resemble the real one is another matter.",
            grid,
            f"The race has {track.laps} laps; about {track.green:.0%} are under green and count as fastest laps.",
            f"It is drawn as at a track of the type {track.preset}.",
            "A driver's skill follows from salary and average points per game, nothing else.",
        ],
    }


def _told_run(
    resolved: Document, effort: Effort, devices: frozenset[str], rate_gel_s: float | None
) -> dict[str, object]:
    """Return what the run took: the only part of a result that differs from device to device."""
    versions = {"meshd": version("meshd"), "numpy": np.__version__}
    if resolved["objective"] != "mean":
        versions["jax"] = version("jax")
    return {
        "seed": resolved["seed"],
        "device": ", ".join(sorted(devices)),
        "duration_s": round(effort.microseconds / 1e6, 3),
        "rate_gel_s": rate_gel_s,
        "versions": versions,
    }


def told(units: float, what: str) -> str:
    """Return a score as one short line, for example "271.3 pts mean"."""
    return f"{units / UNITS_PER_POINT:.1f} pts {what}"
