"""What there is to do, and on what: job mixes and meshes, drawn from a seed.

Durations are made up, after what such jobs were seen to take: a lineup optimization 0.2 to 60 s on a laptop, its length
known beforehand; commands 0.5 to 20 s, their length known to nobody; echo jobs, which take the same everywhere.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from meshd.scheduling.snapshot import CPU, SLOTS

LAPTOP_RATE = 40e9
"""Lineups x races that two cores count in a second."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job: what it costs where its kind has a rate, how long it takes on a device of speed 1 where it has none."""

    number: int
    kind: str
    cost: float | None
    seconds: float
    arrives_at: float


@dataclass(frozen=True, slots=True)
class Computer:
    """A device: ordinary slots, the speed of each, and how fast it optimizes on each accelerator."""

    name: str
    slots: int
    speed: float
    lineups: Mapping[str, float]
    """Units per second, by accelerator."""

    def takes_s(self, job: Job, accelerator: str) -> float:
        """Return how long a job computes there."""
        if job.kind == "lineups":
            return (job.cost or 0.0) / self.lineups[accelerator]
        return job.seconds if job.kind == "echo" else job.seconds / self.speed

    def accelerators(self, job: Job) -> Sequence[str]:
        """Return on what a job could run there."""
        return tuple(self.lineups) if job.kind == "lineups" else (SLOTS,)


MIXES: Mapping[str, Mapping[str, float]] = {
    "lineups": {"lineups": 1.0},
    "commands": {"command": 0.8, "echo": 0.2},
    "mixed": {"lineups": 0.5, "command": 0.3, "echo": 0.2},
}


def between(rng: Random, low: float, high: float) -> float:
    """Return a number whose logarithm is drawn evenly: most jobs are short, some are long."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def mesh(devices: int, rng: Random) -> list[Computer]:
    """Return the laptop where all jobs come from, and its peers: PCs, other laptops, and a GPU in every fourth."""
    computers = [Computer("laptop", 2, 1.0, {CPU: LAPTOP_RATE})]
    for number in range(1, devices):
        cores = rng.choice((2, 4, 8, 16))
        lineups = {CPU: LAPTOP_RATE * cores / 2 * rng.uniform(0.7, 1.5)}
        if number % 4 == 1:
            lineups["GPU"] = LAPTOP_RATE * between(rng, 20, 150)
        computers.append(Computer(f"peer{number}", cores, rng.uniform(0.7, 2.0), lineups))
    return computers


def jobs(mix: str, count: int, within_s: float, rng: Random) -> list[Job]:
    """Return jobs that come over a span of time, in the order of their coming."""
    kinds, weights = zip(*MIXES[mix].items(), strict=True)
    arrivals = sorted(rng.uniform(0.0, within_s) for _ in range(count))
    found: list[Job] = []
    for number, at in enumerate(arrivals):
        kind = rng.choices(kinds, weights)[0]
        seconds = {
            "lineups": lambda: between(rng, 0.2, 60.0),
            "command": lambda: between(rng, 0.5, 20.0),
            "echo": lambda: between(rng, 0.05, 5.0),
        }[kind]()
        cost = {"lineups": seconds * LAPTOP_RATE, "echo": seconds}.get(kind)
        found.append(Job(number, kind, cost, seconds, at))
    return found


def bound_s(computers: Sequence[Computer], work: Sequence[Job]) -> float:
    """Return a time before which no placement can have done everything, not even one that cuts jobs into pieces.

    The longest job needs its time on the device that is best for it, and the jobs that come from some moment on need
    all that the devices can do from then on.
    """
    alone = max(
        job.arrives_at + min(each.takes_s(job, on) for each in computers for on in each.accelerators(job))
        for job in work
    )
    return max(alone, *(_crowded_s(computers, work, some) for some in (_optimizations_s, _others_s)))


def _crowded_s(
    computers: Sequence[Computer], work: Sequence[Job], all_done_s: Callable[[Sequence[Computer], Sequence[Job]], float]
) -> float:
    starts = sorted({0, *range(0, len(work), max(1, len(work) // 50))})
    return max(work[start].arrives_at + all_done_s(computers, work[start:]) for start in starts)


def _optimizations_s(computers: Sequence[Computer], work: Sequence[Job]) -> float:
    rate = sum(rate for computer in computers for rate in computer.lineups.values())
    return sum(job.cost or 0.0 for job in work if job.kind == "lineups") / rate


def _others_s(computers: Sequence[Computer], work: Sequence[Job]) -> float:
    """Return how long all slots need for the rest; what takes the same everywhere, the slowest do."""
    sleeps = sum(job.seconds for job in work if job.kind == "echo")
    commands = sum(job.seconds for job in work if job.kind == "command")
    low, high = 0.0, sleeps + commands / min(computer.speed for computer in computers)
    for _ in range(60):
        middle = (low + high) / 2
        left, done = sleeps, 0.0
        for computer in sorted(computers, key=lambda each: each.speed):
            slept = min(left, computer.slots * middle)
            left -= slept
            done += (computer.slots * middle - slept) * computer.speed
        low, high = (low, middle) if left <= 0.0 and done >= commands else (middle, high)
    return low
