"""One run of a daemon: the real job side of a device, on a simulated disk, clock, pool and network."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from meshd.events import Bus
from meshd.jobs.checkpoints import Checkpoints
from meshd.jobs.courier import Courier
from meshd.jobs.executor import AttemptKey, Executor
from meshd.jobs.holdings import Holdings
from meshd.jobs.origin import Origin
from meshd.jobs.outputs import Outputs
from meshd.jobs.pins import Pins
from meshd.jobs.ratebook import RateBook
from meshd.jobs.roster import Roster
from meshd.kinds.base import PackedPartial
from meshd.net.streams import Streams, Transaction
from meshd.net.wake import watch_for_resume
from meshd.store import streams as stream_rows
from meshd.tasks import supervise
from meshd.trust.book import PeerBook
from meshd_protocol.codec import DurableMessage, EphemeralMessage
from meshd_protocol.ids import DeviceId, job_id
from meshd_protocol.localapi import JobView
from meshd_protocol.messages import jobs as wire
from tests.simulation.blob_disk import BlobDisk
from tests.simulation.disk import Disk, MemoryStore
from tests.simulation.ledger import note_applied
from tests.simulation.links import Links
from tests.simulation.machine import MACHINE, Machine
from tests.simulation.monitor import Monitor
from tests.simulation.workers import DIVIDED, KINDS, PURE, Luck, SimulatedPool, find_kind
from tests.support.memory_exchange import Carry, MemoryExchange

T = TypeVar("T")

PIECE_BYTES = 20 << 10
"""What travels at a time: a large partial is cut in its middle now and then."""

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

    device: str
    monitor: Monitor

    def apply(self, transaction: Transaction, peer: DeviceId, message: DurableMessage, answered: int) -> None:
        super().apply(transaction, peer, message, answered)
        cursor = stream_rows.inbound(transaction.connection, peer)
        assert cursor is not None
        what = f"{type(message).__name__} of {message.job}/{message.attempt}"
        if isinstance(message, wire.Shrunk):
            # The same units may come back more than once.
            what += f" ({cursor.last} of {cursor.stream})"
        note_applied(transaction.connection, peer, cursor.stream, cursor.last, what, message.job)

    def hear(self, peer: DeviceId, message: EphemeralMessage) -> None:
        super().hear(peer, message)
        if isinstance(message, wire.Holding):
            self.monitor.heard(self.device, peer)


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


@dataclass(frozen=True, slots=True)
class Place:
    """What a daemon finds on its device when it starts, and what it may ask of the world around it."""

    device: DeviceId
    disk: Disk
    blobs: BlobDisk
    clock: SimulatedClock
    machine: Machine | None
    luck: Luck
    monitor: Monitor
    token: Callable[[int], bytes]
    slots: int
    rate: float
    exchanges: Mapping[DeviceId, MemoryExchange]
    carry: Carry
    due: Callable[[], bool]
    committed: Callable[[], bool]
    backoff: Callable[[], float]


class Daemon:
    """One run of a device's daemon, from its start to its death."""

    book: PeerBook
    links: Links
    streams: Streams
    rates: RateBook
    pool: SimulatedPool
    executor: Executor
    holdings: WatchedHoldings
    roster: Roster
    origin: Origin
    exchange: MemoryExchange
    checkpoints: Checkpoints

    def __init__(self, place: Place, *, call: Callable[["Daemon", DeviceId], Coroutine[object, object, None]]) -> None:
        self.place = place
        self.device = place.device
        self.is_alive = True
        self.is_up = False
        """Whether it takes calls and requests."""

        self.tasks: dict[asyncio.Task[object], None] = {}
        self._call = call
        self._context = contextvars.copy_context()
        self._context.run(RUN.set, self)
        self._context.run(MACHINE.set, place.machine)
        self.store = MemoryStore(place.disk, due=place.due, committed=place.committed, context=self._context)

    def spawn(self, work: Coroutine[object, object, T], name: str) -> asyncio.Task[T]:
        """Run `work` as a part of this daemon."""
        return asyncio.get_running_loop().create_task(work, name=name, context=self._context)

    async def start(self) -> None:
        """Read the disk, then serve; raises `MeshdError` when the disk does not let it."""
        await self._join()
        await self.rates.load()
        await self.holdings.load()
        await self.origin.load()
        await self.pins.sweep()
        self.spawn(supervise("placement", self.origin.run), "placement")
        self.spawn(supervise("leases", self.holdings.run), "leases")
        self.spawn(supervise("roster", self.roster.run), "roster")
        if self.place.machine is not None:
            self.spawn(supervise("resume", lambda: watch_for_resume(self.place.clock, self.links.wake)), "resume")
        self.links.open()
        self.is_up = True

    async def _join(self) -> None:
        """Join the parts, as `meshd.node` does."""
        place = self.place
        clock, monitor = place.clock, place.monitor
        boot = job_id(place.token(8))
        self.book = await PeerBook.load(self.store, clock, on_change=lambda: courier.peers_changed())
        self.streams = Streams(store=self.store, clock=clock, token=place.token)
        declared = {PURE: place.rate, DIVIDED: place.rate}
        self.rates = RateBook(store=self.store, clock=clock, declared=declared)
        self.pool = SimulatedPool(device=self.device, luck=place.luck, monitor=monitor, is_alive=lambda: self.is_alive)
        self.executor = Executor(pool=self.pool, rates=self.rates, clock=clock, slots=place.slots)
        self.pins = Pins(blobs=place.blobs)
        self.checkpoints = Checkpoints(pins=self.pins)
        # Nothing that is simulated works with files.
        outputs = Outputs(device=self.device, folder=Path("/nonexistent"))
        self.exchange = MemoryExchange(
            device=self.device,
            blobs=place.blobs,
            may_read=lambda peer, digest: (
                self.holdings.may_read(peer, digest) or self.origin.resumption.may_read(peer, digest)
            ),
            is_open=lambda peer: self.is_up and self.streams.is_open(peer),
            others=place.exchanges,
            carry=place.carry,
            piece_bytes=PIECE_BYTES,
        )
        self.holdings = WatchedHoldings(
            boot=boot,
            executor=self.executor,
            find_kind=find_kind,
            checkpoints=self.checkpoints,
            pins=self.pins,
            exchange=self.exchange,
            streams=self.streams,
            may=self.book.may,
            outputs=outputs,
            grant=lambda device, kind: f"meshd allow {device} {kind}",
            clock=clock,
        )
        self.holdings.device = self.device
        self.holdings.monitor = monitor
        self.holdings.is_alive = lambda: self.is_alive
        self.roster = Roster(
            device=self.device,
            name=self.device,
            peers=lambda: [(peer.device, peer.name) for peer in self.book.all()],
            kinds=list(KINDS.values()),
            executor=self.executor,
            rates=self.rates,
            streams=self.streams,
            clock=clock,
            slots=place.slots,
        )
        bus: Bus[JobView] = Bus()
        self.origin = Origin(
            device=self.device,
            boot=boot,
            streams=self.streams,
            executor=self.executor,
            roster=self.roster,
            find_kind=find_kind,
            names=lambda wanted: wanted,
            clock=clock,
            token=place.token,
            bus=bus,
            checkpoints=self.checkpoints,
            pins=self.pins,
            exchange=self.exchange,
            outputs=outputs,
            offload_timeout_s=20.0,
        )
        courier = WatchedCourier(
            origin=self.origin,
            holdings=self.holdings,
            roster=self.roster,
            exchange=self.exchange,
            peers=lambda: {peer.device for peer in self.book.all()},
        )
        courier.device, courier.monitor = self.device, monitor
        self.links = Links(
            device=self.device,
            book=self.book,
            converse=self.streams.converse,
            call=lambda peer: self._call(self, peer),
            backoff=place.backoff,
            monitor=monitor,
            is_alive=lambda: self.is_alive,
            spawn=self.spawn,
        )
        self.executor.watch(self.roster.changed)
        self.rates.watch(self.roster.changed)
        self.roster.watch(self.origin.wake)
        self.streams.attach(courier)

    async def stop(self) -> None:
        """End as a user's `meshd down` ends it."""
        self.is_up = False
        self.links.close()
        await self.holdings.close()
        await self.origin.close()
        await self.executor.close()
        await self.pins.close()
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


def new_daemon_tasks(
    loop: asyncio.AbstractEventLoop, work: Coroutine[object, object, T], context: contextvars.Context | None = None
) -> asyncio.Task[T]:
    """Start a task and note whose it is: see `asyncio.loop.set_task_factory`."""
    task: asyncio.Task[T] = asyncio.Task(work, loop=loop, context=context)
    daemon = (contextvars.copy_context() if context is None else context).get(RUN)
    if daemon is not None:
        if not daemon.is_alive:
            # A dying part that starts another one: both are gone, this one before its first step.
            task.cancel()
        known: dict[asyncio.Task[object], None] = daemon.tasks  # pyright: ignore[reportAssignmentType]
        known[task] = None  # pyright: ignore[reportArgumentType]
        task.add_done_callback(lambda done: known.pop(done, None))  # pyright: ignore[reportArgumentType]
    return task
