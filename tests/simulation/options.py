"""Which faults a history has, and how many: each history draws its own mix, so that no fault hides another."""

import random
from dataclasses import dataclass, fields

FAULTS = (
    "crashes",
    "graceful_restarts",
    "commit_crashes",
    "cuts",
    "partitions",
    "one_way",
    "slow_lines",
    "full_disks",
    "slow_disks",
    "clock_drift",
    "clock_jumps",
    "failures",
    "lost_workers",
    "hangs",
    "cancels",
    "wipes",
    "scrambled_frames",
    "pauses",
    "silences",
    "fetch_troubles",
    "rot",
    "bad_checkpoints",
    "unpairings",
    "revocations",
)
"""Every kind of trouble; a history has about half of them."""


def luck(of: str) -> random.Random:
    """Return the chance that rules one thing: the same in every run, and no other thing's."""
    return random.Random(of)  # noqa: S311 - it decides what to test, and keeps no secret


@dataclass(frozen=True, slots=True)
class Options:
    """One history's size and troubles. A rate is the share of occasions on which the trouble comes, 0 for never."""

    nodes: int
    jobs: int
    slots: int
    trouble_s: float
    """How long faults keep coming; then the world heals, and everything must come to an end."""

    crashes: float
    graceful_restarts: float
    commit_crashes: float
    cuts: float
    partitions: float
    one_way: float
    slow_lines: float
    full_disks: float
    slow_disks: float
    clock_drift: float
    clock_jumps: float
    failures: float
    lost_workers: float
    hangs: float
    cancels: float
    wipes: float
    scrambled_frames: float
    pauses: float
    silences: float
    fetch_troubles: float
    rot: float
    bad_checkpoints: float
    unpairings: float
    revocations: float

    def __str__(self) -> str:
        values = [f"{field.name}={getattr(self, field.name):g}" for field in fields(self)]
        return " ".join(value for value in values if not value.endswith("=0"))


def quiet(nodes: int = 2, /, **rates: float) -> Options:
    """Return the options of a world in which nothing happens but what a script does to it, and at these rates."""
    return Options(nodes=nodes, jobs=0, slots=1, trouble_s=300.0, **(dict.fromkeys(FAULTS, 0.0) | rates))


def draw(rng: random.Random, *, max_jobs: int, trouble_s: tuple[float, float]) -> Options:
    """Return the options of one history."""
    rates = {fault: rng.choice((0.3, 0.6, 1.0)) if rng.random() < 0.5 else 0.0 for fault in FAULTS}
    if rng.random() < 0.6:
        # A wiped device makes much of what it was asked moot: it would hide other faults.
        rates["wipes"] = 0.0
    return Options(
        nodes=rng.choice((2, 2, 2, 2, 3, 3, 4)),
        jobs=rng.randint(1, max_jobs),
        slots=rng.choice((1, 1, 2)),
        trouble_s=rng.uniform(*trouble_s),
        **rates,
    )
