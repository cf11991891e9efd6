"""Two nodes on this machine: found, paired, a job offloaded, and another that outlives the node that ran it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from meshd.client.launch import launch, wait_until_ready
from meshd.client.lineups import read
from meshd.client.local import Client
from meshd.clock import SystemClock
from meshd.config import PREFIX
from meshd.errors import MeshdError
from meshd.paths import HOME_VARIABLE, Paths, find
from meshd_protocol.localapi import END_STATES, JobRequest, JobView, StatusView

LINEUPS = 10
OBJECTIVE = "p90"
"""The objective for which every lineup is scored in every race: work that is worth sending."""

FIRST_SCENARIOS = 40_000
"""About 3 s on two cores: enough to measure a rate by."""

SECOND_S = 18.0
"""How long the second job would take at the first one's rate. That was a cold worker's: a warm one was measured to be
up to 40% faster, and what remains must be 10 s or more, and fit into the minute one and a third times."""

MAX_SCENARIOS = 5_000_000
"""What a job may ask for."""

KILL_AT = 0.3
"""The share of the second job after which its executor dies."""

SIGHT_S = 5.0
"""A device is seen within 3 s where multicast works."""

MEET_S = 15.0
POLL_S = 0.1
STOP_S = 5.0


class DemoFailed(MeshdError):
    """Something that the demo shows did not happen."""

    code = "demo"


@dataclass(frozen=True, slots=True)
class Audience:
    """Whoever watches."""

    say: Callable[[str], None]
    """Hears a line of the narration."""

    watch: Callable[[JobView], None]
    """Sees a job each time it has changed; called in between, too, to tell a new job from the last one."""


@dataclass(slots=True)
class _Node:
    """One of the two daemons."""

    name: str
    paths: Paths
    environ: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(self.paths)

    def kill(self) -> None:
        """End the daemon as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """End the daemon in order, or failing that, at once."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def sample_slate() -> str:
    """Return the text of the salary file that comes with meshd."""
    return resources.files("meshd.kinds.lineups").joinpath("sample_slate.csv").read_text("utf-8")


def run(slate: str, audience: Audience, *, keep: bool = False) -> list[JobView]:
    """Show it all with the salary file `slate`; return the jobs, finished. Leaves nothing behind, unless told to.

    Raises:
        DemoFailed: a step did not happen; the message says which.
        MeshdError: a node said no.
    """
    with ExitStack() as stack:
        stack.enter_context(_ended_by_signals())
        home = Path(tempfile.mkdtemp(prefix="meshd-demo-"))
        if keep:
            stack.callback(audience.say, f"the homes are kept in {home}: MESHD_HOME={home}/laptop meshd jobs")
        else:
            stack.callback(_remove, home)
        laptop, pc = _node("laptop", home), _node("pc", home)
        for node in (laptop, pc):
            stack.callback(node.end)
        # Whoever presses Ctrl-C twice must not leave a daemon behind.
        stack.callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
        _start(laptop, pc, audience)
        _pair(laptop, pc, audience)
        first = _offload(laptop, slate, audience)
        return [first, _survive(laptop, pc, slate, first, audience)]


def _node(name: str, home: Path) -> _Node:
    ours = {
        HOME_VARIABLE: str(home / name),
        "MESHD_NAME": name,
        "MESHD_API_PORT": "0",
        "MESHD_PEER_PORT": "0",
        # Both share this machine's cores: measuring at the start would slow each other down, and the first job.
        "MESHD_CALIBRATE": "false",
    }
    others = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    environ = {**others, **ours}
    return _Node(name, find(environ), environ)


def _start(laptop: _Node, pc: _Node, audience: Audience) -> None:
    audience.say('1. Two nodes start on this machine: "laptop" and "pc".')
    begins: dict[str, int] = {}
    for node in (laptop, pc):
        node.process, begins[node.name] = launch(node.paths, node.environ)
    for node in (laptop, pc):
        if node.process is not None:
            status = wait_until_ready(node.process, begins[node.name], node.paths)
            audience.say(f"   {node.name} is {status.device}, on port {status.peer_port}")


def _pair(laptop: _Node, pc: _Node, audience: Audience) -> None:
    audience.say("2. They look for each other, and pair by a code.")
    status = pc.client.status()
    seen = _seen(laptop, status)
    code = pc.client.open_code().code
    if seen:
        audience.say("   laptop sees pc by mDNS")
        peer = laptop.client.accept(code, device=status.device)
    else:
        audience.say("   no multicast here, so mDNS finds nothing: pairing by address")
        peer = laptop.client.accept(code, address=f"127.0.0.1:{status.peer_port}")
    audience.say(f"   pc shows {code[:3]} {code[3:]}; entered on laptop: paired with {peer.name}")
    _until(lambda: all(_online(node) for node in (laptop, pc)), MEET_S, "the two paired nodes did not connect")
    latency = next((peer.latency_ms for peer in laptop.client.peers() if peer.latency_ms is not None), None)
    audience.say("   connected" + ("" if latency is None else f", {latency:.1f} ms apart"))


def _seen(laptop: _Node, pc: StatusView) -> bool:
    with suppress(DemoFailed):
        _until(lambda: any(each.id == pc.device for each in laptop.client.sightings()), SIGHT_S, "not seen")
        return True
    return False


def _online(node: _Node) -> bool:
    return any(peer.state != "offline" for peer in node.client.peers())


def _offload(laptop: _Node, slate: str, audience: Audience) -> JobView:
    audience.say(f"3. laptop submits a job for pc: the {LINEUPS} best lineups over {FIRST_SCENARIOS:,} races.")
    job = _submit(laptop, slate, FIRST_SCENARIOS, "first: runs on pc")
    view = _watched(laptop, job, audience)
    if view.device != "pc":
        raise DemoFailed(f"the first job ran on {view.device}, not on pc: {view.reason}")
    return view


def _survive(laptop: _Node, pc: _Node, slate: str, first: JobView, audience: Audience) -> JobView:
    measured = read(first.result)
    per_scenario = max(measured.duration_s, 0.001) / measured.certificate.scenarios
    scenarios = int(min(MAX_SCENARIOS, max(FIRST_SCENARIOS, SECOND_S / per_scenario)))
    audience.say(
        f"4. A larger one, {scenarios:,} races, some {scenarios * per_scenario:.0f} s of work at the rate just seen …"
    )
    job = _submit(laptop, slate, scenarios, "second: outlives pc")
    killed = False

    def kill_when_due(view: JobView) -> None:
        nonlocal killed
        audience.watch(view)
        if not killed and view.state == "running" and view.device == "pc" and view.progress > KILL_AT:
            killed = True
            audience.say(f"   … and at {view.progress:.0%}, pc's daemon is killed (SIGKILL): no goodbye.")
            pc.kill()

    view = _watched(laptop, job, Audience(say=audience.say, watch=kill_when_due))
    if not killed:
        raise DemoFailed("the second job was done before pc could be killed")
    if view.device != "laptop" or len(view.attempts) < 2:
        raise DemoFailed(f"the second job ended on {view.device} after {len(view.attempts)} attempts")
    return view


def _submit(laptop: _Node, slate: str, scenarios: int, name: str) -> str:
    spec: dict[str, object] = {
        "slate_csv": slate,
        "lineup_count": LINEUPS,
        "objective": OBJECTIVE,
        "scenarios": scenarios,
    }
    return laptop.client.submit(JobRequest(kind="lineups", spec=spec, name=name, placement="pc")).id


def _watched(laptop: _Node, job: str, audience: Audience) -> JobView:
    view: JobView | None = None
    for view in laptop.client.follow(job):
        audience.watch(view)
    if view is None or view.state not in END_STATES:
        raise DemoFailed(f"job {job} has no end")
    if view.state != "completed":
        why = view.reason if view.error is None else view.error.message
        raise DemoFailed(f"the job {view.name!r} was {view.state}: {why}")
    return view


def _until(condition: Callable[[], bool], within_s: float, otherwise: str) -> None:
    clock = SystemClock()
    until = clock.boot() + within_s
    while not condition():
        if clock.boot() >= until:
            raise DemoFailed(otherwise)
        time.sleep(POLL_S)


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """Let a polite request to end reach the clean-up, as Ctrl-C does."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [(number, signal.signal(number, end)) for number in numbers]
    before.append((signal.SIGINT, signal.getsignal(signal.SIGINT)))
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _remove(home: Path) -> None:
    """Delete the homes; a worker that is just ending may still write into them."""
    for _ in range(20):
        shutil.rmtree(home, ignore_errors=True)
        if not home.exists():
            return
        time.sleep(POLL_S)
