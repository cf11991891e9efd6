"""Level A: the pure core alone, in a world that is against it; several hundred histories a second."""

import itertools
from collections.abc import Callable

from meshd.jobs import lifecycle
from meshd.jobs.model import Job
from meshd_protocol.ids import JobId
from tests.simulation.core_device import CoreDevice
from tests.simulation.core_disk import Task
from tests.simulation.core_world import CoreLine, CoreWorld
from tests.simulation.history import History, digest_of
from tests.simulation.options import draw, luck
from tests.simulation.workers import DIVIDED, EFFECT, KINDS, PURE, SAFE

MAX_JOBS = 5
TROUBLE_S = (30.0, 120.0)


def run_history(seed: int) -> History:
    """Live through one history."""
    name = f"A {seed}"
    options = draw(luck(name), max_jobs=MAX_JOBS, trouble_s=TROUBLE_S)
    world = CoreWorld(f"{name} world", options)
    names = ["laptop", "pc", "box", "desk"][: options.nodes]
    for each in names:
        world.devices[each] = CoreDevice(world, each)
    world.devices[names[-1]].speed = 4.0
    for pair in itertools.combinations(names, 2):
        line = world.lines[frozenset(pair)] = CoreLine(pair)
        world.at(0.1, world.keep_connected, line)
    for one, other in itertools.permutations(world.devices.values(), 2):
        one.disk.peers[other.name] = 0
        world.monitor.paired(one.name, other.name, KINDS)
    for device in world.devices.values():
        world.at(0.0, device.start)
    _plan(world)
    world.run()
    return digest_of("A", seed, options, world.monitor)


def _plan(world: CoreWorld) -> None:
    options, rng = world.options, world.rng
    devices = list(world.devices.values())
    for number in range(options.jobs):
        device = rng.choice(devices)
        silent = rng.random() < options.silences
        kinds = (SAFE, SAFE, PURE, DIVIDED) if silent else (PURE, PURE, SAFE, SAFE, EFFECT, DIVIDED, DIVIDED)
        kind = rng.choice(kinds)
        seconds = rng.uniform(45.0, 80.0) if silent else rng.choice((1.0, 4.0, 12.0, 80.0)) * rng.uniform(0.5, 1.0)
        task = Task(seconds)
        if kind == DIVIDED:
            task = Task(max(seconds, rng.uniform(6.0, 30.0)), units=rng.randint(4, 30), seed=rng.randrange(1000))
        others = [other.name for other in devices if other is not device]
        job = Job(
            id=JobId(f"job{number}"),
            kind=kind,
            name="job",
            state="queued",
            placement=rng.choice(others if silent else ("auto", "auto", "local", *others, *others)),
            priority=0,
            timeout_s=0.0,
            retries=rng.choice((0, 0, 1, 2)),
            offload_timeout_s=120.0 if silent else rng.choice((10.0, 30.0, 120.0)),
            cost=task.seconds,
            created_at=0.0,
        )
        at = rng.uniform(0.5, options.trouble_s * (0.2 if silent else 0.6))
        world.at(at, _submit, world, device, job, task)
        if rng.random() < options.cancels * 0.5:
            world.at(at + rng.uniform(0.0, 25.0), _cancel, device, job.id)
    for device in devices:
        _often(world, options.crashes * 1.5, device.die)
        _often(world, options.graceful_restarts, device.die)
        _often(world, options.wipes * 0.5, device.wipe)
        _often(world, options.full_disks * 1.5, _fill, world, device)
        _often(world, options.clock_jumps, _jump, world, device)
        _often(world, options.pauses, _sleep, world, device)
    for one, other in itertools.permutations(devices, 2):
        _often(world, options.unpairings * 0.7, _unpair, world, one, other)
    for line in world.lines.values():
        _often(world, options.cuts * 2.0, world.cut, line)
        _often(world, options.partitions * 2.0, _partition, world, line)
        _often(world, options.slow_lines * 1.5, _slow, world, line)
        if options.silences:
            _silence(world, line)
    world.at(options.trouble_s, _heal, world)


def _often(world: CoreWorld, expected: float, what: Callable[..., None], *args: object) -> None:
    share = expected
    while share > 0:
        if world.rng.random() < share:
            world.at(world.rng.uniform(1.0, world.options.trouble_s), what, *args)
        share -= 1.0


def _submit(world: CoreWorld, device: CoreDevice, job: Job, task: Task) -> None:
    """Ask again until the job is on disk."""
    taken = False
    try:
        taken = device.is_awake and device.origin.submit(job, task)
    finally:
        if not taken:
            world.at(world.now + 2.0, _submit, world, device, job, task)
    if taken:
        world.monitor.acknowledged(device.name, job.id)


def _cancel(device: CoreDevice, job: JobId) -> None:
    if device.is_awake:
        device.origin.event(job, lifecycle.CancelAsked("cancelled by its user"))


def _unpair(world: CoreWorld, one: CoreDevice, other: CoreDevice) -> None:
    """Unpair on one side, with the other out of reach at times; they are paired again after a while."""
    line = world.line(one.name, other.name)
    if world.rng.random() < 0.5:
        world.block(line, list(line.ends))
        until = min(world.options.trouble_s, world.now + world.rng.uniform(1.0, 20.0))
        world.at(until, world.heal_line, line)
    one.unpair(other.name)
    pause = world.rng.choice((0.5, 5.0, 30.0)) * world.rng.uniform(0.5, 1.5)
    world.at(world.now + pause, _pair, world, one, other)


def _pair(world: CoreWorld, one: CoreDevice, other: CoreDevice) -> None:
    """Pair two devices as often as it takes until both know it."""
    if one.is_awake and other.is_awake and not world.line(one.name, other.name).blocked:
        number = one.disk.peers.get(other.name)
        if number is not None and number == other.disk.peers.get(one.name):
            return
        number = world.draw()
        for here, there in ((one, other), (other, one)):
            world.at(world.now + world.rng.uniform(0.01, 0.1), here.pair, there.name, number)
    world.at(world.now + 2.0, _pair, world, one, other)


def _fill(world: CoreWorld, device: CoreDevice) -> None:
    world.monitor.note(device.name, "its disk is full")
    device.is_full = True
    until = min(world.options.trouble_s, world.now + world.rng.uniform(1.0, 40.0))
    world.monitor.disturbed(device.name, until + 8.0)
    world.at(until, _empty, device)


def _empty(device: CoreDevice) -> None:
    device.is_full = False


def _jump(world: CoreWorld, device: CoreDevice) -> None:
    device.wall_offset += world.rng.choice((-1.0, 1.0)) * world.rng.choice((30.0, 3600.0, 86400.0))


def _sleep(world: CoreWorld, device: CoreDevice) -> None:
    world.sleep(device, world.rng.choice((3.0, 20.0, 60.0)))


def _partition(world: CoreWorld, line: CoreLine) -> None:
    senders = list(line.ends)
    if world.rng.random() < world.options.one_way:
        senders = [world.rng.choice(senders)]
    world.block(line, senders)
    span = world.rng.choice(((1.0, 9.0), (10.0, 60.0), (45.0, 80.0)))
    world.at(min(world.options.trouble_s, world.now + world.rng.uniform(*span)), world.heal_line, line)


def _silence(world: CoreWorld, line: CoreLine) -> None:
    """Cut the devices off for longer than a lease, while they work for each other; the last words came slowly."""
    start = world.options.trouble_s * world.rng.uniform(0.3, 0.5)
    world.at(start - world.rng.uniform(5.0, 12.0), _crawl, world, line)
    world.at(start, world.block, line, list(line.ends))
    world.at(min(world.options.trouble_s, start + world.rng.uniform(45.0, 70.0)), world.heal_line, line)


def _crawl(world: CoreWorld, line: CoreLine) -> None:
    line.slow_s = world.rng.choice((0.0, 3.0))


def _slow(world: CoreWorld, line: CoreLine) -> None:
    line.slow_s = world.rng.choice((0.2, 1.0, 3.0))
    world.at(min(world.options.trouble_s, world.now + world.rng.uniform(3.0, 30.0)), world.heal_line, line)


def _heal(world: CoreWorld) -> None:
    world.monitor.note("world", "heals")
    world.healed = True
    for line in world.lines.values():
        world.heal_line(line)
        if world.options.scrambled_frames:
            # A line that loses frames and says nothing: only a new session finds out.
            world.cut(line)
    for device in world.devices.values():
        device.is_full = False
        world.wake(device)
        device.start()
    for one, other in itertools.combinations(world.devices.values(), 2):
        _pair(world, one, other)
