"""What belongs to a daemon is found by its marks, and nothing else is."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.soak.processes import of_home

HOME = Path("/a/home/that/no/daemon/has")


@pytest.fixture
def worker() -> Generator[subprocess.Popen[bytes]]:
    """Return a process that has escaped from its group, with the marks of a worker."""
    marks = {"MESHD_WORKER": "7-abc-1", "MESHD_JAX_CACHE": f"{HOME}/workers/jax-cache"}
    program = "print(flush=True); import time; time.sleep(60)"
    started = subprocess.Popen(
        [sys.executable, "-c", program], env=marks, start_new_session=True, stdout=subprocess.PIPE
    )
    with started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started
        started.kill()


def test_a_worker_of_a_home_is_found_and_is_gone_when_it_has_ended(worker: subprocess.Popen[bytes]) -> None:
    found = of_home(HOME, None)
    assert [(process.pid, process.is_worker, process.is_there()) for process in found] == [(worker.pid, True, True)]
    assert of_home(HOME.parent, None) == []
    found[0].signal(signal.SIGKILL)
    assert worker.wait(5) == -signal.SIGKILL
    assert not found[0].is_there()
    assert of_home(HOME, None) == []


def test_a_zombie_is_gone(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    # Waited for without being collected.
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert of_home(HOME, None) == []


def test_the_reaper_of_a_daemon_is_found_by_the_number_of_that_daemon() -> None:
    program = "import sys, time; print(flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", program, "/meshd/execution/reaper.py", "5", "1234567-abc"],
        env={},
        stdout=subprocess.PIPE,
    ) as reaper:
        try:
            assert reaper.stdout is not None
            reaper.stdout.readline()
            assert [process.pid for process in of_home(HOME, 1234567)] == [reaper.pid]
            assert of_home(HOME, 123456) == []
            assert of_home(HOME, None) == []
        finally:
            reaper.kill()
