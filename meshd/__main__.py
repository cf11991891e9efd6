"""The daemon as a process: `python -m meshd`."""

import asyncio
import gc
import json
import os
import signal
import sys

import filelock

from meshd import __version__, logs, paths
from meshd.clock import SystemClock
from meshd.config import load
from meshd.errors import Degraded, MeshdError
from meshd.node import Node, open_node
from meshd.paths import Paths

EXIT_FAILED = 1
"""The daemon could not start, or broke; the last line of its log says why."""


YOUNG = 20_000
"""New objects between two looks for cycles. A job makes a few hundred, and hardly any cycle: at Python's 700 the daemon
spends a twentieth of its time on looking."""


async def serve(home: Paths) -> None:
    """Run the node until a signal or a user asks it to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_node(load(home.config_file, os.environ), home, clock=SystemClock(), stop=stop.set) as node:
        await asyncio.to_thread(announce, home, node)
        collect_less()
        try:
            await stop.wait()
        finally:
            await asyncio.to_thread(home.daemon_file.unlink, missing_ok=True)


def collect_less() -> None:
    """Let the collector look for cycles more rarely, and not at what is there from the start: nothing of it goes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def announce(home: Paths, node: Node) -> None:
    """Write where the daemon listens, whole or not at all: whoever finds the file can use it."""
    content = {
        "pid": os.getpid(),
        "port": node.api_port,
        "peer_port": node.peer_port,
        "device": node.device,
        "version": __version__,
    }
    draft = home.daemon_file.with_suffix(".new")
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(home.daemon_file)


def main() -> int:
    """Run the daemon of this user; return the exit status."""
    home = paths.find(os.environ)
    try:
        home.create()
        logs.configure(load(home.config_file, os.environ).log_level)
        with only_daemon(home):
            asyncio.run(serve(home))
    except MeshdError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return EXIT_FAILED
    except OSError as error:
        sys.stderr.write(f"error: {home.data} cannot be used: {error}\n")
        return EXIT_FAILED
    return 0


def only_daemon(home: Paths) -> filelock.BaseFileLock:
    """Return the lock of this home, taken; it ends with the process, however that ends.

    Raises:
        Degraded: another daemon holds it.
    """
    lock = filelock.FileLock(home.lock)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise Degraded(
            f"another meshd already runs with {home.data}{_pid_of(home)}",
            hint="use that one, or stop it with `meshd down`; a second node needs a MESHD_HOME of its own",
        ) from None
    # Left by one that was killed: its process is not the one that runs now, and its port may be anybody's.
    home.daemon_file.unlink(missing_ok=True)
    return lock


def _pid_of(home: Paths) -> str:
    try:
        return f" (pid {json.loads(home.daemon_file.read_text())['pid']})"
    except (OSError, ValueError, KeyError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
