"""The machines of a soak: daemons with a small disk each, on hosts that a switch joins, or all on this one."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.options import luck
from tests.soak.disk import Disk, LimitedFiles, mounted
from tests.soak.processes import Process, of_home
from tests.soak.switch import Air, Switch
from tests.support.hosts import Daemon, Host, batch, send_signal, start, until
from tests.support.hosts import Process as HostProcess

NAMES = ("laptop", "pc", "box")

SETTINGS: Mapping[str, str] = {
    "MESHD_SLOTS": "3",
    # The least that may be set: what hangs is given up on before the quiet is over.
    "MESHD_OFFLOAD_TIMEOUT_S": "10",
    # Workers go when nothing has been asked of them for so long: then none may be left.
    "MESHD_IDLE_WORKER_S": "3",
    "MESHD_RATES": "echo=1,lineups=2e9",
}

CANARY_VARIABLE = "CLOUD_SECRET_KEY"
"""Where the canary sits in the daemons' environment: a name that no allow-list has."""


class AirHost(Host):
    """A host whose `eth0` ends at the switch."""

    def __init__(self, name: str, number: int, switch: Switch) -> None:
        super().__init__(f"meshd-soak-{os.getpid()}-{name}", "", number)
        self._name = name
        self._switch = switch
        self._numbers = (number, number + 100)

    def lay_cable(self) -> None:
        """Make `eth0`, a TAP device of the switch."""
        self._switch.plug_in(self._name, self.entered())

    def unplug(self) -> None:
        """Switch the network off."""
        batch(self.namespace, "link set eth0 down")

    def plug(self) -> None:
        """Switch it on again: the address has stayed, the route for multicast has not."""
        batch(self.namespace, "link set eth0 up", "route replace 224.0.0.0/4 dev eth0")

    def close(self) -> None:
        """End what still runs, and remove the namespace, if it was made."""
        if Path("/run/netns", self.namespace).exists():
            super().close()

    def change_address(self) -> None:
        """Take the other one of its two addresses."""
        now = int(self.address.rpartition(".")[2])
        self.move(next(number for number in self._numbers if number != now))


class LoopbackHost(Host):
    """This machine, for those who may not make others: every daemon has its own ports."""

    def __init__(self, home: Path) -> None:
        super().__init__("", "", 0)
        self._home = home
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"

    def open(self) -> None:
        """Do nothing."""

    def entered(self) -> AbstractContextManager[None]:
        """Return a block that changes nothing."""
        return nullcontext()

    def command(self, *argv: str) -> list[str]:
        """Return the command as it is."""
        return list(argv)

    def processes(self) -> list[HostProcess]:
        """Return what belongs to the daemon."""
        found = of_home(self._home, None)
        return [HostProcess(one.pid, b" ".join(one.arguments).decode(errors="replace")) for one in found]

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes():
            send_signal(process.pid, signal.SIGKILL)


@dataclass(slots=True)
class Machine:
    """A daemon, its host and its disk."""

    daemon: Daemon
    host: AirHost | LoopbackHost
    disk: Disk
    log: Path
    expected: bool = False
    """Whether the daemon should be running: nobody has killed it."""

    @property
    def name(self) -> str:
        """Return what the others call it."""
        return self.daemon.name

    def processes(self, pid: int | None = None) -> list[Process]:
        """Return the daemon, and all that it has started; `pid` was its process when it is dead."""
        return of_home(self.daemon.home, pid or self.daemon.pid)

    def workers(self) -> list[Process]:
        """Return the processes in which jobs run, or may run."""
        return [process for process in self.processes() if process.is_worker]


@dataclass(frozen=True, slots=True)
class Machines:
    """All of them."""

    all: Sequence[Machine]
    air: Air | None
    """What lies between them; None where it is loopback."""

    def __getitem__(self, name: str) -> Machine:
        return next(machine for machine in self.all if machine.name == name)


@contextmanager
def open_machines(folder: Path, *, network: bool, seed: int, canary: str) -> Generator[Machines]:
    """Make the machines, none of them started; leaving the block leaves nothing of them but their logs in `folder`."""
    with ExitStack() as stack:
        homes = Path(tempfile.mkdtemp(prefix="meshd-soak-homes-"))
        stack.callback(shutil.rmtree, homes)
        air = Air(NAMES, random=luck(f"air {seed}")) if network else None
        hosts = _on_air(stack, air) if air is not None else _on_loopback(stack, homes)
        machines: list[Machine] = []
        for name, host in zip(NAMES, hosts, strict=True):
            home, log = homes / name, folder / f"{name}.log"
            daemon = Daemon(name, host, home, log, {**SETTINGS, CANARY_VARIABLE: canary, **_ports(host, hosts)})
            disk: Disk
            if os.geteuid() == 0:
                disk = stack.enter_context(mounted(home))
            else:
                home.mkdir(mode=0o700)
                disk = LimitedFiles(lambda daemon=daemon: daemon.pid)
            machines.append(Machine(daemon, host, disk, log))
        yield Machines(machines, air)


def _on_air(stack: ExitStack, air: Air) -> list[AirHost | LoopbackHost]:
    switch = Switch(air)
    hosts = [AirHost(name, number, switch) for number, name in enumerate(NAMES, start=1)]
    for host in hosts:
        stack.callback(host.close)
        host.open()
    stack.enter_context(switch)
    return [*hosts]


def _on_loopback(stack: ExitStack, homes: Path) -> list[AirHost | LoopbackHost]:
    hosts = [LoopbackHost(homes / name) for name in NAMES]
    for host in hosts:
        stack.callback(host.close)
    return [*hosts]


def _ports(host: AirHost | LoopbackHost, hosts: Sequence[AirHost | LoopbackHost]) -> Mapping[str, str]:
    """Return the settings by which daemons on one machine do not get into each other's way, and find each other."""
    if isinstance(host, AirHost):
        return {}
    return {
        "MESHD_API_PORT": "0",
        "MESHD_PEER_PORT": str(host.port),
        "MESHD_DISCOVERY": "false",
        "MESHD_ADDRESSES": ",".join(other.address for other in hosts if other is not host),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def introduce(machines: Sequence[Machine]) -> None:
    """Start the machines, and pair each with every other."""
    start(*(machine.daemon for machine in machines))
    for number, one in enumerate(machines):
        one.expected = True
        for other in machines[number + 1 :]:
            other.daemon.client.accept(one.daemon.client.open_code().code, address=one.host.address)
    for one in machines:
        others = [other.daemon for other in machines if other is not one]
        until(lambda one=one, others=others: all(one.daemon.is_online(other) for other in others))
