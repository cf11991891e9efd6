"""A device's owner comes first: a pause and a battery keep new jobs away, running ones go on, waiting ones move."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meshd.jobs.readiness import PAUSED
from meshd_protocol.ids import DeviceId, JobId
from tests.support.desk import Desk, PlainKind, joined, open_desk
from tests.support.eventually import eventually
from tests.support.manual_machine import ManualMachine, a_machine

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")
pytestmark = pytest.mark.asyncio


SHORT = PlainKind(units=0.3)
"""So short that a peer is sent the next one before it has done with the first: it waits there."""

DECLARED = {"plain": 1.0}


async def two_desks(stack: AsyncExitStack, folder: Path, machine: ManualMachine | None = None) -> tuple[Desk, Desk]:
    laptop = await stack.enter_async_context(
        open_desk(folder / "laptop", LAPTOP, {PC: "pc"}, slots=1, kind=SHORT, declared=DECLARED)
    )
    pc = await stack.enter_async_context(
        open_desk(folder / "pc", PC, {LAPTOP: "laptop"}, slots=1, kind=SHORT, declared=DECLARED, machine=machine)
    )
    await stack.enter_async_context(joined(laptop, pc))
    await eventually(lambda: all(desk.roster.heard_at(peer) > 0 for desk, peer in ((laptop, PC), (pc, LAPTOP))))
    return laptop, pc


async def is_state(desk: Desk, job: str, state: str) -> bool:
    return (await desk.history.job(job)).state == state


async def test_a_pause_lasts_across_a_restart_until_it_is_ended(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        await laptop.readiness.pause()
        since = laptop.readiness.paused_since
        assert since is not None
        job = await laptop.submit()
        await eventually(lambda: reason_is(laptop, job, "here is paused"))
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        assert laptop.readiness.paused_since == since
        await eventually(lambda: reason_is(laptop, job, "here is paused"))
        await laptop.readiness.pause()
        assert laptop.readiness.paused_since == since
        assert laptop.pool.runs == []
        await laptop.readiness.resume()
        await eventually(lambda: len(laptop.pool.runs) == 1)
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        assert not laptop.readiness.is_paused


async def reason_is(desk: Desk, job: str, reason: str) -> bool:
    return (await desk.history.job(job)).reason == reason


async def test_what_runs_when_a_device_is_paused_runs_to_its_end(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        job = await laptop.submit()
        await eventually(lambda: len(laptop.pool.runs) == 1)
        await laptop.readiness.pause()
        laptop.pool.runs[0].succeed()
        await eventually(lambda: is_state(laptop, job, "completed"))


async def test_a_paused_device_sends_its_own_jobs_elsewhere(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await laptop.readiness.pause()
        await laptop.submit()
        await eventually(lambda: len(pc.pool.runs) == 1)
        assert laptop.pool.runs == []


async def test_peers_are_told_of_a_pause_and_of_its_end(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await pc.readiness.pause()
        await eventually(lambda: paused_for(laptop))
        job = await laptop.submit("pc")
        await eventually(lambda: reason_is(laptop, job, "pc is paused"))
        await pc.readiness.resume()
        await eventually(lambda: len(pc.pool.runs) == 1)
        assert not paused_for(laptop)


def paused_for(desk: Desk) -> bool:
    status = desk.roster.impression(PC).status
    return status is not None and status.paused


def reluctance_for(desk: Desk) -> str:
    status = desk.roster.impression(PC).status
    return "" if status is None else status.reluctance


async def waiting_on_pc(laptop: Desk, pc: Desk) -> JobId:
    """Return a job of the laptop that waits on the pc, behind one that runs there."""
    await laptop.submit("pc")
    await eventually(lambda: len(pc.pool.runs) == 1)
    job = await laptop.submit("pc")
    await eventually(lambda: pc.executor.queued == 1)
    return job


async def test_what_waits_on_a_device_that_is_paused_runs_elsewhere(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        job = await waiting_on_pc(laptop, pc)
        await pc.readiness.pause()
        await eventually(lambda: len(laptop.pool.runs) == 1)
        assert laptop.pool.runs[0].job.startswith(job)
        assert f"pc declined: {PAUSED}" in await causes(laptop, job)
        assert (pc.executor.queued, len(pc.pool.runs)) == (0, 1)
        laptop.pool.runs[0].succeed()
        pc.pool.runs[0].succeed()
        await eventually(lambda: is_state(laptop, job, "completed"))
        await eventually(lambda: nothing_held(pc))


async def causes(desk: Desk, job: str) -> list[str]:
    return [line.cause for line in (await desk.history.job(job)).story or ()]


async def nothing_held(desk: Desk) -> bool:
    return await desk.store.fetch("SELECT * FROM held") == []


async def test_on_a_low_battery_the_jobs_of_others_are_not_taken_and_own_ones_are(tmp_path: Path) -> None:
    machine = ManualMachine(a_machine(charge=0.9))
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path, machine)
        await pc.gauge.look()
        waiting = await waiting_on_pc(laptop, pc)
        machine.reading = a_machine(charge=0.3)
        await pc.gauge.look()
        await eventually(lambda: any(run.job.startswith(waiting) for run in laptop.pool.runs))
        assert "pc declined: on battery at 30%" in await causes(laptop, waiting)
        assert len(pc.pool.runs) == 1

        await eventually(lambda: reluctance_for(laptop) != "")
        job = await laptop.submit("pc")
        await eventually(lambda: reason_is(laptop, job, "pc takes no jobs of others now: on battery at 30%"))
        own = await pc.submit("local")
        pc.pool.runs[0].succeed()
        await eventually(lambda: any(run.job.startswith(own) for run in pc.pool.runs))

        machine.reading = a_machine(charge=0.3, plugged=True)
        await pc.gauge.look()
        pc.pool.runs[0].succeed()
        await eventually(lambda: any(run.job.startswith(job) for run in pc.pool.runs))


async def test_a_charge_that_falls_on_moves_nothing_again(tmp_path: Path) -> None:
    machine = ManualMachine(a_machine(charge=0.4))
    async with open_desk(tmp_path / "laptop", LAPTOP, {}, machine=machine) as laptop:
        told: list[str] = []
        laptop.readiness.watch(lambda: told.append(laptop.readiness.reluctance))
        for charge in (0.4, 0.3, 0.2, 0.6, 0.55):
            machine.reading = a_machine(charge=charge)
            await laptop.gauge.look()
        assert told == ["on battery at 40%", ""]


async def test_an_offer_that_was_on_its_way_when_its_device_was_paused_is_declined(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        # The laptop does not hear of it in time.
        laptop.roster.hear = lambda peer, message: None
        await pc.readiness.pause()
        job = await laptop.submit("pc")
        await eventually(lambda: len(laptop.pool.runs) == 1)
        assert f"pc declined: {PAUSED}" in await causes(laptop, job)
        assert pc.pool.runs == []
