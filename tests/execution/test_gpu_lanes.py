"""Each GPU has a worker of its own that sees it and no other; everything else keeps to the processors."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from meshd.errors import Degraded
from meshd.execution.inspection import Inspection
from meshd.execution.outcome import Succeeded
from tests.execution.workshop import MISCHIEF, Workshop, open_workshop
from tests.support.eventually import eventually

HEAVY = replace(MISCHIEF, accelerated=True)
FIRST, SECOND = "GPU-00000001", "GPU-00000002"


async def environment(workshop: Workshop, job: str, gpu: str | None) -> dict[str, str]:
    """Return what an accelerated attempt sees."""
    outcome = await workshop.pool.run(
        job=job, attempt=1, kind=HEAVY, resolved={"do": "environment"}, timeout_s=30, gpu=gpu
    )
    assert isinstance(outcome, Succeeded), outcome
    return cast("dict[str, str]", json.loads(outcome.result_json)["environment"])


@pytest.mark.asyncio
async def test_a_gpus_worker_sees_that_gpu_alone_and_takes_its_memory_as_it_needs_it(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        seen = [await environment(workshop, gpu, gpu) for gpu in (FIRST, SECOND)]
        again = await environment(workshop, "again", FIRST)

        assert [each["CUDA_VISIBLE_DEVICES"] for each in seen] == [FIRST, SECOND]
        assert again["CUDA_VISIBLE_DEVICES"] == FIRST
        assert {each["XLA_PYTHON_CLIENT_PREALLOCATE"] for each in seen} == {"false"}
        assert all("JAX_PLATFORMS" not in each for each in seen)
        assert len(workshop.pids()) == 2


@pytest.mark.asyncio
async def test_an_attempt_without_a_gpu_keeps_to_the_processors(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        await environment(workshop, "first", FIRST)
        seen = await environment(workshop, "second", None)

        assert (seen["JAX_PLATFORMS"], seen["CUDA_VISIBLE_DEVICES"]) == ("cpu", "")
        outcome = await workshop.do("environment", job="third")
        assert isinstance(outcome, Succeeded)
        assert json.loads(outcome.result_json)["environment"]["JAX_PLATFORMS"] == "cpu"


@pytest.mark.asyncio
async def test_gpus_and_processors_work_at_the_same_time_and_each_one_at_a_time(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        for number, gpu in enumerate([FIRST, FIRST, SECOND, None, None]):
            tasks.create_task(
                workshop.pool.run(
                    job=f"job {number}", attempt=1, kind=HEAVY, resolved={"do": "quiet", "seconds": 30}, gpu=gpu
                )
            )
        await eventually(lambda: busy(workshop) == 3)
        assert workshop.pool.load().accelerated_waiting == 2
        assert workshop.pool.load().busy == 0
        for number in range(5):
            workshop.pool.cancel(f"job {number}", 1)


def busy(workshop: Workshop) -> int:
    return sum(worker.running is not None for worker in workshop.pool.load().workers)


@pytest.mark.asyncio
async def test_a_worker_that_waits_is_warm_for_its_own_accelerator(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        pool = workshop.pool
        assert not pool.is_warm(accelerated=True, gpu=FIRST)
        await environment(workshop, "first", FIRST)
        assert pool.is_warm(accelerated=True, gpu=FIRST)
        assert not pool.is_warm(accelerated=True, gpu=SECOND)
        assert not pool.is_warm(accelerated=True, gpu=None)
        assert not pool.is_warm(accelerated=False, gpu=None)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                pool.run(job="long", attempt=1, kind=HEAVY, resolved={"do": "quiet", "seconds": 30}, gpu=FIRST)
            )
            await eventually(lambda: busy(workshop) == 1)
            assert not pool.is_warm(accelerated=True, gpu=FIRST)
            pool.cancel("long", 1)


@pytest.mark.asyncio
async def test_a_gpu_on_which_jax_does_not_compute_is_told_apart_by_a_worker(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        with pytest.raises(Degraded, match="the GPU was not measured"):
            await workshop.pool.inspect("GPU-that-is-not-there")


def give(monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    """Let whoever imports JAX get this instead."""

    def load(name: str) -> object:
        assert name == "jax"
        return module

    monkeypatch.setattr("importlib.import_module", load)


def test_jax_that_computes_on_processors_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class Jax:
        def default_backend(self) -> str:
            return "cpu"

    give(monkeypatch, Jax())
    with pytest.raises(Degraded, match="JAX computes on cpu there"):
        Inspection().calibrate()


@pytest.mark.parametrize(("total", "works"), [(64.0, True), (0.0, False)])
def test_a_gpu_has_to_compute_and_not_only_to_be_listed(
    monkeypatch: pytest.MonkeyPatch, total: float, works: bool
) -> None:
    class Ones:
        def sum(self) -> float:
            return total

    class Jax:
        numpy = property(lambda self: self)

        def default_backend(self) -> str:
            return "gpu"

        def device_count(self) -> int:
            return 1

        def ones(self, shape: tuple[int, int]) -> Ones:
            assert shape == (8, 8)
            return Ones()

    give(monkeypatch, Jax())
    if works:
        assert Inspection().calibrate() == 1.0
    else:
        with pytest.raises(Degraded, match="add up to 0"):
            Inspection().calibrate()
