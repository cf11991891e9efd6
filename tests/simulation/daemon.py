"""One run of a daemon: the real job side of a device, on a simulated disk, clock, pool and network."""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from meshd.errors import MeshdError
from meshd.events import Bus
from meshd.jobs.checkpoints import Checkpoints
from meshd.jobs.courier import Courier
from meshd.jobs.executor import AttemptKey, Executor
from meshd.jobs.holdings import Holdings
from meshd.jobs.origin import Origin
from meshd.jobs.ratebook import RateBook
from meshd.jobs.roster import Roster
from meshd.kinds.base import PackedPartial
from meshd.net.channel import ChannelClosed
from meshd.net.streams import Streams, Transaction
from meshd.store import streams as stream_rows
from meshd.store.blobs import BlobRef
from meshd.store.database import Connection
from meshd.tasks import supervise
from meshd_protocol.codec import DurableMessage
from meshd_protocol.errors import ProtocolError
from meshd_protocol.ids import DeviceId, job_id
from meshd_protocol.localapi import JobView
from meshd_protocol.messages import jobs as wire
from tests.simulation.disk import Disk, MemoryStore
from tests.simulation.line import LineSession
from tests.simulation.monitor import Monitor
from tests.simulation.workers import KINDS, Luck, SimulatedPool, find_kind
from tests.support.memory_blobs import MemoryBlobs

T = TypeVar("T")

RUN: contextvars.ContextVar["Daemon | None"] = contextvars.ContextVar("run", default=None)
"""Whose task is running: a daemon that dies takes all of its own with it, and no other."""


class SimulatedClock:
    """A device's clocks: the boot clock drifts, the wall clock jumps."""

    def __init__(self, now: Callable[[], float], *, drift: float, boot: float) -> None:
        self._now = now
        self._rate = 1.0 + drift
        self._boot = boot
        self.wall_offset = 1_700_000_000.0

    def boot(self) -> float:
        return self._boot + self._now() * self._rate

    def wall(self) -> float:
        return self.wall_offset + self._now()


class WatchedCourier(Courier):
    """Writes what each message has done into the ledger, in the transaction in which it is done."""

    def apply(self, transaction: Transaction, peer: DeviceId, message: DurableMessage) -> None:
        super().apply(transaction, peer, message)
        cursor = stream_rows.inbound(transaction.connection, peer)
        assert cursor is not None
        what = f"{type(message).__name__} of {message.job}/{message.attempt}"
        transaction.connection.execute(
            "INSERT INTO applied (sender, stream, seq, what, job) VALUES (?, ?, ?, ?, ?)",
            (peer, cursor.stream, cursor.last, what, message.job),
        )


class WatchedHoldings(Holdings):
    """Tells the monitor which leases it has heard of, and what it starts under them."""

    device: str
    monitor: Monitor
    is_alive: Callable[[], bool]

    def renewed(self, origin: DeviceId, answer: wire.Renewed) -> None:
        self.monitor.renewed(self.device, origin, [(line.job, line.attempt) for line in answer.renewed])
        super().renewed(origin, answer)

    async def starting(self, key: AttemptKey) -> "Iterable[PackedPartial] | None":  # pyright: ignore[reportIncompatibleMethodOverride]
        if key in self._held and self.is_alive():
            self.monitor.starting(self.device, (key.origin, key.job, key.number))
        return await super().starting(key)


@dataclass(slots=True)
class Slot:
    """What there is with one peer."""

    session: LineSession | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    free: asyncio.Event = field(default_factory=asyncio.Event)


class Daemon:
    """One run of a device's daemon, from its start to its death."""

    def __init__(
        self,
        *,
        device: DeviceId,
        peers: dict[DeviceId, str],
        disk: Disk,
        clock: SimulatedClock,
        luck: Luck,
        monitor: Monitor,
        token: Callable[[int], bytes],
        slots: int,
        rate: float,
        due: Callable[[], bool],
        committed: Callable[[], bool],
        call: Callable[["Daemon", DeviceId], Coroutine[object, object, bool]],
        backoff: Callable[[], float],
    ) -> None:
        self.device = device
        self.clock = clock
        self.monitor = monitor
        self.is_alive = True
        self.is_up = False
        """Whether it takes calls and requests."""

        self.tasks: dict[asyncio.Task[object], None] = {}
        self._call = call
        self._backoff = backoff
        self._context = contextvars.copy_context()
        self._context.run(RUN.set, self)
        self.slots = {peer: Slot() for peer in peers}
        boot = job_id(token(8))
        names = {**peers, device: "here"}
        self.store = MemoryStore(disk, due=due, committed=committed)
        self.streams = Streams(store=self.store, clock=clock, token=token)
        self.rates = RateBook(store=self.store, clock=clock, declared={"pure": rate} if rate else {})
        self.pool = SimulatedPool(device=device, luck=luck, monitor=monitor, is_alive=lambda: self.is_alive)
        self.executor = Executor(pool=self.pool, rates=self.rates, clock=clock, slots=slots)
        checkpoints = Checkpoints(blobs=MemoryBlobs())
        self.holdings = WatchedHoldings(
            boot=boot,
            executor=self.executor,
            find_kind=find_kind,
            checkpoints=checkpoints,
            exchange=NoBlobs(),
            streams=self.streams,
            may=lambda _, __: True,
            clock=clock,
        )
        self.holdings.device = device
        self.holdings.monitor = monitor
        self.holdings.is_alive = lambda: self.is_alive
        self.roster = Roster(
            device=device,
            name="here",
            peers=lambda: list(peers.items()),
            kinds=list(KINDS.values()),
            executor=self.executor,
            rates=self.rates,
            streams=self.streams,
            clock=clock,
            slots=slots,
        )
        bus: Bus[JobView] = Bus()
        self.origin = Origin(
            device=device,
            boot=boot,
            streams=self.streams,
            executor=self.executor,
            roster=self.roster,
            find_kind=find_kind,
            names=lambda wanted: names.get(wanted, wanted),
            clock=clock,
            token=token,
            bus=bus,
            checkpoints=checkpoints,
            exchange=NoBlobs(),
            offload_timeout_s=20.0,
        )
        courier = WatchedCourier(
            origin=self.origin,
            holdings=self.holdings,
            roster=self.roster,
            exchange=NoBlobs(),
            peers=lambda: set(peers),
        )
        self.executor.watch(self.roster.changed)
        self.rates.watch(self.roster.changed)
        self.roster.watch(self.origin.wake)
        self.streams.attach(courier)

    def spawn(self, work: Coroutine[object, object, T], name: str) -> asyncio.Task[T]:
        """Run `work` as a part of this daemon."""
        return asyncio.get_running_loop().create_task(work, name=name, context=self._context)

    async def start(self) -> None:
        """Read the disk, then serve; raises `MeshdError` when the disk does not let it."""
        await self.rates.load()
        await self.holdings.load()
        await self.origin.load()
        self.spawn(supervise("placement", self.origin.run), "placement")
        self.spawn(supervise("leases", self.holdings.run), "leases")
        self.spawn(supervise("roster", self.roster.run), "roster")
        for peer, slot in self.slots.items():
            slot.free.set()
            self.spawn(self._keep_up(peer, slot), f"dial {peer}")
        self.is_up = True

    async def stop(self) -> None:
        """End as a user's `meshd down` ends it; the sessions are over by then."""
        self.is_up = False
        await self.origin.close()
        await self.holdings.close()
        await self.executor.close()
        self.pool.is_closed = True
        # As long as the pool needs to see its workers gone.
        await asyncio.sleep(1.0)
        await self.store.close()

    def die(self) -> None:
        """End as by kill -9: disk and network first, so that nothing can act on its way out."""
        self.is_alive = self.is_up = False
        self.store.die()
        for task in tuple(self.tasks):
            task.cancel()

    # Sessions

    async def _keep_up(self, peer: DeviceId, slot: Slot) -> None:
        while True:
            await slot.free.wait()
            await asyncio.sleep(self._backoff())
            if slot.session is None:
                await self._call(self, peer)

    def adopt(self, session: LineSession) -> None:
        """Take a session; it replaces an older one."""
        slot = self.slots[session.peer]
        rival, slot.session = slot.session, session
        slot.free.clear()
        if rival is not None:
            rival.hang_up()
        self.spawn(self._serve(slot, session), f"session with {session.peer}")

    async def _serve(self, slot: Slot, session: LineSession) -> None:
        try:
            async with slot.turn:
                if slot.session is session:
                    self.monitor.session_opened(self.device, session.peer, session.number)
                    try:
                        with contextlib.suppress(ProtocolError, MeshdError, ChannelClosed):
                            await self.streams.converse(session)
                    finally:
                        if self.is_alive:
                            self.monitor.session_closed(self.device, session.peer)
        finally:
            if self.is_alive:
                session.hang_up()
                if slot.session is session:
                    slot.session = None
                    slot.free.set()


class NoBlobs:
    """No device has a blob for another."""

    async def fetch(self, peer: DeviceId, ref: BlobRef) -> None:
        raise MeshdError(f"{peer} has no blobs")

    def hear(self, peer: DeviceId, message: object) -> None:
        """No session says anything about blobs here."""

    def opened(self, peer: DeviceId) -> None:
        """Nothing to agree on."""

    def closed(self, peer: DeviceId) -> None:
        """Nothing to end."""


def new_daemon_tasks(
    loop: asyncio.AbstractEventLoop, work: Coroutine[object, object, T], context: contextvars.Context | None = None
) -> asyncio.Task[T]:
    """Start a task and note whose it is: see `asyncio.loop.set_task_factory`."""
    task: asyncio.Task[T] = asyncio.Task(work, loop=loop, context=context)
    daemon = (contextvars.copy_context() if context is None else context).get(RUN)
    if daemon is not None:
        if not daemon.is_alive:
            # A dying part that starts another one: both are gone.
            loop.call_soon(task.cancel)
        known: dict[asyncio.Task[object], None] = daemon.tasks  # pyright: ignore[reportAssignmentType]
        known[task] = None  # pyright: ignore[reportArgumentType]
        task.add_done_callback(lambda done: known.pop(done, None))  # pyright: ignore[reportArgumentType]
    return task


def add_peers(connection: Connection, peers: dict[DeviceId, str]) -> None:
    """Pair the device with these."""
    for peer, name in peers.items():
        connection.execute(
            "INSERT OR IGNORE INTO peer (device, name, certificate, pair_key, permissions, paired_at)"
            " VALUES (?, ?, x'', x'', '[]', 0.0)",
            (peer, name),
        )
