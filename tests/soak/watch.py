"""Watches the daemons from outside: with whom each says it has a session, what it holds, and what it lets out."""

import threading
from pathlib import Path
from types import TracebackType

from meshd.client.local import Client
from meshd.errors import MeshdError
from tests.soak.ledger import Leaked, Ledger, Sampled
from tests.soak.machines import Machine, Machines
from tests.soak.reach import Reach
from tests.support.hosts import Daemon

ASK_S = 0.2
"""Between two questions with whom there is a session: as exact are the times of recovery."""

SAMPLE_S = 1.0


class Watch:
    """Two threads a machine; `with` it."""

    def __init__(self, machines: Machines, ledger: Ledger, reach: Reach, *, canary: str) -> None:
        self._machines = machines
        self._ledger = ledger
        self._reach = reach
        self._canary = canary.encode()
        self._stopped = threading.Event()
        self._leaks: set[str] = set()
        self._threads = [
            threading.Thread(target=watch, args=(machine,), name=f"{watch.__name__} {machine.name}")
            for machine in machines.all
            for watch in (self._ask, self._sample)
        ]

    def __enter__(self) -> "Watch":
        """Begin to watch."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, machine: Machine) -> None:
        while not self._stopped.wait(ASK_S):
            if not self._reach.is_answering(machine.name):
                continue
            asked_at = self._ledger.now()
            online = online_with(machine.daemon.client)
            if online is not None:
                self._reach.heard(machine.name, online, asked_at=asked_at)

    def _sample(self, machine: Machine) -> None:
        while not self._stopped.wait(SAMPLE_S):
            sampled = sample(machine.daemon)
            if sampled is not None:
                self._ledger.write(sampled)
            for process in machine.processes():
                told = str(process)
                if process.is_worker and self._canary in b"\0".join(process.environment):
                    self._leak(machine, f"the environment of {told}")
                if self._canary in b"\0".join(process.arguments):
                    self._leak(machine, f"the arguments of {told}")

    def _leak(self, machine: Machine, where: str) -> None:
        if where not in self._leaks:
            self._leaks.add(where)
            self._ledger.write(Leaked(machine=machine.name, where=where))


def online_with(client: Client) -> set[str] | None:
    """Return the names of the peers with whom a daemon says it has a session; None when it does not answer."""
    try:
        return {peer.name for peer in client.peers() if peer.state != "offline" and peer.slots is not None}
    except MeshdError:
        return None


def sample(daemon: Daemon) -> Sampled | None:
    """Return what the daemon's process holds; None when there is none."""
    pid = daemon.pid
    if pid is None:
        return None
    process = Path("/proc", str(pid))
    try:
        pages = int((process / "statm").read_text().split()[1])
        descriptors = sum(1 for _ in (process / "fd").iterdir())
    except OSError:
        return None
    return Sampled(machine=daemon.name, pid=pid, rss_bytes=pages * 4096, descriptors=descriptors)
