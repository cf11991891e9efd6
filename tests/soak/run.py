"""One run: the machines are made, used, troubled, left in peace, and ended; what they leave lies in a folder."""

import secrets
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from meshd.clock import SystemClock
from tests.soak import evidence, plan
from tests.soak.chaos import Chaos
from tests.soak.ledger import Began, Gone, Ledger, Stage, Stopped, Unsettled
from tests.soak.load import Load
from tests.soak.machines import NAMES, Machine, Machines, introduce, open_machines
from tests.soak.reach import Reach
from tests.soak.switch import CALM
from tests.soak.watch import Watch, sample
from tests.support.hosts import Records

SETTLED_S = 90.0
"""For everything to come to rest after the last fault: the largest jobs once more, on busy cores. Most runs need 20 s,
and only one that fails waits it out."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long each part of a run takes."""

    warm_up_s: float
    chaos_s: float
    quiet_s: float
    """At most: it is over when everything is at rest."""

    @classmethod
    def of(cls, seconds: float) -> "Schedule":
        """Divide so many seconds."""
        warm_up_s, chaos_s = seconds / 12, seconds * 2 / 3
        return cls(warm_up_s, chaos_s, max(SETTLED_S, seconds - warm_up_s - chaos_s))


def run(folder: Path, *, seconds: float, seed: int, network: bool, say: Say) -> None:
    """Run once, and leave in `folder` what the check reads."""
    clock = SystemClock()
    schedule, began_at = Schedule.of(seconds), clock.boot()
    canary = f"canary-{secrets.token_hex(16)}"
    with Ledger(folder, lambda: clock.boot() - began_at) as ledger:
        ledger.write(
            Began(
                seed=seed,
                seconds=seconds,
                machines=NAMES,
                network=network,
                canary=canary,
                minimum=plan.minimum(schedule.chaos_s, network=network),
                minimum_jobs=plan.minimum_jobs(schedule.warm_up_s + schedule.chaos_s),
            )
        )
        with open_machines(folder, network=network, seed=seed, canary=canary) as machines:
            try:
                introduce(machines.all)
                _live(machines, ledger, schedule, seed=seed, boot=clock.boot, canary=canary, say=say)
            finally:
                # Whatever has happened, what the machines hold is evidence.
                for machine in machines.all:
                    if machine.daemon.pid is not None:
                        machine.daemon.kill()
                    evidence.collect(machine, folder)


def _live(
    machines: Machines,
    ledger: Ledger,
    schedule: Schedule,
    *,
    seed: int,
    boot: Callable[[], float],
    canary: str,
    say: Say,
) -> None:
    air = machines.air
    reach = Reach(NAMES, ledger, is_cut=lambda sender, receiver: air is not None and air.is_cut(sender, receiver))
    load = Load([(each.name, each.daemon.client) for each in machines.all], ledger, seed=seed)
    chaos = Chaos(machines, ledger, reach, boot=boot, hurry=load.hurry)
    for machine in machines.all:
        first = sample(machine.daemon)
        if first is not None:
            ledger.write(first)
        reach.now(machine.name, ready=True)
    with ExitStack() as stack:
        stack.enter_context(Watch(machines, ledger, reach, canary=canary))
        stack.enter_context(load)

        def stage(name: str) -> None:
            ledger.write(Stage(name=name))
            say(f"{ledger.now():6.1f} s  {name}")

        stage("warm-up")
        chaos.run(schedule.warm_up_s)
        stage("chaos")
        chaos.begin(
            plan.draw(seed, schedule.chaos_s, NAMES, network=air is not None),
            plan.weathers(seed, schedule.chaos_s),
            seed=seed,
        )
        chaos.run(schedule.chaos_s)
        load.rest()
        if air is not None:
            air.weather = CALM
        stage("quiet")
        if chaos.run_until(lambda: not any(_restless(machines, load, reach)), within_s=schedule.quiet_s):
            stage("settled")
        else:
            for what in _restless(machines, load, reach):
                ledger.write(Unsettled(what=what))
        for machine in machines.all:
            last = sample(machine.daemon)
            if last is not None:
                ledger.write(last)
            machine.expected = False
        stage("over")
    _stop(machines, ledger)


def _restless(machines: Machines, load: Load, reach: Reach) -> list[str]:
    """Return what is not at rest yet."""
    found = [f"{pair} have no session" for pair in reach.apart()]
    for user in load.users:
        waiting = user.open()
        if waiting:
            found.append(f"{len(waiting)} jobs of {user.machine} have not ended: {', '.join(waiting[:3])}")
    if found:
        return found
    for machine in machines.all:
        records = Records.read(machine.daemon.paths.database)
        if records.outbox or records.held:
            found.append(f"{machine.name} has {records.outbox} messages to send, and holds {records.held} attempts")
        found += [f"{machine.name} has a worker, {process}" for process in machine.workers()]
        found += [f"{machine.name} has the blob {blob.name}" for blob in machine.daemon.paths.blobs.iterdir()]
    return found


def _stop(machines: Machines, ledger: Ledger) -> None:
    """End the daemons in order, and look for what they have left."""
    asked_at = ledger.now()
    pids = {machine.name: machine.daemon.pid for machine in machines.all}
    for machine in machines.all:
        machine.daemon.ask_to_stop()
    for machine in machines.all:
        if pids[machine.name] is None:
            continue
        try:
            status = machine.daemon.await_end()
        except subprocess.TimeoutExpired:
            # It is killed with its host, and the check misses the line about its end.
            continue
        ledger.write(Stopped(machine=machine.name, status=status, after_s=round(ledger.now() - asked_at, 2)))
    for machine in machines.all:
        ledger.write(Gone(machine=machine.name, after_s=0.0, left=_left(machine, pids[machine.name])))


def _left(machine: Machine, pid: int | None) -> tuple[str, ...]:
    return tuple(str(process) for process in machine.processes(pid))
