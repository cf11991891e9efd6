"""Real hosts: network namespaces on one bridge, with cables to pull and daemons to kill. Needs root and iproute2.

Nothing here is simulated but the distance: the daemons are processes of their own, and what they say to each
other passes through the kernel's network. Whatever a test does, leaving `open_lan` ends every process in the
namespaces and removes them; what had not ended by itself by then fails the test.
"""

import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec

from meshd.client.connection import ANSWER_S, Answer, Connection, DaemonUnreachable
from meshd.client.local import Client
from meshd.clock import SystemClock
from meshd.paths import Paths
from meshd_protocol.localapi import JobRequest, JobView

NETWORK = "10.77.0"
"""Of the hosts, each the next number. Every LAN has namespaces of its own, so all may use the same."""

BRIDGE = "br0"

START_S = 15.0
"""From the start of a daemon's process to its readiness: half a second, and much room for a loaded machine."""

END_S = 10.0
"""From SIGTERM, or from the discovery that it cannot run, to the end of the process."""

ORPHANS_S = 2.0
"""How long a worker may outlive its daemon."""

DEADLINE_S = 20.0
"""For what should be there in moments: only a failing test waits it out."""

LOOK_S = 0.02
"""Between two looks at something that cannot be awaited."""

_CLONE_NEWNET = 0x40000000
_numbers = count(1)
_libc = ctypes.CDLL(None, use_errno=True)
_clock = SystemClock()


def until(holds: Callable[[], object], *, within_s: float = DEADLINE_S, what: str = "") -> float:
    """Return how many seconds it took until `holds` held.

    A daemon that cannot be asked at the moment, because it is just dying or starting, has not fulfilled it.

    Raises:
        AssertionError: it does not hold within `within_s`.
    """
    began = _clock.boot()
    while True:
        try:
            if holds():
                return _clock.boot() - began
        except DaemonUnreachable:
            pass
        if _clock.boot() - began >= within_s:
            raise AssertionError(f"not within {within_s:g} s: {what or holds}")
        time.sleep(LOOK_S)


@contextmanager
def measured(what: str) -> Generator[None]:
    """Print how long the block took, for people who compare runs."""
    began = _clock.boot()
    yield
    print(f"{what}: {_clock.boot() - began:.2f} s")


@contextmanager
def inside(namespace: str) -> Generator[None]:
    """Put this thread into a network namespace: sockets made in the block belong there for ever."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as there:  # noqa: PTH123
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a host."""

    pid: int
    command: str


class Host:
    """One machine on the LAN: its network, and the cable to the bridge."""

    def __init__(self, namespace: str, bridge: str, number: int) -> None:
        self.namespace = namespace
        self.address = f"{NETWORK}.{number}"
        self._bridge = bridge
        self._port = f"port{number}"

    def open(self) -> None:
        """Make the namespace, and lay the cable."""
        ip("netns", "add", self.namespace)
        with self.entered():
            # A host that has been up for a while does not wait for its own IPv6 address to be found unique.
            Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
        self.lay_cable()
        batch(
            self.namespace,
            "link set lo up",
            f"address add {self.address}/24 dev eth0",
            "link set eth0 up",
            "route add 224.0.0.0/4 dev eth0",
        )

    def lay_cable(self) -> None:
        """Make `eth0`, with its other end at the bridge."""
        batch(
            self._bridge,
            f"link add {self._port} type veth peer name eth0 netns {self.namespace}",
            f"link set {self._port} master {BRIDGE} up",
        )

    def entered(self) -> AbstractContextManager[None]:
        """Return the block in which sockets made by this thread belong to the host."""
        return inside(self.namespace)

    def command(self, *argv: str) -> list[str]:
        """Return the command that runs another one on the host, and becomes it."""
        return ["ip", "netns", "exec", self.namespace, *argv]

    def unplug(self) -> None:
        """Pull the cable out: nobody says goodbye, and nothing arrives any more."""
        batch(self._bridge, f"link set {self._port} down")

    def plug(self) -> None:
        """Put the cable back in."""
        batch(self._bridge, f"link set {self._port} up")

    def mute(self, other: "Host") -> None:
        """Let nothing that this host says reach the other any more; it still hears everything."""
        batch(self.namespace, f"route add blackhole {other.address}/32")

    def unmute(self, other: "Host") -> None:
        """Let it be heard again."""
        batch(self.namespace, f"route del blackhole {other.address}/32")

    def move(self, number: int) -> None:
        """Give the host another address, as a router that was restarted may."""
        new = f"{NETWORK}.{number}"
        # The old address goes last: with the only address, its network's routes would go, too.
        batch(self.namespace, f"address add {new}/24 dev eth0", f"address del {self.address}/24 dev eth0")
        batch(self.namespace, f"address replace {new}/24 dev eth0", "route replace 224.0.0.0/4 dev eth0")
        self.address = new

    def processes(self) -> list[Process]:
        """Return every process in the namespace, zombies aside."""
        here = Path(f"/run/netns/{self.namespace}").stat().st_ino
        found: list[Process] = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if (entry / "ns" / "net").stat().st_ino == here:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    found.append(Process(int(entry.name), command))
            except OSError:
                # It has ended meanwhile.
                continue
        return [process for process in found if process.command]

    def close(self) -> None:
        """End what still runs, and remove the namespace."""
        for process in self.processes():
            send_signal(process.pid, signal.SIGKILL)
        try:
            until(lambda: not self.processes(), what=f"the end of what ran in {self.namespace}")
        finally:
            ip("netns", "delete", self.namespace)


class Daemon:
    """`python -m meshd` on a host, with a home of its own, and its local API."""

    def __init__(self, name: str, host: Host, home: Path, output: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self.host = host
        self.home = home
        self.paths = Paths(config=home, data=home)
        self.client = Client(self.paths)
        self.client.connection = _HostConnection(self.paths, host)
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._output = output

    def launch(self) -> None:
        """Start the process."""
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("MESHD_")}
        own = {"MESHD_HOME": str(self.home), "MESHD_NAME": self.name, "MESHD_CALIBRATE": "false"}
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self.host.command(sys.executable, "-m", "meshd"),
                env={**surroundings, **own, **self._settings},
                # Not in the repository: the daemon is the one that is installed.
                cwd=self._output.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._asked = False

    def ready(self) -> None:
        """Wait until the process that was launched serves its local API."""
        until(self._is_ready_and_alive, within_s=START_S, what=f"{self.name} is ready")

    def start(self) -> None:
        """Launch it and wait until it is ready."""
        self.launch()
        self.ready()

    def stop(self) -> None:
        """End it in order, as a user or a shutdown does, if it runs."""
        if self._process is not None:
            self.ask_to_stop()
            status = self.await_end()
            assert status == 0, f"{self.name} ended with {status}:\n{self.log()}"

    def ask_to_stop(self) -> None:
        """Begin to end it, so that several can end at once; once, for it is not patient with those who insist."""
        if self._process is not None and not self._asked:
            self._asked = True
            self._process.terminate()
            self.resume()

    def kill(self) -> None:
        """End it as a crash or a power switch does."""
        if self._process is None:
            raise AssertionError(f"{self.name} does not run")
        self._process.kill()
        self.await_end()

    @property
    def pid(self) -> int | None:
        """Return its process, while it runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def suspend(self) -> None:
        """Let it stand still, as a computer does whose lid is closed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def await_end(self) -> int:
        """Return its exit status, once it has ended."""
        if self._process is None:
            raise AssertionError(f"{self.name} does not run")
        status = self._process.wait(END_S)
        self._process = None
        return status

    def workers(self) -> list[int]:
        """Return the processes that run its attempts."""
        return [process.pid for process in self.host.processes() if "meshd.execution.worker" in process.command]

    def kill_workers(self) -> None:
        """End its workers, and not itself, as the kernel does when memory runs out."""
        workers = self.workers()
        assert workers, f"{self.name} has no worker"
        for pid in workers:
            send_signal(pid, signal.SIGKILL)

    def log(self) -> str:
        """Return what all its processes have printed so far."""
        return self._output.read_text("utf-8", errors="replace") if self._output.exists() else ""

    def submit(self, kind: str, placement: str, spec: Mapping[str, object], *, key: str | None = None) -> str:
        """Return the id of a job that is on this device's disk."""
        request = JobRequest(kind=kind, placement=placement, spec=dict(spec))
        return self.client.submit(request, idempotency_key=key).id

    def echo(self, placement: str, *, sleep_s: float = 0.0) -> str:
        """Return the id of a job that says "hello" after a while."""
        return self.submit("echo", placement, {"text": "hello", "sleep_s": sleep_s})

    def cli(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a command of meshd on its host, as its user would; read what it prints from its pipes."""
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("MESHD_")}
        return subprocess.Popen(
            # Ctrl-C works in a terminal, though these tests may have been started where it is ignored.
            self.host.command("env", "--default-signal=INT", str(Path(sys.executable).with_name("meshd")), *arguments),
            env={**surroundings, "MESHD_HOME": str(self.home)},
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def call(self, *arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
        """Run a command of meshd on its host to its end; return its exit code, and what it printed on both streams."""
        with self.cli(*arguments, cwd=cwd) as process:
            out, err = process.communicate(timeout=START_S)
            return process.returncode, out.decode(), err.decode()

    def running(self, job: str, *, attempt: int = 1, within_s: float = DEADLINE_S) -> JobView:
        """Return the job once that attempt of it runs."""

        def holds(view: JobView) -> bool:
            return any(tried.number == attempt and tried.state == "running" for tried in view.attempts)

        return self._see(job, holds, f"attempt {attempt} of {job} runs", within_s)

    def ended(self, job: str, *, within_s: float = DEADLINE_S) -> JobView:
        """Return the job once it has ended."""
        return self._see(job, lambda view: view.ended_at is not None, f"{job} has ended", within_s)

    def is_online(self, other: "Daemon") -> bool:
        """Return whether there is a session with the other, and both have introduced themselves."""
        return any(
            peer.name == other.name and peer.state != "offline" and peer.slots is not None
            for peer in self.client.peers()
        )

    def records(self) -> "Records":
        """Return what its database holds now."""
        return Records.read(self.paths.database)

    def _see(self, job: str, holds: Callable[[JobView], bool], what: str, within_s: float) -> JobView:
        view = self.client.job(job)
        try:
            for view in self.client.follow(job, timeout_s=within_s):
                if holds(view):
                    return view
        except TimeoutError:
            pass
        raise AssertionError(f"not within {within_s:g} s: {what}; it is\n{told(view)}")

    def is_ready(self) -> bool:
        """Return whether the process that was launched serves its local API."""
        try:
            # `ip netns exec` becomes the program that it starts; the file may be of an earlier daemon.
            return msgspec.json.decode(self.paths.daemon_file.read_bytes())["pid"] == self.pid
        except FileNotFoundError:
            return False

    def _is_ready_and_alive(self) -> bool:
        if self.pid is None:
            raise AssertionError(f"{self.name} does not run:\n{self.log()}")
        return self.is_ready()


@dataclass(frozen=True, slots=True)
class Records:
    """What a database says, read from its file."""

    integrity: str
    outbox: int
    """Messages that wait for a peer."""

    held: int
    """Attempts of peers that are not settled with them."""

    deliveries: int
    """Files that peers have not fetched yet."""

    completions: Mapping[str, int]
    """How often each job became completed, by id."""

    ends: Mapping[str, int]
    """How often each job came to any end."""

    attempts: Mapping[str, Sequence[str]]
    """The state of each attempt, in order, by job."""

    results: Mapping[str, bytes]
    """Of the jobs that have one."""

    @classmethod
    def read(cls, database: Path) -> "Records":
        """Read them; the daemon may be running."""
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            fetch = connection.execute
            attempts: dict[str, list[str]] = {}
            for job, state in fetch("SELECT job, state FROM attempt ORDER BY job, number"):
                attempts.setdefault(job, []).append(state)
            by_job = "SELECT job, count(*) FROM transition WHERE attempt IS NULL AND state {} GROUP BY job"
            return cls(
                integrity=fetch("PRAGMA integrity_check").fetchone()[0],
                outbox=fetch("SELECT count(*) FROM outbox").fetchone()[0],
                held=fetch("SELECT count(*) FROM held").fetchone()[0],
                deliveries=fetch("SELECT count(*) FROM delivery").fetchone()[0],
                completions=dict(fetch(by_job.format("= 'completed'"))),
                ends=dict(fetch(by_job.format("IN ('completed', 'failed', 'cancelled')"))),
                attempts=attempts,
                results=dict(fetch("SELECT id, result FROM job JOIN document ON job = number WHERE result NOT NULL")),
            )
        finally:
            connection.close()


class Lan:
    """Hosts on one bridge, each with a cable."""

    def __init__(self, folder: Path, bridge: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._bridge = bridge
        self._hosts: list[Host] = []
        self._daemons: list[Daemon] = []

    def add_host(self) -> Host:
        """Connect one more host."""
        number = len(self._hosts) + 1
        host = Host(f"{self._bridge}-{number}", self._bridge, number)
        self._hosts.append(host)
        host.open()
        return host

    def add(
        self,
        name: str,
        *,
        host: Host | None = None,
        home: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Daemon:
        """Return a daemon that is not started yet, on a host of its own unless one is given.

        `settings` are variables of its environment.
        """
        folder = self._folder / f"{name}-{len(self._daemons)}"
        daemon = Daemon(name, host or self.add_host(), home or folder, folder.with_suffix(".log"), settings or {})
        self._daemons.append(daemon)
        return daemon

    def start(self, *names: str, **settings: str) -> list[Daemon]:
        """Return running daemons of these names, each on a host of its own."""
        daemons = [self.add(name, settings=settings) for name in names]
        start(*daemons)
        return daemons

    def settle(self, *daemons: Daemon) -> None:
        """Wait until nobody owes anybody a message, stop the daemons, and hold their books to what must be true."""
        for daemon in daemons:
            until(lambda daemon=daemon: _owes_nothing(daemon.records()), what=f"{daemon.name} owes nothing")
        for daemon in daemons:
            daemon.stop()
        for daemon in daemons:
            records = daemon.records()
            assert records.integrity == "ok"
            assert _owes_nothing(records)
            assert all(times == 1 for times in records.ends.values()), records.ends
            assert records.results.keys() == records.completions.keys()

    def close(self) -> None:
        """End everything; raise `AssertionError` when a process outlived its daemon."""
        with ExitStack() as stack:
            stack.callback(ip, "netns", "delete", self._bridge)
            for host in self._hosts:
                stack.callback(host.close)
            try:
                for daemon in self._daemons:
                    daemon.ask_to_stop()
                for daemon in self._daemons:
                    daemon.stop()
                for host in self._hosts:
                    until(lambda host=host: not host.processes(), within_s=ORPHANS_S, what="no process is left")
            finally:
                for daemon in self._daemons:
                    # Shown with the test that failed.
                    print(f"--- {daemon.name}\n{daemon.log()[-20_000:]}")


@contextmanager
def open_lan(folder: Path) -> Generator[Lan]:
    """Make a LAN; leaving the block leaves nothing of it."""
    bridge = f"meshd-{os.getpid()}-{next(_numbers)}"
    ip("netns", "add", bridge)
    lan = Lan(folder, bridge)
    try:
        # No spanning tree: what is plugged in is connected at once.
        batch(bridge, f"link add {BRIDGE} type bridge stp_state 0", f"link set {BRIDGE} up")
        yield lan
    finally:
        lan.close()


Scenario = Callable[[Lan], None]
"""A test that waits more than it works, on a LAN of its own."""


@contextmanager
def played_side_by_side(folder: Path, *scenarios: Scenario) -> Generator[Mapping[Scenario, Future[None]]]:
    """Begin all scenarios at once, each in a thread; each future holds how one of them went."""

    def play(scenario: Scenario) -> None:
        with open_lan(folder / scenario.__name__) as lan:
            scenario(lan)

    with ThreadPoolExecutor(len(scenarios)) as threads:
        yield {scenario: threads.submit(play, scenario) for scenario in scenarios}


def start(*daemons: Daemon) -> None:
    """Start daemons side by side."""
    for daemon in daemons:
        daemon.launch()
    for daemon in daemons:
        daemon.ready()


def pair(shows: Daemon, enters: Daemon) -> None:
    """Pair two daemons by address, and wait until they have introduced themselves to each other."""
    enters.client.accept(shows.client.open_code().code, address=shows.host.address)
    until(lambda: shows.is_online(enters) and enters.is_online(shows), what="they are connected")


def told(view: JobView) -> str:
    """Return a job's story, for people."""
    lines = [f"{view.id} {view.state}: {view.reason}"]
    lines += [f"  attempt {tried.number} on {tried.device}: {tried.state} {tried.reason}" for tried in view.attempts]
    lines += [f"  {line.at} {line.attempt or '-'} {line.state}: {line.cause}" for line in view.story or ()]
    return "\n".join(lines)


class _HostConnection(Connection):
    """Asks a daemon whose loopback is another one than this process's."""

    def __init__(self, paths: Paths, host: Host) -> None:
        super().__init__(paths)
        self._host = host

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Answer:
        """See `Connection`."""
        with self._host.entered():
            return super().request(method, path, body=body, headers=headers, timeout_s=timeout_s)


def _owes_nothing(records: Records) -> bool:
    return records.outbox == 0 and records.held == 0


def send_signal(pid: int, number: signal.Signals) -> None:
    """Signal a process, unless it has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def ip(*arguments: str) -> None:
    """Run an `ip` command."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def batch(namespace: str, *lines: str) -> None:
    """Run several `ip` commands in a namespace, in one process."""
    done = subprocess.run(
        ["ip", "-n", namespace, "-batch", "-"], input="\n".join(lines), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{done.stderr}\nof\n{lines}"
