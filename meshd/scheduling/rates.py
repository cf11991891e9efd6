"""How fast a device does a kind of job: declared by its owner, or calibrated first and then learnt from real runs."""

from dataclasses import dataclass, replace
from typing import Literal

Source = Literal["declared", "calibrated", "measured"]

SMOOTHING = 0.3
"""The weight of the newest run: after four runs three quarters of the rate are theirs."""

MIN_RUN_S = 0.5
"""Shorter runs are mostly start-up, and say little about the rate."""

MAX_STEP = 4.0
"""One run moves the rate by at most this factor: a laptop that was busy with something else is not a slow laptop."""


@dataclass(frozen=True, slots=True)
class KindRate:
    """Units per second, and how it came about."""

    rate: float
    source: Source
    samples: int = 0


def learn(known: KindRate | None, cost: float, duration_s: float) -> KindRate | None:
    """Return the rate after a run that did `cost` units in `duration_s`.

    A declared rate is its owner's word and stays.
    """
    if known is not None and known.source == "declared":
        return known
    if duration_s < MIN_RUN_S or cost <= 0:
        return known
    seen = cost / duration_s
    if known is None:
        return KindRate(seen, "measured", 1)
    bounded = min(max(seen, known.rate / MAX_STEP), known.rate * MAX_STEP)
    return replace(
        known,
        rate=known.rate + SMOOTHING * (bounded - known.rate),
        source="measured",
        samples=known.samples + 1,
    )
