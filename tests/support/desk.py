"""A device without a network and without workers: its store and its job services, on a line that tests can cut."""

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from meshd.capability.gauge import Gauge
from meshd.clock import SystemClock
from meshd.errors import Degraded
from meshd.events import Bus
from meshd.execution.outcome import Cancelled, Outcome, ProgressReport, Succeeded
from meshd.jobs.accelerators import Accelerators
from meshd.jobs.checkpoints import Checkpoints
from meshd.jobs.courier import Courier
from meshd.jobs.executor import Executor
from meshd.jobs.experience import Experience
from meshd.jobs.history import History
from meshd.jobs.holdings import Holdings
from meshd.jobs.origin import Origin
from meshd.jobs.outputs import Outputs
from meshd.jobs.pins import Pins
from meshd.jobs.ratebook import RateBook
from meshd.jobs.readiness import Readiness
from meshd.jobs.roster import Roster
from meshd.kinds.base import Document, Kind, PackedPartial, Part
from meshd.kinds.workshop import Places
from meshd.net.streams import Streams
from meshd.store.database import Connection, SqliteStore, open_store
from meshd_protocol.errors import ProtocolError
from meshd_protocol.ids import DeviceId, JobId, job_id
from meshd_protocol.localapi import JobRequest, JobView
from tests.support.manual_machine import ManualMachine
from tests.support.memory_blobs import MemoryBlobs
from tests.support.memory_exchange import MemoryExchange
from tests.support.memory_session import MemorySession, session_pair


@dataclass(slots=True)
class Run:
    """One attempt in the hands of a test."""

    job: str
    attempt: int
    resolved: Document
    partials: Sequence[PackedPartial]
    on_progress: Callable[[ProgressReport], None]
    on_partial: Callable[[PackedPartial], None]
    end: asyncio.Future[Outcome]
    part: Part | None
    on_shrunk: Callable[[Part | None], None]
    on_waiting: Callable[[int, int, Sequence[tuple[int, int]]], None]
    told: list[str] = field(default_factory=list[str])
    """What was said about its units."""

    joined: Sequence[PackedPartial] = ()
    gpu: str | None = None

    def succeed(self, result: bytes = b'{"answer":42}') -> None:
        self.end.set_result(Succeeded(result, 1.0))


@dataclass(slots=True)
class ManualPool:
    """A pool whose attempts end when the test says so."""

    runs: list[Run] = field(default_factory=list[Run])
    broken: set[str] = field(default_factory=set[str])
    """GPUs on which JAX does not compute."""

    cold: bool = False
    """Whether no worker has started yet."""

    async def inspect(self, gpu: str) -> None:
        if gpu in self.broken:
            raise Degraded("JAX computes on cpu there")

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        return not self.cold

    async def run(
        self,
        *,
        job: str,
        attempt: int,
        kind: Kind,
        resolved: Document,
        timeout_s: float = 0,
        partials: Sequence[PackedPartial] = (),
        on_progress: Callable[[ProgressReport], None],
        on_partial: Callable[[PackedPartial], None],
        on_start: Callable[[], None],
        part: Part | None = None,
        on_shrunk: Callable[[Part | None], None],
        on_waiting: Callable[[int, int, Sequence[tuple[int, int]]], None],
        gpu: str | None = None,
        places: Places | None = None,
        output: str = "",
    ) -> Outcome:
        end: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        run = Run(job, attempt, resolved, partials, on_progress, on_partial, end, part, on_shrunk, on_waiting)
        run.gpu = gpu
        self.runs.append(run)
        on_start()
        try:
            return await run.end
        finally:
            self.runs.remove(run)

    def cancel(self, job: str, attempt: int) -> bool:
        for run in self.runs:
            if (run.job, run.attempt) == (job, attempt) and not run.end.done():
                run.end.set_result(Cancelled())
                return True
        return False

    def _find(self, job: str, attempt: int) -> Run | None:
        return next((run for run in self.runs if (run.job, run.attempt) == (job, attempt)), None)

    def shrink(self, job: str, attempt: int, keep: float) -> bool:
        run = self._find(job, attempt)
        if run is not None:
            run.told.append(f"shrink {keep:.2f}")
        return run is not None

    def extend(self, job: str, attempt: int, phase: int, start: int, stop: int) -> None:
        run = self._find(job, attempt)
        if run is not None:
            run.told.append(f"extend {phase} {start}-{stop}")

    def join(self, job: str, attempt: int, partials: Sequence[PackedPartial]) -> None:
        run = self._find(job, attempt)
        if run is not None:
            run.joined = partials


@dataclass(frozen=True, slots=True)
class PlainKind:
    """A kind that anything fits."""

    name: str = "plain"
    deterministic: bool = True
    retry_safe: bool = True
    accelerated: bool = False
    divisible: bool = False
    program: str = "nowhere"
    units: float | None = None
    """What a job costs."""

    def validate(self, spec: Document) -> dict[str, object]:
        return dict(spec)

    def cost(self, resolved: Document) -> float | None:
        return self.units

    def default_name(self, resolved: Document) -> str:
        return "plain job"


@dataclass(slots=True)
class Desk:
    """The job side of one device."""

    device: DeviceId
    store: SqliteStore
    streams: Streams
    pool: ManualPool
    executor: Executor
    roster: Roster
    origin: Origin
    history: History
    courier: Courier
    blobs: MemoryBlobs
    machine: ManualMachine
    gauge: Gauge
    readiness: Readiness
    rates: RateBook
    experience: Experience
    accelerators: Accelerators

    async def submit(self, placement: str = "auto", **fields: object) -> JobId:
        request = JobRequest(kind="plain", spec={"a": 1}, placement=placement, **fields)  # pyright: ignore[reportArgumentType]
        return JobId((await self.origin.submit(request, idempotency_key=None)).id)

    async def view(self, job: JobId) -> JobView:
        return await self.history.job(job)

    async def state(self, job: JobId) -> str:
        return (await self.view(job)).state


async def is_running(desk: Desk, job: JobId) -> bool:
    """Return whether a job is seen to run: a moment after it does."""
    return await desk.state(job) == "running"


def token(number: int) -> bytes:
    """Return bytes that differ each time, the same in every run of a test."""
    return hashlib.sha256(f"{next(_draws)}".encode()).digest()[:number]


_draws = itertools.count()


@asynccontextmanager
async def open_desk(
    folder: Path,
    device: DeviceId,
    peers: dict[DeviceId, str],
    *,
    kind: PlainKind | None = None,
    slots: int = 2,
    blobs: MemoryBlobs | None = None,
    exchanges: dict[DeviceId, MemoryExchange] | None = None,
    machine: ManualMachine | None = None,
    declared: dict[str, float] | None = None,
    may: Callable[[DeviceId, str], bool] | None = None,
) -> AsyncGenerator[Desk]:
    """Start the job side of a device that has these peers, in a folder that may hold an earlier run's database."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    plain = kind if kind is not None else PlainKind()
    clock = SystemClock()
    bus: Bus[JobView] = Bus()
    boot = job_id(token(8))
    pool = ManualPool()

    def names(wanted: DeviceId) -> str:
        return peers.get(wanted, "here")

    def add_peers(connection: Connection) -> None:
        for peer, name in peers.items():
            connection.execute(
                "INSERT OR IGNORE INTO peer (device, name, certificate, pair_key, permissions, paired_at)"
                " VALUES (?, ?, x'', x'', '[]', 0.0)",
                (peer, name),
            )

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(folder / "mesh.db"))
        await store.write(add_peers)
        streams = Streams(store=store, clock=clock, token=token)
        probe = ManualMachine() if machine is None else machine
        gauge = Gauge(probe=probe)
        readiness = Readiness(
            device=device, store=store, clock=clock, reading=lambda: gauge.reading, min_battery_percent=50.0
        )
        await readiness.load()
        rates = RateBook(store=store, clock=clock, declared=declared or {}, on_battery=lambda: gauge.reading.on_battery)
        await rates.load()
        experience = Experience(store=store, clock=clock)
        await experience.load()
        stack.push_async_callback(experience.close)
        accelerators = Accelerators(gauge=gauge, pool=pool, clock=clock, wanted=plain.accelerated)
        stored = MemoryBlobs() if blobs is None else blobs
        pins = Pins(blobs=stored)
        stack.push_async_callback(pins.close)
        checkpoints = Checkpoints(pins=pins)
        outputs = Outputs(device=device, folder=folder / "logs")
        stack.push_async_callback(outputs.close)
        line = {} if exchanges is None else exchanges
        exchange = line[device] = MemoryExchange(
            device,
            stored,
            lambda peer, digest: holdings.may_read(peer, digest) or origin.resumption.may_read(peer, digest),
            streams.is_open,
            line,
        )
        executor = Executor(
            pool=pool, rates=rates, clock=clock, slots=slots, machine=accelerators, refuses=readiness.refusal
        )
        holdings = Holdings(
            boot=boot,
            executor=executor,
            find_kind=lambda name: plain,
            checkpoints=checkpoints,
            pins=pins,
            exchange=exchange,
            streams=streams,
            may=lambda _, wanted: wanted == plain.name,
            outputs=outputs,
            grant=lambda device, kind: f"meshd allow {device} {kind}",
            clock=clock,
        )
        roster = Roster(
            device=device,
            name="here",
            peers=lambda: list(peers.items()),
            kinds=[plain],
            executor=executor,
            rates=rates,
            streams=streams,
            clock=clock,
            slots=slots,
            machine=accelerators,
            readiness=readiness,
            experience=experience,
            may=may or (lambda _, __: True),
        )
        origin = Origin(
            device=device,
            boot=boot,
            streams=streams,
            executor=executor,
            roster=roster,
            find_kind=lambda name: plain,
            names=names,
            clock=clock,
            token=token,
            bus=bus,
            checkpoints=checkpoints,
            pins=pins,
            exchange=exchange,
            outputs=outputs,
            offload_timeout_s=30.0,
        )
        courier = Courier(origin=origin, holdings=holdings, roster=roster, exchange=exchange, peers=lambda: set(peers))
        executor.watch(roster.changed)
        rates.watch(roster.changed)
        experience.watch(origin.wake)
        roster.watch(origin.wake)
        readiness.watch(executor.hand_back)
        accelerators.watch(lambda _: (roster.changed(), executor.look_again())[0])
        gauge.watch(
            on_look=lambda: (accelerators.look(), executor.look_again())[0],
            on_news=lambda: (readiness.look(), roster.changed())[0],
        )
        streams.attach(courier)
        history = History(device=device, store=store, origin=origin, names=names, clock=clock, bus=bus)
        stack.push_async_callback(executor.close)
        stack.push_async_callback(holdings.close)
        stack.push_async_callback(origin.close)
        await holdings.load()
        await origin.load()
        await pins.sweep()
        services = [
            asyncio.ensure_future(service)  # noqa: TID251
            for service in (origin.run(), holdings.run(), roster.run(), accelerators.run())
        ]
        try:
            yield Desk(
                device,
                store,
                streams,
                pool,
                executor,
                roster,
                origin,
                history,
                courier,
                stored,
                probe,
                gauge,
                readiness,
                rates,
                experience,
                accelerators,
            )
        finally:
            for service in services:
                service.cancel()
            await asyncio.gather(*services, return_exceptions=True)


@asynccontextmanager
async def joined(one: Desk, two: Desk) -> AsyncGenerator[MemorySession]:
    """Open a session between two desks; leaving the block cuts it."""
    first, second = session_pair(one.device, two.device)

    async def converse(desk: Desk, end: MemorySession) -> None:
        with contextlib.suppress(ProtocolError):
            await desk.streams.converse(end)

    ends = [
        asyncio.ensure_future(converse(desk, end))  # noqa: TID251
        for desk, end in ((one, first), (two, second))
    ]
    try:
        yield first
    finally:
        first.cut()
        await asyncio.gather(*ends)
