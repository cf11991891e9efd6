"""How fast a device does a kind of job: declared by its owner, or calibrated first and then learnt from real runs."""

from dataclasses import dataclass, replace
from typing import Literal

Source = Literal["declared", "calibrated", "measured"]

SMOOTHING = 0.3
"""The least weight of the newest run: after four runs three quarters of the rate are theirs."""

MIN_RUN_S = 0.5
"""Shorter runs are mostly start-up, and say little about the rate."""

MAX_STEP = 4.0
"""One run moves the rate by at most this factor: a laptop that was busy with something else is not a slow laptop."""

TOLERANCE = 1.25
"""A peer's word counts within so much of what was seen of it: it knows better than its origins what a cold start or a
second job at once has cost, but not by more."""

MAX_ADVANTAGE = 1000.0
"""A peer of which nothing was seen yet is believed to be at most so many times as fast as this device. The largest GPU
does some hundred times the arithmetic of two cores; whoever says more has most likely made a mistake."""


@dataclass(frozen=True, slots=True)
class KindRate:
    """Units per second, and how it came about."""

    rate: float
    source: Source
    samples: int = 0


def learn(known: KindRate | None, cost: float, duration_s: float) -> KindRate | None:
    """Return the rate after a run that did `cost` units in `duration_s`.

    A declared rate is its owner's word and stays. The first runs count for more: a calibration is one short run.
    """
    if known is not None and known.source == "declared":
        return known
    if duration_s < MIN_RUN_S or cost <= 0:
        return known
    seen = cost / duration_s
    if known is None:
        return KindRate(seen, "measured", 1)
    bounded = min(max(seen, known.rate / MAX_STEP), known.rate * MAX_STEP)
    weight = max(SMOOTHING, 1 / (known.samples + 2))
    return replace(
        known,
        rate=known.rate + weight * (bounded - known.rate),
        source="measured",
        samples=known.samples + 1,
    )


def carried_over(known: KindRate | None) -> KindRate | None:
    """Return what a rate is worth in other surroundings, on battery instead of mains: a guess, to be learnt anew."""
    return known if known is None or known.source == "declared" else replace(known, source="calibrated", samples=0)


def believed(claim: float | None, seen: KindRate | None, own: float | None) -> float | None:
    """Return the rate to count on: what a peer claims, within the bounds of what was seen of it.

    `own` is this device's best rate for the same kind.
    """
    if claim is None:
        return None if seen is None else seen.rate
    if seen is None:
        return claim if own is None else min(claim, own * MAX_ADVANTAGE)
    return min(max(claim, seen.rate / TOLERANCE), seen.rate * TOLERANCE)
