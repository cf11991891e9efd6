"""Level B's world: whole job sides of a few devices on one virtual-time loop, and what lies between them."""
# pyright: reportPrivateUsage=false

import asyncio
import contextlib
import contextvars
import hashlib
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meshd.errors import MeshdError
from meshd.net.blob_stream import STALL_S, Cut, Stalled
from meshd.store import jobs as job_rows
from meshd.store.blobs import BlobRef
from meshd_protocol.ids import DeviceId
from tests.simulation.blob_disk import BlobDisk
from tests.simulation.daemon import Daemon, Place, SimulatedClock
from tests.simulation.disk import Disk, new_database
from tests.simulation.ledger import LedgerReader
from tests.simulation.line import Line, open_line
from tests.simulation.machine import Machine
from tests.simulation.monitor import Monitor
from tests.simulation.options import Options, luck
from tests.simulation.troubles import Troubles
from tests.simulation.users import Users
from tests.simulation.workers import Luck
from tests.support.memory_exchange import MemoryExchange

SETTLE_S = 900.0
"""By then everything has ended: a lease, a minute in which a device is avoided, four jobs in a row with timeouts."""

LOOK_S = 2.5
"""How often the monitor looks for what lasts too long."""

RESTART_S = (0.5, 25.0)

ANSWER_S = 10.0
"""Whoever has not answered a call by then is called again."""

BYTES_PER_S = 2e6
"""A poor wireless link: a large partial is under way for a twentieth of a second."""


@dataclass(slots=True, eq=False)
class Device:
    """What outlives a daemon."""

    id: DeviceId
    disk: Disk
    blobs: BlobDisk
    clock: SimulatedClock
    machine: Machine | None
    luck: Luck
    ledger: LedgerReader
    daemon: Daemon | None = None

    @property
    def is_awake(self) -> bool:
        """Whether the machine runs."""
        return self.machine is None or not self.machine.is_asleep

    @property
    def serving(self) -> Daemon | None:
        """Return the daemon, if it takes calls and requests now."""
        return self.daemon if self.daemon is not None and self.daemon.is_up and self.is_awake else None


class World:
    """The devices, and what lies between them."""

    def __init__(self, seed: str, options: Options, monitor: Monitor) -> None:
        self.options = options
        self.monitor = monitor
        self.has_healed = False
        self._seed = seed
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.rng = self.luck_of("world")
        self._sessions = itertools.count(1)
        self._draws = itertools.count()
        ids = [DeviceId(name) for name in ("laptop", "pc", "box", "desk")[: options.nodes]]
        self.devices = [self._new_device(device) for device in ids]
        self.by_id = {device.id: device for device in self.devices}
        self.lines = {
            frozenset(pair): Line(self.luck_of(f"line {pair}")) for pair in itertools.combinations(sorted(ids), 2)
        }
        self._exchanges: dict[DeviceId, MemoryExchange] = {}
        self.users = Users(self)
        self.troubles = Troubles(self)

    def luck_of(self, what: str) -> random.Random:
        """Return a generator of its own for each thing: a draw more here does not change what happens there."""
        return luck(f"{self._seed} {what}")

    def token(self, number: int) -> bytes:
        """Return bytes that nobody has got before."""
        return hashlib.sha256(f"{self._seed} {next(self._draws)}".encode()).digest()[:number]

    def _new_device(self, device: DeviceId) -> Device:
        rng = self.luck_of(device)
        drift = rng.uniform(-0.02, 0.02) if self.options.clock_drift else 0.0
        disk = Disk(new_database(), self.luck_of(f"disk of {device}"))
        return Device(
            device,
            disk,
            BlobDisk(device, disk, self.luck_of(f"blobs of {device}"), self.monitor),
            SimulatedClock(self._loop.time, drift=drift, boot=rng.uniform(0.0, 1e6)),
            Machine() if self.options.pauses else None,
            Luck(self.options, self.luck_of(f"workers of {device}")),
            LedgerReader(device, self.monitor),
        )

    # Time

    def now(self) -> float:
        """Return the time since the beginning."""
        return self._loop.time()

    def at(self, at: float, what: Callable[..., None], *args: object) -> None:
        """Let something happen in the world, on no machine."""
        self._loop.call_at(at, what, *args, context=self._context)

    def later(self, delay_s: float, what: Callable[..., None], *args: object) -> None:
        """Let something happen in the world after a while."""
        self.at(self.now() + delay_s, what, *args)

    # The history

    async def run(self) -> None:
        """Live through the time of trouble, heal, and see that everything comes to its end."""
        self.begin()
        self.users.plan()
        self.troubles.plan()
        await self.until(self.options.trouble_s)
        await self.come_to_rest()

    def begin(self) -> None:
        """Start all devices, each paired with each."""
        self.users.pair_all()
        for device in self.devices:
            self.start(device)
        self.later(LOOK_S, self._look)

    async def come_to_rest(self) -> None:
        """Heal, and see that everything comes to its end."""
        self._heal()
        deadline = self.now() + SETTLE_S
        while not self.monitor.violation and not (self._has_settled() and await self._is_empty()):
            if self.now() > deadline:
                self.monitor.broken("liveness", "; ".join(await self._leftovers()), self._first_open())
                return
            await self.until(self.now() + 1.0)
        if not self.monitor.violation:
            await self._judge()

    async def until(self, at: float) -> None:
        """Let time pass, unless something has gone wrong."""
        while self.now() < at and not self.monitor.violation:  # noqa: ASYNC110 - waiting costs nothing here
            await asyncio.sleep(min(1.0, at - self.now()))

    def _look(self) -> None:
        self.monitor.check_orphans()
        self.later(LOOK_S, self._look)

    def _heal(self) -> None:
        self.monitor.note("world", "heals")
        self.has_healed = True
        self.troubles.end()
        for device in self.devices:
            device.luck.is_over = True
            self.wake(device)
            self.start(device)
        self.users.reconcile()

    # Daemons

    def start(self, device: Device) -> None:
        """Start the daemon of a device, if it is not there."""
        if device.daemon is not None:
            return
        self.wake(device)
        self.monitor.note(device.id, "its daemon starts")
        daemon = device.daemon = Daemon(self._place_of(device), call=self._call)

        async def start() -> None:
            try:
                await daemon.start()
            except MeshdError as error:
                self.monitor.note(device.id, f"cannot start: {error}")
                self.later(0.0, self.end, device, daemon, (2.0, 4.0))
            else:
                self.monitor.back(device.id)
                self._exchanges[device.id] = daemon.exchange

        daemon.spawn(start(), f"start {device.id}")

    def _place_of(self, device: Device) -> Place:
        return Place(
            device=device.id,
            disk=device.disk,
            blobs=device.blobs,
            clock=device.clock,
            machine=device.machine,
            luck=device.luck,
            monitor=self.monitor,
            token=self.token,
            slots=self.options.slots,
            rate=1.0 if device is not self.devices[-1] else 4.0,
            exchanges=self._exchanges,
            carry=lambda peer, ref, piece: self._carry(device, peer, ref, piece),
            due=lambda: not self._dies_at(device, "before a commit"),
            committed=lambda: self._committed(device),
            backoff=lambda: self.rng.uniform(0.2, 1.0) if self.has_healed else self.rng.uniform(0.3, 4.0),
        )

    def crash(self, device: Device, down_s: tuple[float, float] = RESTART_S) -> None:
        """Kill the daemon; its machine may live on and say so, or be gone without a word."""
        if device.daemon is not None:
            self.end(device, device.daemon, down_s)

    def end(self, device: Device, daemon: Daemon, down_s: tuple[float, float]) -> None:
        """Let a daemon be gone, and come back after a while."""
        if device.daemon is not daemon:
            return
        device.daemon = None
        self._exchanges.pop(device.id, None)
        daemon.die()
        self.monitor.crashed(device.id)
        without_a_word = self.rng.random() < 0.3
        for line in self.lines.values():
            for end in list(line.ends):
                if end.owner == device.id:
                    end.vanish() if without_a_word else end.hang_up()
        self.wake(device)
        device.disk.connection.full = device.disk.connection.full and self.rng.random() < 0.5
        pause_s = self.rng.uniform(0.5, 3.0) if self.has_healed else self.rng.uniform(*down_s)
        self.later(pause_s, self.start, device)

    def wipe(self, device: Device) -> None:
        """Lose the device's database, as when its owner reinstalls it; it stays paired."""
        self.crash(device)
        device.disk.connection.close()
        device.disk.connection = new_database()
        device.ledger.begin_anew()
        self.monitor.wiped(device.id)
        self.users.restore_peers(device)
        device.ledger.read(device.disk.connection)

    def sleep(self, device: Device, seconds: float) -> None:
        """Suspend a machine: it does nothing, and its boot clock goes on."""
        if device.machine is None or device.machine.is_asleep or device.serving is None:
            return
        self.monitor.note(device.id, f"sleeps for {seconds:.1f} s")
        device.machine.sleep()
        until = self.now() + seconds
        self.monitor.sleeping(device.id, until)
        self.monitor.disturbed(device.id, until + 10.0)
        for pair, line in self.lines.items():
            if device.id in pair:
                line.sleep(device.id)
        self.at(until, self.wake, device)

    def wake(self, device: Device) -> None:
        """Let a machine go on where it was."""
        if device.machine is None or not device.machine.is_asleep:
            return
        slept_s = device.machine.wake()
        self.monitor.note(device.id, f"wakes after {slept_s:.1f} s")
        self.monitor.sleeping(device.id, self.now())
        self.monitor.back(device.id, slept_s=slept_s)
        for pair, line in self.lines.items():
            if device.id in pair:
                line.wake(device.id)

    # Lines

    def line(self, one: DeviceId, other: DeviceId) -> Line:
        """Return what lies between two devices."""
        return self.lines[frozenset((one, other))]

    async def _call(self, daemon: Daemon, peer: DeviceId) -> None:
        """Try to open a session; who was unpaired is told so, if he can prove who he was."""
        line = self.line(daemon.device, peer)
        await asyncio.sleep(3 * line.latency_s())
        known = daemon.book.get(peer)
        other = self.by_id[peer].serving
        if line.blocked or other is None or not daemon.is_up or known is None:
            return
        theirs = other.book.get(daemon.device)
        if theirs is None:
            former = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    former = await other.book.former(daemon.device)
            if former is not None and former.pair_key == known.pair_key:
                await daemon.links.forget(peer)
            return
        if theirs.pair_key != known.pair_key:
            return
        here, there = open_line(daemon.device, peer, line, self.monitor, next(self._sessions))
        other.links.adopt(there)
        daemon.links.adopt(here)

    async def _carry(self, device: Device, peer: DeviceId, ref: BlobRef, piece: bytes) -> bytes:
        """Bring a piece of a blob from a peer, or not."""
        line = self.line(device.id, peer)
        await asyncio.sleep(2 * line.latency_s() + len(piece) / BYTES_PER_S)
        if line.blocked or self.by_id[peer].serving is None:
            await asyncio.sleep(STALL_S)
            raise Stalled("nothing came")
        if self.has_healed:
            return piece
        options, rng = self.options, line.rng
        if rng.random() < options.fetch_troubles * 0.15:
            self.monitor.sometime("a blob was cut on its way")
            raise Cut("the connection was reset")
        if rng.random() < options.fetch_troubles * 0.1:
            await asyncio.sleep(rng.uniform(1.0, 20.0))
        if piece and rng.random() < options.rot * 0.12:
            self.monitor.sometime("another blob came than was asked for")
            self.monitor.checkpoints.damaged(peer, ref.digest)
            return bytes([piece[0] ^ 1]) + piece[1:]
        return piece

    # What the disks say

    def _committed(self, device: Device) -> bool:
        """Report what is new on a disk; return whether the daemon lives on."""
        connection = device.disk.connection
        if connection.full:
            self.monitor.sometime("a disk refused a write")
        device.ledger.read(connection)
        if self._dies_at(device, "between a commit and what follows"):
            self.monitor.sometime("a crash between commit and effect")
            return False
        return True

    def _dies_at(self, device: Device, when: str) -> bool:
        """Kill a daemon at one of the moments that tests by hand would never hit."""
        if self.has_healed or device.daemon is None or self.rng.random() >= self.options.commit_crashes * 0.02:
            return False
        self.monitor.note(device.id, f"its daemon dies {when}")
        device.daemon.store.die()
        self.later(0.0, self.crash, device)
        return True

    # The end

    def _has_settled(self) -> bool:
        for pair, line in self.lines.items():
            one, other = sorted(pair)
            can_talk = not line.blocked and len(line.ends) == 2
            self.monitor.in_touch(one, other, can_talk=can_talk)
        return not self.monitor.open_jobs() and self.users.are_content()

    def _first_open(self) -> str | None:
        return next(iter(self.monitor.open_jobs()), None)

    async def _is_empty(self) -> bool:
        return not await self._leftovers()

    async def _leftovers(self) -> list[str]:
        """Return what is still there of work that is over."""
        left = [f"job {job} has not ended" for job in self.monitor.open_jobs()]
        for device in self.devices:
            daemon = device.serving
            if daemon is None:
                left.append(f"{device.id} is not up")
                continue
            for table in ("outbox", "held", "partial"):
                count = len(await daemon.store.fetch(f"SELECT * FROM {table}"))  # noqa: S608
                left += [f"{count} rows in {table} of {device.id}"] * bool(count)
            for what, things in (
                ("jobs in memory", daemon.origin._jobs),
                ("jobs being placed", daemon.origin._placer._placing),
                ("leases", daemon.origin._leases._watched),
                ("attempts held", daemon.holdings._held),
                ("ends untold", [key for keys in daemon.holdings._roll._ends.values() for key in keys]),
                ("jobs in the ledger", daemon.origin._ledger._entries),
                ("news of jobs", daemon.origin._news._waiting),
                ("jobs that were told otherwise", daemon.origin._told),
                ("jobs with leases", daemon.origin._leases._numbers),
                ("attempts at the executor", daemon.executor._entries),
                ("blobs", device.blobs.blobs),
                ("blobs pinned", daemon.pins._pins),
                ("questions about units", daemon.origin.spread._asked),
                ("attempts that wait for units", daemon.origin.spread._waits),
                ("weights of parts", daemon.origin.spread._weights),
                ("shares of attempts", daemon.origin.spread._live),
            ):
                left += [f"{len(things)} {what} at {device.id}: {[str(each) for each in things][:2]}"] * bool(things)
        return left

    async def _judge(self) -> None:
        present: set[str] = set()
        for device in self.devices:
            assert device.daemon is not None
            store = device.daemon.store
            for found in await store.fetch("SELECT id FROM job"):
                row = await job_rows.job_row(store, found["id"])
                assert row is not None
                present.add(row["id"])
                result: dict[str, Any] = {} if row["result"] is None else json.loads(row["result"])
                self.monitor.at_rest(row["id"], row["state"], result.get("attempt"))
                if row["state"] == "completed":
                    self.monitor.checkpoints.result(row["id"], result.get("answer"))
        self.monitor.all_at_rest(present)
