"""Troubles that the simulation has met once, one by one: what happened is written out, the monitor watches as ever."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from meshd_protocol.ids import JobId
from meshd_protocol.limits import LEASE_S
from meshd_protocol.localapi import JobRequest
from tests.simulation.daemon import Daemon
from tests.simulation.monitor import Monitor
from tests.simulation.nodes import live_through
from tests.simulation.nodes_world import Device, World
from tests.simulation.options import quiet
from tests.simulation.workers import DIVIDED, KINDS, PURE, SAFE

Script = Callable[[World, Device, Device], Coroutine[object, object, None]]


def play(script: Script, **rates: float) -> Monitor:
    """Let `script` happen to a laptop and a PC, then let everything come to rest."""

    async def main(world: World) -> None:
        world.begin()
        await world.until(5.0)
        laptop, pc = world.devices
        await script(world, laptop, pc)
        await world.come_to_rest()

    monitor = live_through("a scenario", quiet(**rates), main)
    assert monitor.violation is None, "\n".join(monitor.last_lines(60))
    return monitor


def up(device: Device) -> Daemon:
    assert device.serving is not None
    return device.serving


async def submit(device: Device, kind: str, placement: str, seconds: float) -> JobId:
    spec: dict[str, object] = {"seconds": seconds}
    if kind == DIVIDED:
        spec |= {"units": 30, "seed": 1, "large": False}
    request = JobRequest(kind=kind, spec=spec, placement=placement, offload_timeout_s=120.0)
    work = up(device).origin.submit(request, idempotency_key=None)
    return JobId((await up(device).spawn(work, "submit")).id)


def story(monitor: Monitor, job: JobId) -> list[str]:
    """Return what the story says about a job."""
    return [line for line in monitor.last_lines(1000) if job in line]


def at(lines: list[str], what: str) -> float:
    """Return when something is first said."""
    return next(float(line.split()[0]) for line in lines if what in line)


def test_a_worker_whose_lease_lapses_while_its_machine_sleeps_is_stopped_when_that_wakes() -> None:
    jobs: list[JobId] = []

    async def script(world: World, laptop: Device, pc: Device) -> None:
        jobs.append(await submit(laptop, SAFE, "pc", 200.0))
        await world.until(20.0)
        world.troubles.block(world.line(laptop.id, pc.id), (200.0, 200.0))
        await world.until(22.3)
        world.sleep(pc, LEASE_S)
        await world.until(22.3 + LEASE_S + 4.0)

    lines = story(play(script, pauses=1e-9), jobs[0])
    assert at(lines, "its worker is stopped") <= 22.3 + LEASE_S + 1.0


def test_an_origin_that_wakes_takes_the_result_that_was_computed_while_it_slept() -> None:
    jobs: list[JobId] = []

    async def script(world: World, laptop: Device, pc: Device) -> None:
        jobs.append(await submit(laptop, PURE, "pc", 30.0))
        await world.until(10.0)
        world.sleep(laptop, 120.0)
        await world.until(140.0)

    lines = story(play(script, pauses=1e-9), jobs[0])
    assert any("job: completed" in line for line in lines)
    assert not any("attempt 2" in line or "lost" in line for line in lines)


def test_a_checkpoint_that_is_being_written_when_its_daemon_stops_keeps_its_blob() -> None:
    jobs: list[JobId] = []

    async def script(world: World, laptop: Device, pc: Device) -> None:
        jobs.append(await submit(laptop, DIVIDED, "local", 60.0))
        await world.until(8.0)
        laptop.disk.slow_s = 1.5
        known = set(laptop.blobs.blobs)
        while known >= set(laptop.blobs.blobs):  # noqa: ASYNC110 - waiting costs nothing here
            await asyncio.sleep(0.01)
        # Its blob is there, its row is on the way to the disk.
        daemon = up(laptop)
        await daemon.spawn(daemon.stop(), "stop")
        world.end(laptop, daemon, (0.5, 0.5))
        await world.until(world.now() + 5.0)

    monitor = play(script)
    assert "an attempt went on from a checkpoint" in monitor.sometimes


def test_a_checkpoint_that_has_rotted_makes_room_for_the_next_one() -> None:
    jobs: list[JobId] = []

    async def script(world: World, laptop: Device, pc: Device) -> None:
        jobs.append(await submit(laptop, DIVIDED, "local", 60.0))
        await world.until(30.0)
        laptop.blobs.rot()
        world.crash(laptop, (1.0, 1.0))
        await world.until(60.0)

    lines = story(play(script), jobs[0])
    assert any("its checkpoint is dropped" in line for line in lines)
    assert any("attempt 2: units 0 to" in line for line in lines)


@pytest.mark.parametrize("kind", [PURE, DIVIDED])
def test_what_a_device_no_longer_allows_stops_there_and_runs_elsewhere(kind: str) -> None:
    jobs: list[JobId] = []

    async def script(world: World, laptop: Device, pc: Device) -> None:
        jobs.append(await submit(laptop, kind, "auto", 40.0))
        await world.until(25.0)
        book = up(pc).book
        await up(pc).spawn(book.set_permissions(laptop.id, [each for each in KINDS if each != kind]), "revoke")
        await world.until(30.0)

    # The PC is four times as fast, by its own word: what is declared to be faster is chosen.
    lines = story(play(script), jobs[0])
    assert at(lines, "its worker is stopped") <= 26.0
    assert any("no longer allowed" in line for line in lines)
    assert any("job: completed" in line for line in lines)


def test_what_an_unpaired_device_worked_on_is_taken_back_and_what_it_wanted_stops() -> None:
    jobs: list[JobId] = []

    async def script(world: World, laptop: Device, pc: Device) -> None:
        jobs.append(await submit(laptop, PURE, "pc", 100.0))
        jobs.append(await submit(pc, SAFE, "laptop", 100.0))
        await world.until(15.0)
        await up(pc).spawn(up(pc).links.unpair(laptop.id), "unpair")
        await world.until(20.0)

    monitor = play(script)
    for job in jobs:
        lines = story(monitor, job)
        assert at(lines, "its worker is stopped") <= 16.0
        assert any("no longer paired" in line for line in lines)
