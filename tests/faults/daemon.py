"""A real daemon in a process of its own, made to be killed: loopback only, with a home of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from meshd.client.connection import DaemonUnreachable
from meshd.client.local import Client
from meshd.paths import Paths, find

ROOT = Path(__file__).resolve().parents[2]

READY_S = 30.0
"""A start takes less than a second; a loaded machine is slow."""

LOOK_S = 0.005
"""Between two looks whether the daemon is ready or a process is gone."""

GONE_S = 2.0
"""What a daemon has started is gone so soon after it."""


class RealDaemon:
    """One daemon at a time in `home`; what it prints is in `log`."""

    program: Sequence[str] = ("-m", "meshd")
    """What Python runs."""

    def __init__(self, home: Path, log: Path, **settings: str) -> None:
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MESHD_")},
            "MESHD_HOME": str(home),
            "MESHD_NAME": "mortal",
            "MESHD_API_PORT": "0",
            "MESHD_PEER_PORT": "0",
            "MESHD_DISCOVERY": "false",
            "MESHD_CALIBRATE": "false",
            "MESHD_SLOTS": "4",
            **settings,
        }
        self.log = log
        self.paths: Paths = find(self.environ)
        self.client = Client(self.paths)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process of the daemon that was started last."""
        return self.process.pid if self.process else 0

    def start(self, prefix: Sequence[str] = ()) -> None:
        """Start it, and return at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, *self.program],
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Return once it answers; raise `AssertionError` with its log when it ends instead."""
        until = time.perf_counter() + READY_S
        while True:
            ended = None if self.process is None else self.process.poll()
            try:
                if self.client.status().pid == self.pid:
                    return
            except DaemonUnreachable:
                pass
            assert ended is None, f"the daemon ended with status {ended} instead of starting:\n{self.words()}"
            assert time.perf_counter() < until, f"the daemon is not ready after {READY_S} s:\n{self.words()}"
            time.sleep(LOOK_S)

    def refused(self, prefix: Sequence[str] = ()) -> tuple[int, str]:
        """Start one that is expected to end by itself; return its exit status and what it printed."""
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "meshd"],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=READY_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def kill(self) -> None:
        """End it without a word of warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Let it end in order; return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(GONE_S + 10)

    def words(self) -> str:
        """Return the end of what it has printed."""
        return self.log.read_text("utf-8", "replace")[-4000:] if self.log.exists() else ""


@contextmanager
def a_daemon(folder: Path, **settings: str) -> Generator[RealDaemon]:
    """Have a daemon to start and kill; leaving the block kills it."""
    daemon = RealDaemon(folder / "home", folder / "daemon.log", **settings)
    try:
        yield daemon
    finally:
        daemon.kill()


def started_by(daemon: int) -> set[int]:
    """Return the living processes that the daemon of this pid has started: workers by their mark, and the reaper."""
    worker, reaper = f"MESHD_NODE={daemon}-".encode(), f"{daemon}-".encode()
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            # It has just ended, or belongs to the kernel.
            continue
        is_worker = any(setting.startswith(worker) for setting in environment)
        is_reaper = any(b"reaper.py" in word for word in arguments) and any(
            word.startswith(reaper) for word in arguments
        )
        if is_worker or is_reaper:
            found.add(int(entry.name))
    return found


def outlived_by(daemon: int) -> tuple[float, set[int]]:
    """Wait until all that a dead daemon had started is gone; return how long that took, and what was left then."""
    began = time.perf_counter()
    while (left := started_by(daemon)) and time.perf_counter() - began < GONE_S:
        time.sleep(LOOK_S * 4)
    return time.perf_counter() - began, left
