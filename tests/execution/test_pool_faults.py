"""Whatever a job does, its attempt fails with one sentence, and nothing else is touched."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from meshd import kinds
from meshd.clock import SystemClock
from meshd.errors import Degraded
from meshd.execution import logs
from meshd.execution.attendance import Patience
from meshd.execution.outcome import Cancelled, Failed, Outcome, Succeeded
from meshd.execution.pool import open_pool
from meshd.execution.spawner import open_spawner
from tests.execution.workshop import COUNTING, MISCHIEF, PlainKind, Workshop, family, is_alive, open_workshop
from tests.support.eventually import eventually

pytestmark = pytest.mark.asyncio

CANCEL_S = 2.0
"""In which a cancelled attempt must be gone, with its whole process tree."""


def failure(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


async def runs(workshop: Workshop) -> bool:
    """Return whether the pool still works."""
    echo = kinds.find("echo")
    outcome = await workshop.pool.run(job="after", attempt=1, kind=echo, resolved=echo.validate({}), timeout_s=30)
    return isinstance(outcome, Succeeded)


async def test_a_large_frame_without_json_is_refused_too(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, slots=1) as workshop:
        outcome = failure(await workshop.do("finish_without_json", size=1_000_000))

        assert "JSON is malformed" in outcome.message
        assert await runs(workshop)


async def test_the_last_lines_of_a_crashed_worker_are_in_the_detail(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        assert failure(await workshop.do("exit_7")).detail == "the last words\n"
        assert "Segmentation fault" in failure(await workshop.do("segfault")).detail


@pytest.mark.parametrize(("size", "succeeds"), [(40 << 20, True), (70 << 20, False)])
async def test_a_result_may_be_large_but_not_boundless(tmp_path: Path, size: int, *, succeeds: bool) -> None:
    echo = kinds.find("echo")
    async with open_workshop(tmp_path) as workshop:
        outcome = await workshop.pool.run(
            job="a", attempt=1, kind=echo, resolved=echo.validate({"size_bytes": size}), timeout_s=60
        )

        assert isinstance(outcome, Succeeded) is succeeds
        assert await runs(workshop)


async def test_a_program_whose_libraries_are_missing_says_what_to_install(tmp_path: Path) -> None:
    kind = PlainKind("dreams", "tests.execution.needs_jax")
    async with open_workshop(tmp_path) as workshop:
        outcome = failure(await workshop.pool.run(job="a", attempt=1, kind=kind, resolved={}))

    message = "dreams needs jax, which is not installed on this device: install meshd[jax]"
    assert (outcome.error_kind, outcome.message, outcome.detail) == ("bad_input", message, "")


async def test_a_killed_worker_names_its_signal_and_the_other_attempt_goes_on(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        victim = tasks.create_task(workshop.do("quiet", job="victim", seconds=30))
        await eventually(lambda: workshop.pool.load().busy == 1)
        (pid,) = workshop.pids()
        other = tasks.create_task(workshop.do("quiet", job="other", seconds=0.5))
        await eventually(lambda: workshop.pool.load().busy == 2)
        os.kill(pid, signal.SIGKILL)

        assert "killed by SIGKILL (9); this device may be out of memory" in failure(await victim).message
        assert isinstance(await other, Succeeded)


async def test_a_worker_that_falls_silent_is_killed_and_one_that_only_computes_is_not(tmp_path: Path) -> None:
    patience = Patience(silence_s=2.0, tick_s=0.2)
    async with open_workshop(tmp_path, patience=patience) as workshop, asyncio.TaskGroup() as tasks:
        busy = tasks.create_task(workshop.do("quiet", job="busy", seconds=4))
        frozen = tasks.create_task(workshop.do("freeze", job="frozen"))
        await eventually(lambda: len(workshop.reports) > 0)
        pids = workshop.pids()

        assert "no sign of life for 2 s" in failure(await frozen).message
        assert sum(is_alive(pid) for pid in pids) == 1
        assert isinstance(await busy, Succeeded)


@pytest.mark.parametrize("mischief", ["stubborn", "freeze", "family"])
async def test_a_cancelled_attempt_is_gone_within_two_seconds(tmp_path: Path, mischief: str) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(workshop.do(mischief))
        await eventually(lambda: len(workshop.reports) > 0)
        await asyncio.sleep(0.4 if mischief == "freeze" else 0)
        processes = workshop.pids()
        if mischief == "family":
            processes |= family(workshop.reports)
        asked_at = SystemClock().boot()
        workshop.pool.cancel("job", 1)

        assert await run == Cancelled()
        assert SystemClock().boot() - asked_at < CANCEL_S
        assert not any(is_alive(pid) for pid in processes)
        assert await runs(workshop)


async def test_a_program_that_does_not_look_whether_to_stop_may_clean_up_before_it_is_killed(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(workshop.do("tidy", mark=str(tmp_path / "clean")))
        await eventually(lambda: len(workshop.reports) > 0)
        workshop.pool.cancel("job", 1)

        assert await run == Cancelled()
        assert (tmp_path / "clean").exists()


async def test_an_attempt_that_may_be_killed_is_not_waited_for_and_a_fresh_worker_takes_its_place(
    tmp_path: Path,
) -> None:
    endless = Patience(stop_s=600, terminate_s=600)
    hasty = replace(MISCHIEF, may_be_killed=True)
    async with open_workshop(tmp_path, slots=1, patience=endless) as workshop, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(workshop.do("stubborn", kind=hasty))
        await eventually(lambda: len(workshop.reports) > 0)
        before = workshop.pids()
        workshop.pool.cancel("job", 1)

        assert await run == Cancelled()
        assert not any(is_alive(pid) for pid in before)
        await eventually(lambda: len(workshop.pids()) == 1)
        assert not workshop.pids() & before
        assert await runs(workshop)


async def test_an_attempt_that_may_be_killed_keeps_its_worker_if_it_listens(tmp_path: Path) -> None:
    hasty, units = replace(COUNTING, may_be_killed=True), {"units": 100_000, "unit_s": 0.01}
    async with (
        open_workshop(tmp_path, slots=1, patience=Patience(notice_s=600)) as workshop,
        asyncio.TaskGroup() as tasks,
    ):
        run = tasks.create_task(workshop.pool.run(job="a", attempt=1, kind=hasty, resolved=units))
        await eventually(lambda: workshop.pool.load().busy == 1)
        before = workshop.pids()
        workshop.pool.cancel("a", 1)

        assert await run == Cancelled()
        assert workshop.pids() == before


async def test_a_timeout_stops_the_attempt_and_says_so(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        outcome = failure(await workshop.do("quiet", seconds=30, timeout_s=0.2))

    assert outcome.error_kind == "timeout"
    assert "it was not finished after 0.2 s" in outcome.message


@pytest.mark.parametrize("then", ["return", "wait"])
async def test_what_an_attempt_has_left_behind_dies_with_its_worker(tmp_path: Path, then: str) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(workshop.do("family", then=then))
        await eventually(lambda: len(family(workshop.reports)) == 3 or run.done())
        before = workshop.pids()
        if then == "wait":
            workshop.pool.cancel("job", 1)

        assert isinstance(await run, Succeeded if then == "return" else Cancelled)
        assert len(family(workshop.reports)) == 3
        assert not any(is_alive(pid) for pid in family(workshop.reports) | before)
        assert await runs(workshop)


async def test_an_attempt_that_takes_more_memory_than_it_may_is_killed(tmp_path: Path) -> None:
    patience = Patience(tick_s=0.1)
    async with open_workshop(tmp_path, patience=patience, memory_limit_bytes=150 << 20) as workshop:
        outcome = failure(await workshop.do("hoard"))

        assert outcome.error_kind == "out_of_memory"
        assert "more than the 150 MiB" in outcome.message
        assert await runs(workshop)


async def test_a_log_that_grew_too_long_keeps_its_end(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        await workshop.do("print_a_lot")
        (log_file,) = await asyncio.to_thread(lambda: list((tmp_path / "logs").iterdir()))
        await asyncio.to_thread(logs.bound, log_file)
        assert log_file.stat().st_size < logs.KEPT_BYTES + 1000
        assert failure(await workshop.do("exit_7", job="next")).detail == "the last words\n"

    text = log_file.read_text()
    assert "the beginning was dropped" in text
    assert text.endswith("--- attempt 1 of next ---\nthe last words\n")


async def test_workers_that_do_not_start_fail_the_attempts_and_not_the_pool(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit(5)"]
    async with (
        open_spawner(folder=tmp_path, argv=argv) as spawner,
        open_pool(spawner=spawner, clock=SystemClock(), folder=tmp_path, slots=2) as pool,
    ):
        workshop = Workshop(pool, spawner, tmp_path, [])
        outcomes = await asyncio.gather(*(workshop.do("quiet", job=str(n), seconds=0) for n in range(5)))

    assert {failure(outcome).message for outcome in outcomes} == {
        "a worker did not start: the worker ended with exit status 5"
    }


async def test_a_program_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    async with (
        open_spawner(folder=tmp_path, argv=["/no/such/program"]) as spawner,
        open_pool(spawner=spawner, clock=SystemClock(), folder=tmp_path, slots=1) as pool,
    ):
        outcome = failure(await Workshop(pool, spawner, tmp_path, []).do("quiet", seconds=0))

    assert outcome.message == "no worker can be started: No such file or directory"


async def test_a_worker_that_does_not_get_ready_is_not_waited_for(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    async with (
        open_spawner(folder=tmp_path, argv=argv) as spawner,
        open_pool(
            spawner=spawner, clock=SystemClock(), folder=tmp_path, slots=1, patience=Patience(start_s=0.3)
        ) as pool,
    ):
        outcome = failure(await Workshop(pool, spawner, tmp_path, []).do("quiet", seconds=0))

    assert outcome.message == "a worker was not ready within 0.3 s"


async def test_windows_hears_that_jobs_cannot_run_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(Degraded, match="Windows"):
        async with open_spawner(folder=tmp_path):
            pass
