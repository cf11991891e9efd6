"""A GPU is used once a worker has computed on it; then it is measured, and attempts run there."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshd.capability.gauge import Gauge
from meshd.capability.reading import Gpu
from meshd.errors import Degraded
from meshd.jobs.accelerators import AGAIN_S, Accelerators
from meshd.jobs.calibration import calibrate
from meshd.jobs.ratebook import RateBook
from meshd.kinds.base import Kind
from meshd.store.database import open_store
from tests.support.desk import PlainKind
from tests.support.eventually import eventually
from tests.support.manual_clock import ManualClock
from tests.support.manual_machine import ManualMachine, a_gpu, a_machine

pytestmark = pytest.mark.asyncio


@dataclass
class Pool:
    broken: bool = False
    inspected: list[str] = field(default_factory=list[str])

    async def inspect(self, gpu: str) -> None:
        self.inspected.append(gpu)
        if self.broken:
            raise Degraded("JAX computes on cpu there")

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        return accelerated and gpu is None


class Bench:
    def __init__(self, *gpus: Gpu, wanted: bool = True) -> None:
        self.machine, self.pool, self.clock = ManualMachine(a_machine(*gpus)), Pool(), ManualClock()
        self.gauge = Gauge(probe=self.machine)
        self.subject = Accelerators(gauge=self.gauge, pool=self.pool, clock=self.clock, wanted=wanted)
        self.found: list[Gpu] = []
        self.subject.watch(self.found.append)
        self.gauge.watch(on_look=self.subject.look, on_news=lambda: None)

    async def look(self, *, inspections: int) -> None:
        """Look, and wait until so many GPUs have been tried in all."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.subject.run())
            await self.gauge.look()
            await eventually(lambda: len(self.pool.inspected) == inspections)
            await asyncio.sleep(0)
            running.cancel()


async def test_a_gpu_is_used_once_a_worker_has_computed_on_it() -> None:
    bench = Bench(a_gpu(1), a_gpu(2))
    assert bench.subject.gpus() == []
    await bench.look(inspections=2)
    assert bench.subject.gpus() == [a_gpu(1), a_gpu(2)]
    assert bench.found == [a_gpu(1), a_gpu(2)]
    await bench.look(inspections=2)
    assert bench.pool.inspected == ["GPU-00000001", "GPU-00000002"]


async def test_a_gpu_on_which_jax_does_not_compute_is_tried_again_later() -> None:
    bench = Bench(a_gpu(1))
    bench.pool.broken = True
    await bench.look(inspections=1)
    assert bench.subject.gpus() == []
    bench.pool.broken = False
    bench.machine.reading = a_machine(a_gpu(1), a_gpu(2))
    await bench.look(inspections=2)
    assert bench.subject.gpus() == [a_gpu(2)]
    bench.clock.advance(AGAIN_S)
    await bench.look(inspections=3)
    assert bench.subject.gpus() == [a_gpu(1), a_gpu(2)]


async def test_a_gpu_whose_memory_others_use_is_not_tried_until_there_is_room() -> None:
    bench = Bench(a_gpu(1, free_gib=0.5), a_gpu(2))
    await bench.look(inspections=1)
    assert bench.subject.gpus() == [a_gpu(2)]
    bench.machine.reading = a_machine(a_gpu(1, free_gib=10), a_gpu(2))
    await bench.look(inspections=2)
    assert bench.subject.gpus() == [a_gpu(1, free_gib=10), a_gpu(2)]


async def test_without_anything_that_could_use_it_no_gpu_is_woken() -> None:
    bench = Bench(a_gpu(), wanted=False)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.subject.run())
        await bench.gauge.look()
        # Every task that could go on now has gone on.
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()
    assert (bench.pool.inspected, bench.subject.gpus()) == ([], [])


async def test_a_gpu_that_goes_away_is_no_longer_there() -> None:
    bench = Bench(a_gpu())
    await bench.look(inspections=1)
    bench.machine.reading = a_machine()
    await bench.look(inspections=1)
    assert bench.subject.gpus() == []


async def test_each_accelerator_is_measured_once(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        rates = RateBook(store=store, clock=ManualClock(), declared={"pinned": 5.0})
        measured: list[tuple[str, str | None]] = []

        async def measure(kind: Kind, gpu: str | None) -> float:
            measured.append((kind.name, gpu))
            if kind.name == "broken":
                raise Degraded("it does not run here")
            return 1e9 if gpu is None else 1e12

        kinds = [
            PlainKind(),
            *(PlainKind(name=name, accelerated=True) for name in ("broken", "pinned", "heavy")),
        ]
        for _ in range(2):
            await calibrate(kinds, rates, measure)
            await calibrate(kinds, rates, measure, a_gpu())

        assert measured[:4] == [("broken", None), ("heavy", None), ("broken", a_gpu().uuid), ("heavy", a_gpu().uuid)]
        assert [name for name, _ in measured[4:]] == ["broken", "broken"]
        cpu, gpu = rates.get("heavy", "cpu"), rates.get("heavy", a_gpu().name)
        assert cpu is not None
        assert gpu is not None
        assert (cpu.rate, gpu.rate) == (1e9, 1e12)
