"""What a bench has measured, held against what was promised: a JSON line a figure."""

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WORST = 1.0
"""The share of the values that a promise without exceptions speaks of."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, measured several times."""

    metric: str
    unit: str
    values: Sequence[float]
    goal: float | None = None
    """What the value at `share` must not exceed; None for what is told only to explain the others."""

    share: float = WORST

    def at(self, share: float) -> float:
        """Return the value that this share of all values does not exceed: one that was measured."""
        ordered = sorted(self.values)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    @property
    def is_met(self) -> bool:
        """Whether the promise is kept; one of which nothing was measured is not."""
        return self.goal is None or (bool(self.values) and self.at(self.share) <= self.goal)

    def line(self) -> str:
        """Return the figure as JSON."""
        told: dict[str, object] = {"metric": self.metric, "unit": self.unit, "n": len(self.values)}
        if self.values:
            told |= {name: round(self.at(share), 3) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", WORST))}
        if self.goal is not None:
            which = "max" if self.share == WORST else f"p{100 * self.share:g}"
            told |= {"goal": f"{which} <= {self.goal:g}", "result": "pass" if self.is_met else "FAIL"}
        return json.dumps(told)


def tell(figures: Iterable[Figure]) -> int:
    """Print the figures; return the exit status, 1 when a promise is not kept."""
    status = 0
    for figure in figures:
        print(figure.line(), flush=True)
        if not figure.is_met:
            status = 1
    return status


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load(when: str) -> Figure:
    """Return how busy the machine is, by which the figures have to be judged."""
    return Figure(f"load average {when}, on {cores()} cores", "", [os.getloadavg()[0]])
