"""No worker outlives its daemon, nor the reaper, nor what they have started."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from meshd.execution.outcome import Failed, Succeeded
from tests.execution.workshop import ROOT, family, is_alive, open_workshop
from tests.support.eventually import eventually

GONE_S = 2.0
"""In which everything must be gone after the daemon."""

MAX_REAPER_BYTES = 12 << 20
"""What a process that only waits may take on every device, all day."""


def start_daemon(folder: Path) -> tuple[subprocess.Popen[bytes], set[int]]:
    """Start a small daemon; return it, and its workers, what they started, and its reaper."""
    daemon = subprocess.Popen(
        [sys.executable, "-m", "tests.execution.small_daemon", str(folder)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert daemon.stdout is not None
    pids = {int(pid) for pid in daemon.stdout.readline().split()}
    assert len(pids) == 5
    return daemon, pids


@pytest.mark.asyncio
@pytest.mark.parametrize("stopped_first", [False, True], ids=["running", "with stopped workers"])
async def test_nothing_is_left_two_seconds_after_the_daemon_was_killed(tmp_path: Path, *, stopped_first: bool) -> None:
    daemon, pids = await asyncio.to_thread(start_daemon, tmp_path)
    with daemon:
        if stopped_first:
            for pid in pids - {max(pids, key=is_reaper)}:
                os.kill(pid, signal.SIGSTOP)
        daemon.kill()
        await eventually(lambda: not any(is_alive(pid) for pid in pids), within_s=GONE_S)


def is_reaper(pid: int) -> bool:
    return b"reaper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.asyncio
async def test_when_the_daemon_and_the_reaper_are_killed_together_the_workers_end_themselves(
    tmp_path: Path,
) -> None:
    daemon, pids = await asyncio.to_thread(start_daemon, tmp_path)
    reaper = max(pids, key=is_reaper)
    with daemon:
        os.kill(reaper, signal.SIGSTOP)
        daemon.kill()
        os.kill(reaper, signal.SIGKILL)
        # The one that was started without an environment, by a parent that is gone, is beyond their reach.
        await eventually(lambda: sum(is_alive(pid) for pid in pids) <= 1, within_s=GONE_S)
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.asyncio
async def test_a_killed_reaper_takes_its_workers_along_and_another_one_takes_its_place(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(workshop.do("family"))
        await eventually(lambda: len(family(workshop.reports)) == 3)
        first = workshop.spawner.reaper_pid
        child, session, orphan = sorted(family(workshop.reports), key=lambda pid: os.getpgid(pid) == pid)
        workers = workshop.pids()
        os.kill(first, signal.SIGKILL)
        outcome = await run

        assert isinstance(outcome, Failed)
        assert "lost together with the process that watches over it" in outcome.message
        await eventually(lambda: not any(is_alive(pid) for pid in {*workers, child}), within_s=GONE_S)
        await eventually(lambda: workshop.spawner.reaper_pid not in {0, first})
        assert isinstance(await workshop.do("quiet", seconds=0), Succeeded)
        # The orphan has no environment by which the new reaper could know it.
        await eventually(lambda: sum(is_alive(pid) for pid in (session, orphan)) <= 1, within_s=GONE_S)
        for pid in (session, orphan):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.asyncio
async def test_the_reaper_ignores_what_a_terminal_sends_and_stays_small(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop:
        reaper = workshop.spawner.reaper_pid
        await workshop.do("quiet", seconds=0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(reaper, number)

        assert isinstance(await workshop.do("quiet", seconds=0), Succeeded)
        assert workshop.spawner.reaper_pid == reaper
        assert all(os.getsid(pid) == pid for pid in {reaper, *workshop.pids()})
        assert resident_bytes(reaper) < MAX_REAPER_BYTES


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.asyncio
async def test_a_worker_gets_the_signals_that_its_reaper_ignores(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as workshop, asyncio.TaskGroup() as tasks:
        run = tasks.create_task(workshop.do("quiet", seconds=30))
        await eventually(lambda: workshop.pool.load().busy == 1)
        (pid,) = workshop.pids()
        os.kill(pid, signal.SIGTERM)
        outcome = await run

    assert isinstance(outcome, Failed)
    assert "the worker was killed by SIGTERM (15)" in outcome.message
