"""The pool runs attempts in warm workers, one after the other in the order of their coming."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from meshd import kinds
from meshd.errors import Conflict, Degraded
from meshd.execution.attendance import Patience
from meshd.execution.outcome import Cancelled, Failed, Outcome, Succeeded
from meshd.kinds.base import Kind
from tests.execution.workshop import COUNTING, MISCHIEF, Workshop, is_alive, open_workshop
from tests.support.eventually import eventually

pytestmark = pytest.mark.asyncio

ECHO: Kind = kinds.find("echo")


async def echo(workshop: Workshop, job: str, **spec: object) -> Outcome:
    return await workshop.pool.run(job=job, attempt=1, kind=ECHO, resolved=ECHO.validate(spec), timeout_s=30)


def result_of(outcome: Outcome) -> dict[str, object]:
    assert isinstance(outcome, Succeeded), outcome
    return json.loads(outcome.result_json)


async def test_an_attempt_returns_its_result_and_how_long_it_took(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        outcome = await echo(workshop, "a", text="hello", sleep_s=0.2)

    assert result_of(outcome) == {"text": "hello"}
    assert isinstance(outcome, Succeeded)
    assert 0.2 <= outcome.duration_s < 5


async def test_two_hundred_attempts_share_two_warm_workers_and_each_gets_its_own_result(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        outcomes = await asyncio.gather(*(echo(workshop, f"job {n}", text=str(n)) for n in range(100)))
        first = workshop.pids()
        outcomes += await asyncio.gather(*(echo(workshop, f"job {n}", text=str(n)) for n in range(100, 200)))

        assert [result_of(outcome) for outcome in outcomes] == [{"text": str(n)} for n in range(200)]
        assert len(first) <= 2
        assert first <= workshop.pids()
        assert len(workshop.pids()) <= 2


async def test_at_most_as_many_attempts_run_at_once_as_there_are_slots(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, slots=2) as workshop, asyncio.TaskGroup() as tasks:
        for n in range(5):
            tasks.create_task(echo(workshop, f"job {n}", sleep_s=30))
        await eventually(lambda: workshop.pool.load().busy == 2)

        assert workshop.pool.load().waiting == 3
        for n in range(5):
            workshop.pool.cancel(f"job {n}", 1)


async def test_accelerated_attempts_take_turns_in_one_worker_of_their_own(tmp_path: Path) -> None:
    order: list[int] = []
    accelerated = replace(MISCHIEF, accelerated=True)

    async with open_workshop(tmp_path, slots=2) as workshop, asyncio.TaskGroup() as tasks:
        for n in range(6):
            tasks.create_task(
                workshop.pool.run(
                    job=f"job {n}",
                    attempt=1,
                    kind=accelerated,
                    resolved={"do": "quiet", "seconds": 0.05},
                    on_start=lambda n=n: order.append(n),
                )
            )
        await eventually(lambda: len(order) == 6)
        load = workshop.pool.load()

    assert order == [0, 1, 2, 3, 4, 5]
    assert [worker.accelerated for worker in load.workers] == [True]


async def test_the_same_attempt_does_not_run_twice_at_once(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        tasks.create_task(echo(workshop, "a", sleep_s=30))
        await eventually(lambda: workshop.pool.load().busy == 1)

        with pytest.raises(Conflict):
            await echo(workshop, "a")
        workshop.pool.cancel("a", 1)


async def test_progress_arrives_in_order_never_falls_and_stays_below_one(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        await workshop.do("progress")

    assert [report.share for report in workshop.reports] == [0.1, 0.5, 0.5, 0.5, 1.0]
    assert workshop.reports[-1].best == "best 7.0"
    assert {len(report.note) for report in workshop.reports} == {500}


async def test_a_divisible_program_is_driven_through_its_phases_with_progress_and_eta(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        outcome = await workshop.pool.run(
            job="a",
            attempt=1,
            kind=COUNTING,
            resolved={"units": 100, "unit_s": 0.01},
            on_progress=workshop.reports.append,
        )

    squares = sum(n * n for n in range(100))
    shares = [report.share for report in workshop.reports]
    assert result_of(outcome) == {"squares": squares, "multiples": 6 * squares}
    assert len(shares) >= 5
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert {report.note for report in workshop.reports} == {"squares", "multiples"}
    etas = [report.eta_s for report in workshop.reports if report.eta_s is not None]
    assert etas
    assert max(etas) < 10


async def test_a_divisible_program_stops_when_it_is_cancelled_and_its_worker_stays(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(
            workshop.pool.run(
                job="a", attempt=1, kind=COUNTING, resolved={"units": 100_000, "unit_s": 0.01}, timeout_s=30
            )
        )
        await eventually(lambda: workshop.pool.load().busy == 1)
        before = workshop.pids()
        workshop.pool.cancel("a", 1)

        assert await run == Cancelled()
        assert workshop.pids() == before
        assert result_of(await echo(workshop, "b", text="next")) == {"text": "next"}
        assert workshop.pids() == before


async def test_calibrating_returns_the_programs_rate(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        assert await workshop.pool.calibrate(COUNTING) == 12.5
        with pytest.raises(Degraded, match="no rate"):
            await workshop.pool.calibrate(MISCHIEF)


async def test_cancelling_an_attempt_that_waits_takes_it_out_of_the_queue(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, slots=1) as workshop, asyncio.TaskGroup() as tasks:
        tasks.create_task(echo(workshop, "first", sleep_s=30))
        await eventually(lambda: workshop.pool.load().busy == 1)
        second = tasks.create_task(echo(workshop, "second"))
        third = tasks.create_task(echo(workshop, "third", text="3"))
        await eventually(lambda: workshop.pool.load().waiting == 2)

        assert workshop.pool.cancel("second", 1)
        assert await second == Cancelled()
        assert workshop.pool.cancel("first", 1)
        assert result_of(await third) == {"text": "3"}


async def test_cancelling_what_is_not_here_says_so(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        assert not workshop.pool.cancel("nothing", 1)


async def test_cancelling_the_task_stops_the_attempt_first(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(echo(workshop, "a", sleep_s=30))
        await eventually(lambda: workshop.pool.load().busy == 1)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

        assert workshop.pool.load().busy == 0
        assert result_of(await echo(workshop, "a", text="again")) == {"text": "again"}


async def test_idle_workers_retire_and_the_next_attempt_gets_a_new_one(tmp_path: Path) -> None:
    patience = Patience(idle_s=0.2, tick_s=0.05)
    async with open_workshop(tmp_path, patience=patience) as workshop:
        await echo(workshop, "a")
        pids = workshop.pids()
        await eventually(lambda: not workshop.pool.load().workers)

        assert not any(is_alive(pid) for pid in pids)
        assert result_of(await echo(workshop, "b", text="new")) == {"text": "new"}


async def test_leaving_the_pool_cancels_what_runs_and_leaves_no_worker(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        async with open_workshop(tmp_path) as workshop:
            runs = [tasks.create_task(echo(workshop, f"job {n}", sleep_s=30)) for n in range(4)]
            await eventually(lambda: workshop.pool.load().busy == 2)
            pids = {*workshop.pids(), workshop.spawner.reaper_pid}

        assert [await run for run in runs] == [Cancelled()] * 4
        assert not any(is_alive(pid) for pid in pids)


async def test_a_worker_knows_only_what_it_may(tmp_path: Path) -> None:
    environment = {
        "PATH": "/usr/bin",
        "HOME": "/nowhere",
        "LANG": "C.UTF-8",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "MESHD_API_TOKEN": "canary",
        "HTTPS_PROXY": "http://me:canary@proxy",
        "PYTHONPATH": "/canary",
    }
    async with open_workshop(tmp_path, environment=environment) as workshop:
        result = result_of(await workshop.do("environment", job="j1"))
        reaper = Path(f"/proc/{workshop.spawner.reaper_pid}/environ")
        told_reaper = await asyncio.to_thread(reaper.read_bytes) if sys.platform == "linux" else b""

    assert "canary" not in json.dumps(result)
    assert b"canary" not in told_reaper
    seen = cast("dict[str, str]", result["environment"])
    assert seen["PATH"] == "/usr/bin"
    assert seen["JAX_PLATFORMS"] == "cpu"
    assert seen["MESHD_JAX_CACHE"] == str(tmp_path / "jax-cache")
    assert seen["MESHD_ATTEMPT"] == "j1/1"
    assert {name for name in seen if name.startswith("MESHD_")} == {
        "MESHD_ATTEMPT",
        "MESHD_JAX_CACHE",
        "MESHD_NODE",
        "MESHD_WORKER",
    }


async def test_a_spec_that_no_message_can_carry_is_bad_input_and_the_worker_stays(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, slots=1) as workshop:
        outcome = await workshop.do("quiet", seconds=2**70)

        assert isinstance(outcome, Failed)
        assert outcome.error_kind == "bad_input"
        assert result_of(await echo(workshop, "b", text="fine")) == {"text": "fine"}


async def test_a_worker_loads_nothing_heavy_before_it_is_ready() -> None:
    code = "import sys, meshd.execution.worker, meshd.kinds.echo.program; print(*sys.modules)"
    heavy = {"asyncio", "jax", "numpy", "aiohttp", "psutil", "cryptography", "email", "importlib.metadata", "rich"}

    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, check=True)

    assert heavy & set(done.stdout.decode().split()) == set()
