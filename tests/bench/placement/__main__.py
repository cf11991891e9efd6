"""Prints the table: `python -m tests.bench.placement [SEEDS]`, with so many histories of each mesh and mix at most."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

from tests.bench.placement import mixes
from tests.bench.placement.policies import Auto, Chance, Strongest, Turns
from tests.bench.placement.world import Outcome, Policy, World

POLICIES: Mapping[str, Callable[[int], Policy]] = {
    "auto": lambda _: Auto(),
    "strongest": lambda _: Strongest(),
    "chance": Chance,
    "turns": lambda _: Turns(),
}

HISTORIES: Mapping[int, int] = {2: 10, 3: 5, 5: 5, 10: 3, 20: 2}
"""By the number of devices. A history of 20 takes 15 s, and differs less from the next one than one of 2 does."""

JOBS_OF_SLOT: Mapping[str, int] = {"lineups": 15, "commands": 25, "mixed": 40}
"""Jobs for each slot of the mesh: the larger it is, the more there is to do. With fewer, the longest job is all that
counts; and where nobody knows how long jobs take, that one may happen to start last."""

MAX_JOBS = 1200
"""In one history: the larger meshes take minutes otherwise."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One history, lived through under every policy."""

    devices: int
    mix: str
    bound_s: float
    outcomes: Mapping[str, Outcome]

    def ratio(self, policy: str) -> float:
        """Return how many times as long as the bound everything took."""
        return self.outcomes[policy].makespan_s / self.bound_s


def compare(devices: int, mix: str, seed: int, *, at_once: bool) -> Comparison:
    """Live through one history; all jobs come at once, or over two minutes."""
    rng = Random(f"{devices} {mix} {seed} {at_once}")  # noqa: S311 - no secret
    computers = mixes.mesh(devices, rng)
    slots = sum(computer.slots for computer in computers)
    work = mixes.jobs(mix, min(JOBS_OF_SLOT[mix] * slots, MAX_JOBS), 0.0 if at_once else 120.0, rng)
    outcomes = {name: World(computers, work, make(seed), seed).run() for name, make in POLICIES.items()}
    return Comparison(devices, mix, mixes.bound_s(computers, work), outcomes)


HEADER = "devices  of  mix         bound s |" + "".join(f" {name:>9} x  wait s" for name in POLICIES) + " |  worst x"


def row(same: Sequence[Comparison]) -> str:
    """Return the means over histories of one mesh and mix as a line."""
    ratios = {name: fmean(each.ratio(name) for each in same) for name in POLICIES}
    waits = {name: fmean(each.outcomes[name].mean_wait_s for each in same) for name in POLICIES}
    cells = "".join(f" {ratios[name]:>11.2f} {waits[name]:>7.1f}" for name in POLICIES)
    bound_s, worst = fmean(each.bound_s for each in same), max(each.ratio("auto") for each in same)
    return f"{same[0].devices:>7}  {len(same):>2}  {same[0].mix:<10} {bound_s:>8.1f} |{cells} | {worst:>8.2f}"


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else max(HISTORIES.values())
    for at_once in (True, False):
        print("all jobs at once" if at_once else "\njobs come over two minutes")
        print(HEADER)
        for devices, histories in HISTORIES.items():
            for mix in mixes.MIXES:
                same = [compare(devices, mix, seed, at_once=at_once) for seed in range(min(most, histories))]
                print(row(same), flush=True)


if __name__ == "__main__":
    main()
