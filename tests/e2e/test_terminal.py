"""`meshd run` in a real terminal: what its user types there decides what becomes of the job."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshd_protocol.localapi import JobView
from tests.faults.daemon import RealDaemon, a_daemon
from tests.support.hosts import until

CTRL_C = b"\x03"
ANSWER_S = 30.0
SCRIPT = "echo first; exec sleep 600"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealDaemon]:
    with a_daemon(tmp_path_factory.mktemp("daemon"), MESHD_SLOTS="2") as daemon:
        daemon.start()
        daemon.wait_until_ready()
        yield daemon
        assert daemon.stop() == 0


@dataclass
class Terminal:
    """A command in a terminal of its own."""

    process: subprocess.Popen[bytes]
    keyboard: int
    shown: bytes = field(default=b"")

    def type(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def shows(self, text: bytes) -> None:
        """Return once this has appeared."""
        while text not in self.shown:
            try:
                piece = os.read(self.keyboard, 4096)
            except OSError:
                piece = b""
            assert piece, f"it has ended, and shows {self.shown!r}"
            self.shown += piece


@contextmanager
def terminal(daemon: RealDaemon, *arguments: str) -> Generator[Terminal]:
    """Start a command of meshd in the foreground of a terminal."""
    keyboard, screen = os.openpty()
    meshd = str(Path(sys.executable).with_name("meshd"))
    try:
        # The terminal has to be its own, so that Ctrl-C reaches it and nobody else.
        process = subprocess.Popen(
            # Whoever runs the tests in the background has told them, and with them this, to ignore Ctrl-C.
            ["env", "--default-signal=INT", "setsid", "--ctty", meshd, *arguments],
            env=daemon.environ,
            stdin=screen,
            stdout=screen,
            stderr=screen,
            cwd=daemon.paths.data,
        )
        os.close(screen)
        with process:
            yield Terminal(process, keyboard)
            process.wait(ANSWER_S)
    finally:
        os.close(keyboard)


def only_job(daemon: RealDaemon) -> JobView:
    return daemon.client.jobs(limit=1).jobs[0]


@pytest.mark.parametrize(
    ("key", "state", "code"), [(b"c\n", "cancelled", 1), (b"d\n", "running", 130), (b"\n", "running", 130)]
)
def test_ctrl_c_asks_whether_the_job_is_to_end_or_to_go_on(
    daemon: RealDaemon, key: bytes, state: str, code: int
) -> None:
    with terminal(daemon, "run", "--", "sh", "-c", SCRIPT) as screen:
        screen.shows(b"first")
        screen.type(CTRL_C)
        screen.shows(b"[c]ancel")
        screen.type(key)
        screen.shows(b"cancelling" if state == "cancelled" else b"the job goes on")
        job = only_job(daemon)
    assert screen.process.returncode == code
    until(lambda: daemon.client.job(job.id).state == state, what=f"the job is {state}")
    if state == "running":
        daemon.client.cancel(job.id)


def test_ctrl_c_while_it_asks_changes_nothing(daemon: RealDaemon) -> None:
    with terminal(daemon, "run", "--", "sh", "-c", SCRIPT) as screen:
        screen.shows(b"first")
        screen.type(CTRL_C)
        screen.shows(b"[c]ancel")
        screen.type(CTRL_C)
        screen.type(b"c\n")
        screen.shows(b"cancelling")
        job = only_job(daemon)
    until(lambda: daemon.client.job(job.id).state == "cancelled", what="the job is cancelled")


def test_a_command_has_no_terminal_and_ctrl_c_does_not_reach_it(daemon: RealDaemon) -> None:
    script = "trap 'echo hit' INT; echo first; read answer && echo typed; sleep 600"
    with terminal(daemon, "run", "--", "sh", "-c", script) as screen:
        screen.shows(b"first")
        screen.type(CTRL_C)
        screen.shows(b"[c]ancel")
        screen.type(b"d\n")
        screen.shows(b"the job goes on")
        job = only_job(daemon)
    assert daemon.client.log(job.id).data == b"first\n"
    daemon.client.cancel(job.id)


def test_settings_of_a_run_reach_the_command(daemon: RealDaemon) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("meshd")), "run", "--env", "A=b=c", "--env", "EMPTY=", "--", "env"],
        env={**daemon.environ, "SECRET_TOKEN": "x"},
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        check=True,
    )
    variables = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert (variables["A"], variables["EMPTY"]) == ("b=c", "")
    assert "SECRET_TOKEN" not in variables


@pytest.mark.parametrize("given", ["A", "=b"])
def test_a_variable_without_a_name_or_a_value_is_refused(daemon: RealDaemon, given: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("meshd")), "run", "--env", given, "--", "env"],
        env=daemon.environ,
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected NAME=VALUE" in done.stderr
