"""Starting a daemon in the background, and ending it."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from meshd.client.connection import DaemonUnreachable, alive
from meshd.client.local import Client
from meshd.clock import Clock, SystemClock
from meshd.config import load
from meshd.errors import Degraded, MeshdError
from meshd.paths import HOME_VARIABLE, Paths
from meshd_protocol.localapi import StatusView

START_S = 30.0
"""A start takes a second; a large database is checked first, and a loaded machine is slow."""

STOP_S = 10.0
"""A daemon ends its workers within 2 s; more means that it hangs."""

POLL_S = 0.05

MAX_LOG_BYTES = 4 << 20
"""The log of earlier runs beyond this is set aside at a start: one file of each is kept."""

COMMAND = (sys.executable, "-m", "meshd")


class StartFailed(MeshdError):
    """The daemon ended before it was ready; the message is its own last word."""

    code = "start_failed"

    def __init__(self, message: str, *, hint: str, exit_status: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_status = exit_status


class TimedOut(MeshdError):
    """What was waited for did not come in time."""

    code = "timeout"
    status = 504


def launch(
    paths: Paths, environ: Mapping[str, str], *, command: Sequence[str] = COMMAND
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a daemon that outlives this process and this terminal; return it, and where its part of the log begins.

    Raises:
        Degraded: its folder cannot be made or written.
    """
    try:
        paths.create()
        if paths.daemon_log.exists() and paths.daemon_log.stat().st_size > MAX_LOG_BYTES:
            paths.daemon_log.replace(paths.daemon_log.with_name(paths.daemon_log.name + ".1"))
        log = os.open(paths.daemon_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise Degraded(f"{error.filename} cannot be used: {error.strerror}", hint="check its permissions") from None
    try:
        begins = os.fstat(log).st_size
        # The folder of the call may be a disk to be unmounted; a relative MESHD_HOME still means what it meant.
        home = {HOME_VARIABLE: str(paths.data)} if environ.get(HOME_VARIABLE) else {}
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            cwd=paths.data,
            env={**environ, **home},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            creationflags=getattr(subprocess, "DETACHED_PROCESS", 0)
            | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    finally:
        os.close(log)
    return process, begins


def wait_until_ready(
    process: subprocess.Popen[bytes], begins: int, paths: Paths, *, clock: Clock | None = None
) -> StatusView:
    """Return the status of the daemon just launched, once it answers.

    Raises:
        StartFailed: it ended; the message is what it said, `exit_status` its own.
        TimedOut: it is still not ready after `START_S`.
    """
    clock = clock or SystemClock()
    client = Client(paths, clock=clock)
    until = clock.boot() + START_S
    while True:
        ended = process.poll()
        try:
            return client.status()
        except DaemonUnreachable:
            # Asked after the poll: when two start at once, the one that found the other running has ended by now.
            if ended is not None:
                message, hint = _last_words(paths, begins)
                raise StartFailed(
                    message or f"meshd ended at once, with status {ended}",
                    hint=hint or f"its log: {paths.daemon_log}",
                    exit_status=ended if 0 < ended < 126 else 1,
                ) from None
        if clock.boot() >= until:
            raise TimedOut(f"meshd is not ready after {START_S:g} s", hint=f"its log: {paths.daemon_log}")
        time.sleep(POLL_S)


def ensure(paths: Paths, environ: Mapping[str, str]) -> tuple[StatusView, bool]:
    """Return the status of this device's daemon, and whether it had to be started.

    Raises:
        BadConfig: its settings are not usable; told here, because the daemon could only tell its log.
        MeshdError: as `launch` and `wait_until_ready`.
    """
    try:
        return Client(paths).status(), False
    except DaemonUnreachable:
        load(paths.config_file, environ)
        process, begins = launch(paths, environ)
        return wait_until_ready(process, begins, paths), True


def stop(paths: Paths, *, clock: Clock | None = None) -> StatusView:
    """Ask the daemon to end and return, with what its status was, once it has.

    Raises:
        DaemonUnreachable: none runs.
        TimedOut: it is still there after `STOP_S`.
    """
    clock = clock or SystemClock()
    client = Client(paths)
    status = client.status()
    client.shutdown()
    until = clock.boot() + STOP_S
    while _running(client, status.pid):
        if clock.boot() >= until:
            raise TimedOut(
                f"meshd (process {status.pid}) has not ended after {STOP_S:g} s", hint=f"its log: {paths.daemon_log}"
            )
        time.sleep(POLL_S)
    return status


def _running(client: Client, pid: int) -> bool:
    if os.name == "posix":
        return alive(pid) and not _is_our_dead_child(pid)
    try:
        client.status()
    except DaemonUnreachable:
        return False
    return True


def _is_our_dead_child(pid: int) -> bool:
    """Return whether `pid` has ended and only waits for this process to look."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def _last_words(paths: Paths, begins: int) -> tuple[str, str]:
    """Return the error and the hint that the daemon printed before it ended; its last line for lack of an error."""
    try:
        with paths.daemon_log.open("rb") as log:
            log.seek(begins)
            lines = log.read(1 << 20).decode("utf-8", "replace").splitlines()
    except OSError:
        return "", ""
    errors: list[str] = []
    hints: list[str] = []
    for line in lines:
        if line.startswith("error: "):
            errors.append(line.removeprefix("error: "))
        elif line.startswith("hint: "):
            hints.append(line.removeprefix("hint: "))
        elif errors and not hints and line.startswith("  "):
            errors[-1] += "\n" + line  # one error may name several problems
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return (errors[-1] if errors else last), (hints[-1] if hints and errors else "")
