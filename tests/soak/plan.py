"""What is broken when: drawn from a seed before the run, and enough of it that a run that holds has proven something.

Each machine has one trouble of its own at a time; the network has its own, one at a time, beside those.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from tests.simulation.options import luck
from tests.soak.switch import Weather

Kind = Literal[
    "kill daemon", "kill worker", "stop daemon", "stop worker", "fill disk", "cut", "cut one way", "flap", "move"
]

CLASS_OF: Final[Mapping[str, str]] = {
    "kill daemon": "kill",
    "kill worker": "kill",
    "stop daemon": "stop",
    "stop worker": "stop",
    "fill disk": "fill disk",
    "cut": "cut",
    "cut one way": "cut one way",
    "flap": "flap",
    "move": "flap",
}

FULL_S: Final = 160.0
"""The length of the chaos to which the figures below belong; in a shorter one there are proportionally fewer."""

PLANNED: Final[Mapping[Kind, int]] = {
    "kill daemon": 18,
    "kill worker": 8,
    "stop daemon": 6,
    "stop worker": 5,
    "fill disk": 4,
    "cut": 8,
    "cut one way": 4,
    "flap": 2,
    "move": 2,
}

MINIMUM: Final[Mapping[str, int]] = {"kill": 20, "stop": 8, "fill disk": 3, "cut": 8, "cut one way": 4, "flap": 4}
"""By class. A few are planned beyond: a worker can be killed only while there is one."""

NEEDS_NETWORK: Final = frozenset({"cut", "cut one way", "flap"})

JOBS_PER_S: Final = 2.0

PAUSE_S: Final = 1.0
"""Between two troubles of one machine, at least."""

WEATHERS: Final = (
    Weather(delay_s=0.002, jitter_s=0.001),
    Weather(delay_s=0.010, jitter_s=0.005, loss=0.01, doubled=0.01, overtaken=0.01),
    Weather(delay_s=0.025, jitter_s=0.010, loss=0.03, doubled=0.01, overtaken=0.02),
    Weather(delay_s=0.060, jitter_s=0.040, loss=0.05, doubled=0.02, overtaken=0.05),
)
"""From a cable to the far corner of the garden."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One trouble, in seconds from the beginning of the chaos."""

    at_s: float
    lasts_s: float
    kind: Kind
    machine: str
    other: str = ""
    """The other end of a cut; empty: all others."""


def minimum(chaos_s: float, *, network: bool) -> dict[str, int]:
    """Return how many faults of each class a run with so long a chaos must have."""
    share = chaos_s / FULL_S
    return {
        kind: max(1, math.floor(count * share))
        for kind, count in MINIMUM.items()
        if network or kind not in NEEDS_NETWORK
    }


def minimum_jobs(load_s: float) -> int:
    """Return how many jobs must be acknowledged in so many seconds: a fifth may be refused, or come to nothing."""
    return math.floor(load_s * JOBS_PER_S * 0.8)


def draw(seed: int, chaos_s: float, machines: Sequence[str], *, network: bool) -> list[Planned]:
    """Return the troubles of a run in the order in which they begin."""
    random = luck(f"faults {seed}")
    share = chaos_s / FULL_S
    own: dict[str, list[Planned]] = {machine: [] for machine in machines}
    between: list[Planned] = []
    turns = list(machines)
    for kind, count in PLANNED.items():
        for number in range(max(1, math.ceil(count * share))):
            if CLASS_OF[kind] not in NEEDS_NETWORK:
                if not turns:
                    turns = list(machines)
                machine = turns.pop(random.randrange(len(turns)))
                own[machine].append(Planned(0, _lasts(kind, number, share, random), kind, machine))
            elif network:
                one, other = random.sample(list(machines), 2)
                alone = kind == "cut" and random.random() < 0.5
                lasts_s = _lasts(kind, number, share, random)
                between.append(Planned(0, lasts_s, kind, one, "" if alone or CLASS_OF[kind] == "flap" else other))
    planned = [each for troubles in (*own.values(), between) for each in _spread(troubles, chaos_s, random)]
    return sorted(planned, key=lambda each: each.at_s)


def weathers(seed: int, chaos_s: float, *, every_s: float = 10.0) -> list[tuple[float, Weather]]:
    """Return which weather begins when."""
    random = luck(f"weather {seed}")
    return [(number * every_s, random.choice(WEATHERS)) for number in range(math.ceil(chaos_s / every_s))]


def _lasts(kind: Kind, number: int, share: float, random: Random) -> float:
    """Return for how long; shorter in a short chaos, for all of it must fit in."""
    match kind:
        case "kill daemon":
            return random.uniform(0.5, 5.0) if share >= 1 else random.uniform(0.5, 2.5)
        case "kill worker" | "move":
            return 0.0
        case "stop daemon" | "stop worker":
            longest = 15.0 if share >= 1 else 6.0
            # Beyond 10 s a worker is taken for dead, beyond 7.5 s a daemon: some must last so long.
            return random.uniform(0.7, 1.0) * longest if number % 2 else random.uniform(1.0, 4.0)
        case "fill disk":
            return random.uniform(2.0, 5.0)
        case "cut" | "cut one way":
            # A session does not survive 7.5 s of silence, and survives less. Some must end: then both sides dial.
            is_long = number % 3 == 0 and (share >= 1 or kind == "cut")
            return random.uniform(9.0, 12.0) if is_long else random.uniform(1.0, 5.0)
        case "flap":
            return random.uniform(0.5, 3.0)


def _spread(troubles: Iterable[Planned], chaos_s: float, random: Random) -> Iterator[Planned]:
    """Yield them at random times, one after the other."""
    order = list(troubles)
    random.shuffle(order)
    free_s = chaos_s - sum(each.lasts_s + PAUSE_S for each in order)
    # Too much for the time: all of it is shortened alike.
    scale = 1.0 if free_s >= 0 else chaos_s / (chaos_s - free_s)
    marks = sorted(random.uniform(0.0, max(0.0, free_s)) for _ in order)
    passed_s = 0.0
    for mark, each in zip(marks, order, strict=True):
        at_s, lasts_s = mark + passed_s, each.lasts_s * scale
        passed_s += lasts_s + PAUSE_S * scale
        yield Planned(round(at_s, 2), round(lasts_s, 2), each.kind, each.machine, each.other)
