"""Breaks things when the plan says so, and mends them: one thread, one action after the other, each of them short."""

import heapq
import itertools
import signal
import time
from collections.abc import Callable, Sequence
from random import Random

from tests.simulation.options import luck
from tests.soak.ledger import Died, Fault, Gone, Ledger, Ready, StartRefused, Unsettled
from tests.soak.machines import AirHost, Machine, Machines
from tests.soak.plan import Planned
from tests.soak.processes import Process
from tests.soak.reach import Reach
from tests.soak.switch import Weather

Action = Callable[[], None]

LOOK_S = 0.05
"""Between two looks at something that cannot be awaited."""

ROLL_CALL_S = 0.3
"""Between two looks at whether every daemon is there that should be."""

WORKER_S = 6.0
"""How long a worker to be killed is waited for: there is none in a quiet moment."""

LOOK_FOR_ORPHANS_S = 6.0
"""How long what outlives its daemon is looked for. Less is allowed; so the ledger tells how much more it was."""

START_S = 30.0
"""From the start of a daemon to its readiness, with everything else that goes on."""

BURST_S = 0.05
"""What its user's burst of submissions takes: a daemon is killed in the midst of it, between a commit and an answer."""

REFUSED = 1
"""The exit status of a daemon that could not start."""

TICK_S = 0.011
"""The kernel rounds the start of a process down to hundredths of a second."""


class Chaos:
    """The faults of a run."""

    def __init__(
        self,
        machines: Machines,
        ledger: Ledger,
        reach: Reach,
        *,
        boot: Callable[[], float],
        hurry: Callable[[str], None],
    ) -> None:
        self._machines = machines
        self._ledger = ledger
        self._reach = reach
        self._boot = boot
        self._hurry = hurry
        self._due: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._called_at = 0.0

    def begin(self, planned: Sequence[Planned], weathers: Sequence[tuple[float, Weather]], *, seed: int) -> None:
        """Let the plan run from now on."""
        random = luck(f"victims {seed}")
        for each in planned:
            self._in(each.at_s, lambda each=each: self._break(each, random))
        air = self._machines.air
        if air is not None:
            for at_s, weather in weathers:
                self._in(at_s, lambda weather=weather: setattr(air, "weather", weather))

    def run(self, for_s: float) -> None:
        """Act for so long, and then until all that was broken is mended."""
        until = self._ledger.now() + for_s
        while self._due or self._ledger.now() < until:
            self._turn()

    def run_until(self, holds: Callable[[], bool], *, within_s: float) -> bool:
        """Watch over the daemons until `holds` holds; return whether it does within the time."""
        until = self._ledger.now() + within_s
        while not holds():
            if self._ledger.now() >= until:
                return False
            self.run(ROLL_CALL_S)
        return True

    def launch(self, machine: Machine) -> None:
        """Start a daemon, and note when it is ready."""
        machine.daemon.launch()
        machine.expected = True
        self._look_ready(machine, self._ledger.now(), machine.daemon.pid)

    def _turn(self) -> None:
        now = self._ledger.now()
        if now - self._called_at >= ROLL_CALL_S:
            self._called_at = now
            self._roll_call()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        time.sleep(LOOK_S if not self._due else min(LOOK_S, max(0.0, self._due[0][0] - self._ledger.now())))

    def _in(self, seconds: float, action: Action) -> None:
        heapq.heappush(self._due, (self._ledger.now() + seconds, next(self._order), action))

    def _note(self, planned: Planned) -> None:
        self._ledger.write(
            Fault(kind=planned.kind, machine=planned.machine, other=planned.other, lasts_s=planned.lasts_s)
        )

    def _roll_call(self) -> None:
        for machine in self._machines.all:
            if machine.expected and machine.daemon.pid is None:
                machine.expected = False
                status = machine.daemon.await_end()
                # Without room for its database a daemon does not start, and says so; one that runs goes on.
                refused = self._reach.is_full_and_not_ready(machine.name) and status == REFUSED
                self._ledger.write((StartRefused if refused else Died)(machine=machine.name, status=status))
                self._reach.now(machine.name, ready=False, still=False)
                self._in(1.0, lambda machine=machine: self.launch(machine))

    def _look_ready(self, machine: Machine, launched_at: float, pid: int | None) -> None:
        if pid is None or machine.daemon.pid != pid:
            # Killed, or dead, before it was ready: whoever starts it again looks again.
            return
        took = self._ledger.now() - launched_at
        if machine.daemon.is_ready():
            self._ledger.write(Ready(machine=machine.name, after_s=round(took, 2)))
            self._reach.now(machine.name, ready=True)
        elif took > START_S:
            self._ledger.write(Unsettled(what=f"{machine.name} is not ready after {START_S:g} s"))
        else:
            self._in(LOOK_S, lambda: self._look_ready(machine, launched_at, pid))

    # Breaking

    def _break(self, planned: Planned, random: Random) -> None:
        machine = self._machines[planned.machine]
        match planned.kind:
            case "kill daemon":
                self._hurry(planned.machine)
                self._in(random.uniform(0.0, BURST_S), lambda: self._kill_daemon(planned, machine))
            case "stop daemon":
                self._stop_daemon(planned, machine)
            case "kill worker" | "stop worker":
                self._wait_for_worker(planned, machine, random, until=self._ledger.now() + WORKER_S)
            case "fill disk":
                self._fill_disk(planned, machine)
            case "cut" | "cut one way":
                self._cut(planned)
            case "flap" | "move":
                self._disturb_link(planned, machine)

    def _kill_daemon(self, planned: Planned, machine: Machine) -> None:
        pid = machine.daemon.pid
        if pid is None:
            return
        self._note(planned)
        self._reach.now(machine.name, ready=False, still=False)
        machine.expected = False
        killed_at = self._boot()
        machine.daemon.kill()
        self._in(planned.lasts_s, lambda: self.launch(machine))
        self._look_for_orphans(machine, pid, killed_at, self._ledger.now())

    def _look_for_orphans(self, machine: Machine, pid: int, killed_at: float, since: float) -> None:
        left = [process for process in machine.processes(pid) if process.started_s < killed_at - TICK_S]
        after_s = self._ledger.now() - since
        if left and after_s < LOOK_FOR_ORPHANS_S:
            self._in(LOOK_S, lambda: self._look_for_orphans(machine, pid, killed_at, since))
        else:
            told = tuple(str(process) for process in left)
            self._ledger.write(Gone(machine=machine.name, after_s=round(after_s, 2), left=told))

    def _stop_daemon(self, planned: Planned, machine: Machine) -> None:
        pid = machine.daemon.pid
        if pid is None:
            return
        self._note(planned)
        self._reach.now(machine.name, still=True)
        machine.daemon.suspend()
        self._in(planned.lasts_s, lambda: self._resume_daemon(machine))

    def _resume_daemon(self, machine: Machine) -> None:
        machine.daemon.resume()
        self._reach.now(machine.name, still=False)

    def _wait_for_worker(self, planned: Planned, machine: Machine, random: Random, *, until: float) -> None:
        workers = [process for process in machine.workers() if process.is_there()]
        if not workers:
            if self._ledger.now() < until:
                self._in(LOOK_S, lambda: self._wait_for_worker(planned, machine, random, until=until))
            return
        worker = random.choice(workers)
        self._note(planned)
        if planned.kind == "kill worker":
            worker.signal(signal.SIGKILL)
            return
        worker.signal(signal.SIGSTOP)
        self._in(planned.lasts_s, lambda: _resume(worker))

    def _fill_disk(self, planned: Planned, machine: Machine) -> None:
        self._note(planned)
        self._reach.now(machine.name, full=True)
        machine.disk.fill()
        self._in(planned.lasts_s, lambda: self._release_disk(machine))

    def _release_disk(self, machine: Machine) -> None:
        machine.disk.release()
        self._reach.now(machine.name, full=False)

    def _cut(self, planned: Planned) -> None:
        air = self._machines.air
        if air is None:
            return
        self._note(planned)
        others = [planned.other] if planned.other else [each.name for each in self._machines.all]
        ways = {(planned.machine, other) for other in others if other != planned.machine}
        if planned.kind == "cut":
            ways |= {(receiver, sender) for sender, receiver in ways}
        air.cut(ways)
        self._reach.look_again()
        self._in(planned.lasts_s, self._uncut)

    def _uncut(self) -> None:
        if self._machines.air is not None:
            self._machines.air.cut(())
            self._reach.look_again()

    def _disturb_link(self, planned: Planned, machine: Machine) -> None:
        host = machine.host
        if not isinstance(host, AirHost):
            return
        self._note(planned)
        self._reach.now(machine.name, linked=False)
        if planned.kind == "move":
            host.change_address()
            self._reach.now(machine.name, linked=True)
        else:
            host.unplug()
            self._in(planned.lasts_s, lambda: self._plug(machine, host))

    def _plug(self, machine: Machine, host: AirHost) -> None:
        host.plug()
        self._reach.now(machine.name, linked=True)


def _resume(worker: Process) -> None:
    worker.signal(signal.SIGCONT)
