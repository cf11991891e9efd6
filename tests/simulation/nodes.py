"""Level B: whole job sides of two to four devices on one virtual-time loop, and a world that is against them."""
# pyright: reportPrivateUsage=false

import asyncio
import hashlib
import itertools
import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from meshd.errors import MeshdError
from meshd.store import jobs as job_rows
from meshd_protocol.errors import ProtocolError
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.localapi import JobRequest
from tests.simulation.daemon import Daemon, SimulatedClock, add_peers, new_daemon_tasks
from tests.simulation.disk import Disk, new_database
from tests.simulation.history import History, digest_of
from tests.simulation.line import Line, open_line
from tests.simulation.monitor import Monitor
from tests.simulation.options import Options, draw, luck
from tests.simulation.virtual_time import Deadlock, VirtualTimeLoop, simulate
from tests.simulation.workers import EFFECT, KINDS, PURE, SAFE, Luck

MAX_JOBS = 7
TROUBLE_S = (30.0, 110.0)
"""Short histories, many of them: almost every fault shows within a few leases."""

SETTLE_S = 900.0
"""By then everything has ended: a lease, a minute in which a device is avoided, four jobs in a row with timeouts."""

LOOK_S = 2.5
"""How often the monitor looks for what lasts too long."""

RESTART_S = (0.5, 25.0)


@dataclass(slots=True)
class Device:
    """What outlives a daemon."""

    id: DeviceId
    name: str
    disk: Disk
    clock: SimulatedClock
    luck: Luck
    daemon: Daemon | None = None
    seen_transition: int = 0
    seen_applied: int = 0
    seen_changes: int = 0
    outbound: dict[str, tuple[str, int, int]] = field(default_factory=dict[str, tuple[str, int, int]])


class World:
    """The devices, what lies between them, and what befalls them."""

    def __init__(self, seed: str, options: Options, monitor: Monitor) -> None:
        self._seed = seed
        self._options = options
        self._monitor = monitor
        self._loop = asyncio.get_running_loop()
        self._rng = self._luck_of("world")
        self._sessions = itertools.count(1)
        self._draws = itertools.count()
        self._healed = False
        self._submitted: list[tuple[Device, JobId]] = []
        self._requests = 0
        names = ["laptop", "pc", "box", "desk"][: options.nodes]
        ids = {DeviceId(name): name for name in names}
        self._devices = [self._new_device(DeviceId(name), name) for name in names]
        self._by_id = {device.id: device for device in self._devices}
        self._peers = {one: {other: name for other, name in ids.items() if other != one} for one in ids}
        self._lines = {
            frozenset(pair): Line(self._luck_of(f"line {pair}")) for pair in itertools.combinations(sorted(ids), 2)
        }
        self._users: set[asyncio.Task[None]] = set()
        for device in self._devices:
            add_peers(device.disk.connection, self._peers[device.id])

    def _luck_of(self, what: str) -> random.Random:
        # One generator for each thing: a draw more here does not change what happens there.
        return luck(f"{self._seed} {what}")

    def _token(self, number: int) -> bytes:
        return hashlib.sha256(f"{self._seed} {next(self._draws)}".encode()).digest()[:number]

    def _new_device(self, device: DeviceId, name: str) -> Device:
        rng = self._luck_of(name)
        drift = rng.uniform(-0.02, 0.02) if self._options.clock_drift else 0.0
        return Device(
            device,
            name,
            Disk(new_database(), self._luck_of(f"disk of {name}")),
            SimulatedClock(self._loop.time, drift=drift, boot=rng.uniform(0.0, 1e6)),
            Luck(self._options, self._luck_of(f"workers of {name}")),
        )

    # The history

    async def run(self) -> None:
        """Live through the time of trouble, heal, and see that everything comes to its end."""
        for device in self._devices:
            self._start(device)
        self._plan()
        self._loop.call_later(LOOK_S, self._look)
        await self._until(self._options.trouble_s)
        self._heal()
        deadline = self._loop.time() + SETTLE_S
        while not self._monitor.violation and not (self._has_settled() and await self._is_empty()):
            if self._loop.time() > deadline:
                self._monitor.broken("liveness", "; ".join(await self._leftovers()), self._first_open())
                return
            await self._until(self._loop.time() + 1.0)
        if not self._monitor.violation:
            await self._judge()

    async def _until(self, at: float) -> None:
        while self._loop.time() < at and not self._monitor.violation:  # noqa: ASYNC110 - waiting costs nothing here
            await asyncio.sleep(min(1.0, at - self._loop.time()))

    def _look(self) -> None:
        self._monitor.check_orphans()
        self._loop.call_later(LOOK_S, self._look)

    def _plan(self) -> None:
        options, rng = self._options, self._rng
        for _ in range(options.jobs):
            self._at(rng.uniform(0.5, options.trouble_s * (0.2 if options.silences == 1.0 else 0.6)), self._submit)
        for device in self._devices:
            self._often(options.crashes * 1.5, self._crash, device)
            self._often(options.graceful_restarts, self._restart, device)
            self._often(options.full_disks * 1.5, self._fill_disk, device)
            self._often(options.slow_disks * 1.5, self._slow_disk, device)
            self._often(options.clock_jumps, self._jump, device)
            self._often(options.wipes * 0.6, self._wipe, device)
        for line in self._lines.values():
            self._often(options.cuts * 3.0, self._cut, line)
            self._often(options.partitions * 2.0, self._partition, line)
            self._often(options.slow_lines * 1.5, self._slow_line, line)
            if options.silences:
                self._silence(line)

    def _often(self, expected: float, what: Callable[..., None], *args: object) -> None:
        """Let it happen about so many times in the time of trouble."""
        share = expected
        while share > 0:
            if self._rng.random() < share:
                self._at(self._rng.uniform(1.0, self._options.trouble_s), what, *args)
            share -= 1.0

    def _at(self, at: float, what: Callable[..., None], *args: object) -> None:
        self._loop.call_at(at, what, *args)

    def _during(self, span: tuple[float, float], undo: Callable[[], None]) -> float:
        """Undo a trouble after a while; return when."""
        until = min(self._options.trouble_s, self._loop.time() + self._rng.uniform(*span))
        self._loop.call_at(until, undo)
        return until

    # Users

    def _submit(self) -> None:
        options, rng = self._options, self._rng
        device = rng.choice(self._devices)
        silent = rng.random() < options.silences
        kind = rng.choice((SAFE, SAFE, PURE)) if silent else rng.choice((PURE, PURE, SAFE, SAFE, EFFECT))
        seconds = rng.uniform(45.0, 80.0) if silent else rng.choice((1.0, 4.0, 12.0, 80.0)) * rng.uniform(0.5, 1.0)
        others = list(self._peers[device.id].values())
        self._requests += 1
        request = JobRequest(
            kind=kind,
            spec={"seconds": seconds},
            placement=rng.choice(others if silent else ("auto", "auto", "local", *others, *others)),
            timeout_s=110.0 if options.hangs else 0.0,
            retries=rng.choice((0, 0, 1, 2)),
            offload_timeout_s=120.0 if silent else rng.choice((10.0, 30.0, 120.0)),
        )
        self._insist(device, request, f"request {self._requests}", cancel_at=self._cancel_at())

    def _cancel_at(self) -> float | None:
        if self._rng.random() < self._options.cancels * 0.5:
            return self._loop.time() + self._rng.uniform(0.0, 25.0)
        return None

    def _insist(self, device: Device, request: JobRequest, key: str, *, cancel_at: float | None) -> None:
        """Ask again, under the same key, until the device has said yes."""
        if device.daemon is None or not device.daemon.is_up:
            self._loop.call_later(2.0, lambda: self._insist(device, request, key, cancel_at=cancel_at))
            return
        daemon = device.daemon

        async def ask() -> None:
            try:
                answer = await daemon.origin.submit(request, idempotency_key=key)
            except MeshdError:
                self._loop.call_later(2.0, lambda: self._insist(device, request, key, cancel_at=cancel_at))
            except asyncio.CancelledError:
                # The daemon died while it was asked: it may or may not have taken the job.
                self._loop.call_later(2.0, lambda: self._insist(device, request, key, cancel_at=cancel_at))
                raise
            else:
                self._monitor.acknowledged(device.name, answer.id)
                if cancel_at is not None:
                    self._at(max(cancel_at, self._loop.time()), self._cancel, device, JobId(answer.id))

        daemon.spawn(ask(), key)

    def _cancel(self, device: Device, job: JobId) -> None:
        daemon = device.daemon
        if daemon is None or not daemon.is_up:
            return

        async def cancel() -> None:
            try:
                await daemon.origin.cancel(job, reason="cancelled by its user")
            except MeshdError as error:
                self._monitor.note(device.name, f"cannot cancel: {error}", job)

        daemon.spawn(cancel(), f"cancel {job}")

    # Daemons

    def _start(self, device: Device) -> None:
        if device.daemon is not None:
            return
        self._monitor.note(device.name, "its daemon starts")
        daemon = device.daemon = Daemon(
            device=device.id,
            peers=self._peers[device.id],
            disk=device.disk,
            clock=device.clock,
            luck=device.luck,
            monitor=self._monitor,
            token=self._token,
            slots=self._options.slots,
            rate=1.0 if device is not self._devices[-1] else 4.0,
            due=lambda: not self._dies_at(device, "before a commit"),
            committed=lambda: self._committed(device),
            call=self._call,
            backoff=lambda: self._rng.uniform(0.2, 1.0) if self._healed else self._rng.uniform(0.3, 4.0),
        )

        async def start() -> None:
            try:
                await daemon.start()
            except MeshdError as error:
                self._monitor.note(device.name, f"cannot start: {error}")
                self._loop.call_soon(self._end, device, daemon, (2.0, 4.0))

        daemon.spawn(start(), f"start {device.name}")

    def _crash(self, device: Device, down_s: tuple[float, float] = RESTART_S) -> None:
        """Kill the daemon; its machine may live on and say so, or be gone without a word."""
        daemon = device.daemon
        if daemon is not None:
            self._end(device, daemon, down_s)

    def _end(self, device: Device, daemon: Daemon, down_s: tuple[float, float]) -> None:
        if device.daemon is not daemon:
            return
        device.daemon = None
        daemon.die()
        self._monitor.crashed(device.name)
        without_a_word = self._rng.random() < 0.3
        for line in self._lines.values():
            for end in list(line.ends):
                if end.owner == device.id:
                    end.vanish() if without_a_word else end.hang_up()
        device.disk.connection.full = device.disk.connection.full and self._rng.random() < 0.5
        pause_s = self._rng.uniform(0.5, 3.0) if self._healed else self._rng.uniform(*down_s)
        self._loop.call_later(pause_s, self._start, device)

    def _restart(self, device: Device) -> None:
        """End the daemon as its user does, and start it again."""
        daemon = device.daemon
        if daemon is None or not daemon.is_up:
            return
        self._monitor.note(device.name, "its daemon is stopped by its user")
        self._monitor.disturbed(device.name, self._loop.time() + 10.0)
        for line in self._lines.values():
            for end in list(line.ends):
                if end.owner == device.id:
                    end.hang_up()
        for slot in daemon.slots.values():
            slot.free.clear()

        async def stop() -> None:
            await daemon.stop()
            self._loop.call_soon(self._end, device, daemon, (0.5, 3.0))

        daemon.spawn(stop(), f"stop {device.name}")

    def _wipe(self, device: Device) -> None:
        """Lose the device's database, as when its owner reinstalls it; it stays paired."""
        self._crash(device)
        device.disk.connection.close()
        device.disk.connection = new_database()
        add_peers(device.disk.connection, self._peers[device.id])
        device.seen_transition = device.seen_applied = device.seen_changes = 0
        device.outbound.clear()
        self._monitor.wiped(device.name)

    # Lines and disks

    async def _call(self, daemon: Daemon, peer: DeviceId) -> bool:
        """Try to open a session."""
        line = self._lines[frozenset((daemon.device, peer))]
        await asyncio.sleep(3 * line.latency_s())
        other = self._by_id[peer].daemon
        if line.blocked or other is None or not other.is_up or not daemon.is_up:
            return False
        here, there = open_line(daemon.device, peer, line, self._monitor, next(self._sessions))
        other.adopt(there)
        daemon.adopt(here)
        return True

    def _cut(self, line: Line) -> None:
        self._monitor.note("world", "a line is cut")
        line.cut()

    def _partition(self, line: Line) -> None:
        one, other = sorted(next(pair for pair, known in self._lines.items() if known is line))
        self._monitor.note("world", f"the line between {one} and {other} is blocked")
        senders = [one, other]
        if self._rng.random() < self._options.one_way:
            senders = [self._rng.choice(senders)]
        for sender in senders:
            line.block(sender)
        self._monitor.in_touch(one, other, can_talk=False)
        self._during(self._rng.choice(((1.0, 9.0), (10.0, 60.0), (45.0, 80.0))), line.heal)

    def _silence(self, line: Line) -> None:
        """Cut the devices off for longer than a lease, while they work for each other; the last words came slowly."""
        start = self._options.trouble_s * self._rng.uniform(0.3, 0.5)

        def crawl() -> None:
            line.slow_s = self._rng.choice((0.0, 3.0))

        def block() -> None:
            for device in sorted(next(pair for pair, known in self._lines.items() if known is line)):
                line.block(device)

        def heal() -> None:
            line.slow_s = 0.0
            line.heal()

        self._at(start - self._rng.uniform(5.0, 12.0), crawl)
        self._at(start, block)
        self._at(min(self._options.trouble_s, start + self._rng.uniform(45.0, 70.0)), heal)

    def _slow_line(self, line: Line) -> None:
        line.slow_s = self._rng.choice((0.2, 1.0, 3.0))

        def mend() -> None:
            line.slow_s = 0.0

        self._during((3.0, 30.0), mend)

    def _fill_disk(self, device: Device) -> None:
        self._monitor.note(device.name, "its disk is full")
        connection = device.disk.connection
        connection.full, connection.full_at_commit = True, self._rng.random() < 0.5

        def empty() -> None:
            self._monitor.note(device.name, "its disk has room again")
            connection.full = False

        self._monitor.disturbed(device.name, self._during((1.0, 40.0), empty) + 8.0)

    def _slow_disk(self, device: Device) -> None:
        device.disk.slow_s = self._rng.choice((0.1, 1.0, 5.0))

        def mend() -> None:
            device.disk.slow_s = 0.0

        self._monitor.disturbed(device.name, self._during((2.0, 20.0), mend) + 10.0)

    def _jump(self, device: Device) -> None:
        self._monitor.note(device.name, "its wall clock jumps")
        device.clock.wall_offset += self._rng.choice((-1.0, 1.0)) * self._rng.choice((30.0, 3600.0, 86400.0))

    def _heal(self) -> None:
        self._monitor.note("world", "heals")
        self._healed = True
        for line in self._lines.values():
            line.heal()
            line.slow_s = 0.0
        for device in self._devices:
            device.luck.is_over = True
            device.disk.slow_s = 0.0
            device.disk.connection.full = False
            self._start(device)

    # What the disks say

    def _committed(self, device: Device) -> bool:
        """Report what is new on a disk; return whether the daemon lives on."""
        connection = device.disk.connection
        if connection.full:
            self._monitor.sometime("a disk refused a write")
        if connection.total_changes == device.seen_changes:
            return True
        device.seen_changes = connection.total_changes
        self._read_transitions(device)
        for row in connection.execute("SELECT * FROM applied WHERE number > ?", (device.seen_applied,)).fetchall():
            device.seen_applied = row["number"]
            self._monitor.applied(device.name, row["sender"], row["stream"], row["seq"], row["what"], row["job"])
        for peer, stream, last, acked in connection.execute("SELECT * FROM outbound").fetchall():
            known = device.outbound.get(peer)
            if known != (stream, last, acked):
                device.outbound[peer] = (stream, last, acked)
                self._monitor.numbered(device.name, peer, stream, last)
                if known is None or known[0] != stream or known[2] != acked:
                    self._monitor.forgotten(device.name, peer, stream, acked)
        if self._dies_at(device, "between a commit and what follows"):
            self._monitor.sometime("a crash between commit and effect")
            return False
        return True

    def _dies_at(self, device: Device, when: str) -> bool:
        """Kill a daemon at one of the moments that tests by hand would never hit."""
        if self._healed or device.daemon is None or self._rng.random() >= self._options.commit_crashes * 0.02:
            return False
        self._monitor.note(device.name, f"its daemon dies {when}")
        device.daemon.store.die()
        self._loop.call_soon(self._crash, device)
        return True

    def _read_transitions(self, device: Device) -> None:
        connection, monitor = device.disk.connection, self._monitor
        for number, job, attempt, state, cause in connection.execute(
            "SELECT number, job, attempt, state, cause FROM transition WHERE number > ?", (device.seen_transition,)
        ).fetchall():
            device.seen_transition = number
            if attempt is not None and state == "offered":
                row = connection.execute(
                    "SELECT device FROM attempt WHERE job = ? AND number = ?", (job, attempt)
                ).fetchone()
                monitor.offered(job, attempt, row["device"])
            elif attempt is not None:
                monitor.attempt_changed(job, attempt, state, cause)
            elif state == "queued":
                kind = KINDS[connection.execute("SELECT kind FROM job WHERE id = ?", (job,)).fetchone()["kind"]]
                monitor.queued(device.name, job, deterministic=kind.deterministic, retry_safe=kind.retry_safe)
            else:
                monitor.job_changed(job, state)

    # The end

    def _has_settled(self) -> bool:
        for pair, line in self._lines.items():
            one, other = sorted(pair)
            can_talk = not line.blocked and len(line.ends) == 2
            self._monitor.in_touch(one, other, can_talk=can_talk)
        return not self._monitor.open_jobs()

    def _first_open(self) -> str | None:
        return next(iter(self._monitor.open_jobs()), None)

    async def _is_empty(self) -> bool:
        return not await self._leftovers()

    async def _leftovers(self) -> list[str]:
        """Return what is still there of work that is over."""
        left = [f"job {job} has not ended" for job in self._monitor.open_jobs()]
        for device in self._devices:
            daemon = device.daemon
            if daemon is None or not daemon.is_up:
                left.append(f"{device.name} is not up")
                continue
            for table in ("outbox", "held"):
                count = len(await daemon.store.fetch(f"SELECT * FROM {table}"))  # noqa: S608
                left += [f"{count} rows in {table} of {device.name}"] * bool(count)
            for what, things in (
                ("jobs in memory", daemon.origin._jobs),
                ("jobs being placed", daemon.origin._placing),
                ("leases", daemon.origin._leases._watched),
                ("attempts held", daemon.holdings._held),
                ("ends untold", [key for keys in daemon.holdings._finished.values() for key in keys]),
                ("attempts at the executor", daemon.executor._entries),
            ):
                left += [f"{len(things)} {what} at {device.name}: {[str(each) for each in things][:2]}"] * bool(things)
        return left

    async def _judge(self) -> None:
        present: set[str] = set()
        for device in self._devices:
            assert device.daemon is not None
            store = device.daemon.store
            for found in await store.fetch("SELECT id FROM job"):
                row = await job_rows.job_row(store, found["id"])
                assert row is not None
                present.add(row["id"])
                result = None if row["result"] is None else json.loads(row["result"])
                self._monitor.at_rest(row["id"], row["state"], None if result is None else result["attempt"])
        self._monitor.all_at_rest(present)


class _Errors(logging.Handler):
    """Nothing that production logs as an error with a traceback may be unforeseen."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(logging.ERROR)
        self._monitor = monitor

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, MeshdError | ProtocolError):
            self._monitor.broken("I9", f"{record.getMessage()}: {error!r}")


def run_history(seed: int) -> History:
    """Live through one history."""
    name = f"B {seed}"
    options = draw(luck(name), max_jobs=MAX_JOBS, trouble_s=TROUBLE_S)
    monitors: list[Monitor] = []

    async def live() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.set_task_factory(new_daemon_tasks)  # pyright: ignore[reportArgumentType] - nobody passes generators
        monitor = Monitor(loop.time)
        monitors.append(monitor)

        def unhandled(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
            error = context.get("exception")
            if error is not None and not isinstance(error, MeshdError | ProtocolError):
                monitor.broken("I9", f"{context.get('message')}: {error!r}")

        loop.set_exception_handler(unhandled)
        handler = _Errors(monitor)
        logger = logging.getLogger("meshd")
        logger.addHandler(handler)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        try:
            await World(name, options, monitor).run()
        finally:
            logger.removeHandler(handler)

    try:
        simulate(live())
    except Deadlock as error:
        monitors[0].broken("liveness", str(error))
    return digest_of("B", seed, options, monitors[0])
