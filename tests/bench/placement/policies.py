"""Ways to place jobs: the real one, and three that anybody could write in a line."""

import itertools
from random import Random

from meshd.scheduling.placement import Run
from meshd.scheduling.planning import Coming, plan, takes_s
from meshd.scheduling.snapshot import MeshSnapshot
from meshd.scheduling.work import Work
from tests.bench.placement.mixes import Job
from tests.bench.placement.world import Executor, World


class Auto:
    """`auto`, as it is: jobs wait at their origin until their device has a slot."""

    looks = True

    def place(self, waiting: list[Job], world: World) -> list[tuple[Job, Executor]]:
        mesh = MeshSnapshot(tuple(world.snapshot(executor) for executor in world.executors))
        works = [Work(job.kind, "auto", job.cost, may_fall_back=False) for job in waiting]
        by_device = {executor.device: executor for executor in world.executors}
        coming = [coming for executor in world.executors for coming in executor.coming.values()]
        placed: list[tuple[Job, Executor]] = []
        for job, work, decision in zip(waiting, works, plan(works, mesh, coming), strict=True):
            if isinstance(decision, Run) and decision.where is not None:
                executor = by_device[decision.device]
                placed.append((job, executor))
                takes = takes_s(work, decision.where)
                executor.coming[job.number] = Coming(executor.device, decision.where.accelerator, takes)
        return placed


class Strongest:
    """Everything goes to the device that is fastest at it."""

    looks = False

    def place(self, waiting: list[Job], world: World) -> list[tuple[Job, Executor]]:
        return [(job, min(world.executors, key=lambda each: self._alone_s(job, each))) for job in waiting]

    def _alone_s(self, job: Job, executor: Executor) -> tuple[float, int]:
        computer = executor.computer
        # Of equals, as for jobs that only sleep, the one with most slots.
        return min(computer.takes_s(job, each) for each in computer.accelerators(job)), -computer.slots


class Chance:
    """Every job goes anywhere."""

    looks = False

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)  # noqa: S311 - no secret

    def place(self, waiting: list[Job], world: World) -> list[tuple[Job, Executor]]:
        return [(job, self._rng.choice(world.executors)) for job in waiting]


class Turns:
    """One job for each device, round and round."""

    looks = False

    def __init__(self) -> None:
        self._turn = itertools.count()

    def place(self, waiting: list[Job], world: World) -> list[tuple[Job, Executor]]:
        return [(job, world.executors[next(self._turn) % len(world.executors)]) for job in waiting]
