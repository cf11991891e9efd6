"""Two devices and a line between them: jobs of one run on the other, and nothing is lost or done twice."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meshd.execution.outcome import Failed, ProgressReport
from meshd_protocol.ids import DeviceId
from meshd_protocol.limits import SESSION_GRACE_S
from meshd_protocol.localapi import JobRequest
from tests.support.desk import Desk, PlainKind, joined, open_desk
from tests.support.eventually import eventually

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")


async def two_desks(stack: AsyncExitStack, folder: Path, kind: PlainKind | None = None) -> tuple[Desk, Desk]:
    laptop = await stack.enter_async_context(open_desk(folder / "laptop", LAPTOP, {PC: "pc"}, kind=kind))
    pc = await stack.enter_async_context(open_desk(folder / "pc", PC, {LAPTOP: "laptop"}, kind=kind))
    return laptop, pc


@pytest.mark.asyncio
async def test_a_job_runs_here_when_nobody_else_is_there(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        job = await laptop.submit()
        await eventually(lambda: len(laptop.pool.runs) == 1)
        laptop.pool.runs[0].succeed()
        await eventually(lambda: is_state(laptop, job, "completed"))
        view = await laptop.view(job)
        assert bytes(view.result or b"") == b'{"answer":42}'
        assert [line.state for line in view.story or ()][-1] == "completed"


async def is_state(desk: Desk, job: str, state: str) -> bool:
    return (await desk.history.job(job)).state == state


@pytest.mark.asyncio
async def test_a_job_placed_on_a_peer_runs_there_and_its_result_comes_home(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].on_progress(ProgressReport(0.4, "42 pts", "", 3.0))
        await eventually(lambda: progress_is(laptop, job, 0.4))
        assert (await laptop.view(job)).best == "42 pts"
        pc.pool.runs[0].succeed()
        await eventually(lambda: is_state(laptop, job, "completed"))
        view = await laptop.view(job)
        assert view.device == "pc"
        assert [(attempt.number, attempt.device, attempt.state) for attempt in view.attempts] == [
            (1, "pc", "succeeded")
        ]
        await eventually(lambda: nothing_waits(laptop, pc))


async def progress_is(desk: Desk, job: str, share: float) -> bool:
    return (await desk.history.job(job)).progress == share


async def nothing_waits(*desks: Desk) -> bool:
    for desk in desks:
        for table in ("outbox", "held"):
            if await desk.store.fetch(f"SELECT * FROM {table}"):  # noqa: S608
                return False
    return True


@pytest.mark.asyncio
async def test_a_job_waits_for_the_device_that_its_user_named(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        job = await laptop.submit("pc")
        await eventually(lambda: reason_is(laptop, job, "pc is offline"))
        assert (await laptop.view(job)).state == "queued"
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: len(pc.pool.runs) == 1)


async def reason_is(desk: Desk, job: str, reason: str) -> bool:
    return (await desk.history.job(job)).reason == reason


@pytest.mark.asyncio
async def test_an_executor_that_is_restarted_loses_the_attempt_and_the_job_continues_here(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop:
        async with open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}) as pc, joined(laptop, pc):
            job = await laptop.submit("pc")
            await eventually(lambda: is_state(laptop, job, "running"))
        async with open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}) as pc, joined(laptop, pc):
            await eventually(lambda: len(laptop.pool.runs) == 1)
            view = await laptop.view(job)
            # The peer says so itself, and it is seen from what it no longer holds; either may be first.
            assert "was restarted" in " ".join(line.cause for line in view.story or ())
            assert any(line.state == "retrying" for line in view.story or ())
            laptop.pool.runs[0].succeed()
            await eventually(lambda: is_state(laptop, job, "completed"))


@pytest.mark.asyncio
async def test_a_result_that_was_finished_while_the_line_was_cut_is_applied_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        async with joined(laptop, pc):
            job = await laptop.submit("pc")
            await eventually(lambda: is_state(laptop, job, "running"))
        pc.pool.runs[0].succeed()
        await eventually(lambda: not pc.pool.runs)
        for _ in range(3):
            async with joined(laptop, pc):
                await eventually(lambda: is_state(laptop, job, "completed"))
        assert [attempt.state for attempt in (await laptop.view(job)).attempts] == ["succeeded"]
        results = [line for line in (await laptop.view(job)).story or () if line.state == "completed"]
        assert len(results) == 1


@pytest.mark.asyncio
async def test_an_origin_that_is_restarted_finds_its_job_running_on_the_peer(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}) as pc:
        async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop, joined(laptop, pc):
            job = await laptop.submit("pc")
            await eventually(lambda: is_state(laptop, job, "running"))
        async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop, joined(laptop, pc):
            await asyncio.sleep(0)
            pc.pool.runs[0].succeed()
            await eventually(lambda: is_state(laptop, job, "completed"))
            assert len((await laptop.view(job)).attempts) == 1


@pytest.mark.asyncio
async def test_what_ran_here_runs_again_after_a_restart(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        job = await laptop.submit()
        await eventually(lambda: is_state(laptop, job, "running"))
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        await eventually(lambda: len(laptop.pool.runs) == 1)
        assert laptop.pool.runs[0].attempt == 2
        laptop.pool.runs[0].succeed()
        await eventually(lambda: is_state(laptop, job, "completed"))


@pytest.mark.asyncio
async def test_a_cut_line_moves_a_deterministic_job_after_the_grace_and_the_first_result_counts(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        async with joined(laptop, pc):
            job = await laptop.submit("pc")
            await eventually(lambda: is_state(laptop, job, "running"))
        await eventually(lambda: len(laptop.pool.runs) == 1, within_s=SESSION_GRACE_S + 10)
        assert (await laptop.view(job)).reason == "the connection to pc is lost"
        pc.pool.runs[0].succeed()
        async with joined(laptop, pc):
            await eventually(lambda: is_state(laptop, job, "completed"))
            await eventually(lambda: not laptop.pool.runs)
        states = [attempt.state for attempt in (await laptop.view(job)).attempts]
        assert states == ["succeeded", "superseded"]


@pytest.mark.asyncio
async def test_a_superseded_attempt_is_stopped_when_its_executor_is_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        async with joined(laptop, pc):
            job = await laptop.submit("pc")
            await eventually(lambda: is_state(laptop, job, "running"))
        await laptop.origin.cancel(job, reason="cancelled by its user")
        assert (await laptop.view(job)).state == "cancelled"
        assert len(pc.pool.runs) == 1
        async with joined(laptop, pc):
            await eventually(lambda: not pc.pool.runs)
            await eventually(lambda: nothing_waits(laptop, pc))


@pytest.mark.asyncio
async def test_a_running_job_on_a_peer_is_cancelled_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        await eventually(lambda: is_state(laptop, job, "running"))
        await laptop.history.cancel(job, reason="cancelled by its user")
        await eventually(lambda: not pc.pool.runs)
        assert (await laptop.view(job)).state == "cancelled"


@pytest.mark.asyncio
async def test_a_peer_that_declines_makes_the_job_continue_here(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}))
        other = PlainKind(name="other")
        pc = await stack.enter_async_context(open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}, kind=other))
        pc.roster.own_status = laptop.roster.own_status  # it claims more than it permits
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        await eventually(lambda: len(laptop.pool.runs) == 1)
        view = await laptop.view(job)
        assert view.state in {"retrying", "running"}
        assert "pc declined" in view.reason
        assert view.attempts[0].state == "declined"


@pytest.mark.asyncio
async def test_a_worker_that_dies_on_the_peer_costs_no_retries(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].end.set_result(Failed("lost", "its worker was killed by SIGKILL (9)"))
        await eventually(lambda: len(laptop.pool.runs) == 1)
        laptop.pool.runs[0].succeed()
        await eventually(lambda: is_state(laptop, job, "completed"))


@pytest.mark.asyncio
async def test_two_devices_may_work_for_each_other_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        there = [await laptop.submit("pc") for _ in range(6)]
        back = [await pc.submit("laptop") for _ in range(6)] if pc.roster.snapshot({}).called("laptop") else []
        assert back
        while any([await laptop.state(job) != "completed" for job in there]):
            for desk in (laptop, pc):
                for run in list(desk.pool.runs):
                    if not run.end.done():
                        run.succeed()
            await asyncio.sleep(0)
        for job in back:
            for _ in range(2000):
                if await pc.state(job) == "completed":
                    break
                for run in list(laptop.pool.runs):
                    if not run.end.done():
                        run.succeed()
            assert await pc.state(job) == "completed"


@pytest.mark.asyncio
async def test_one_key_makes_one_job_however_often_it_is_submitted(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        request = JobRequest(kind="plain", spec={})
        answers = await asyncio.gather(*(laptop.origin.submit(request, idempotency_key="the same") for _ in range(5)))
        assert len({answer.id for answer in answers}) == 1


@pytest.mark.parametrize("where", ["local", "pc"])
@pytest.mark.asyncio
async def test_a_result_that_the_disk_does_not_take_is_kept_until_it_does(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshd.net.streams.INSIST_S", 0.05)
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit(where)
        runner = laptop if where == "local" else pc
        await eventually(lambda: is_state(laptop, job, "running"))
        await fill_disk(runner)
        big = b'{"big":"' + b"x" * 500_000 + b'"}'
        runner.pool.runs[0].succeed(big)
        await eventually(lambda: not runner.pool.runs)
        assert (await laptop.view(job)).state != "completed"
        await runner.store.write(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchone())
        await eventually(lambda: is_state(laptop, job, "completed"))
        assert bytes((await laptop.view(job)).result or b"") == big


async def fill_disk(desk: Desk) -> None:
    pages = await desk.store.write(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await desk.store.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())
