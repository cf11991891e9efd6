"""The node: the parts of one device, built, joined and closed. No behaviour lives here."""

import asyncio
import logging
import os
import random
import shlex
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from meshd import kinds
from meshd.api.app import create_app, serve
from meshd.api.auth import create_token
from meshd.api.devices import Devices
from meshd.api.overview import Overview
from meshd.api.pairing import Ceremony
from meshd.api.trial import Trial
from meshd.capability.gauge import Gauge
from meshd.capability.machine import Machine
from meshd.capability.nvml import NvmlGpus
from meshd.capability.reading import Gpu
from meshd.clock import Clock
from meshd.config import Config
from meshd.events import Bus
from meshd.execution.attendance import Patience
from meshd.execution.pool import default_memory_limit, open_pool
from meshd.execution.spawner import open_spawner
from meshd.jobs.accelerators import Accelerators
from meshd.jobs.browsing import FileBrowser
from meshd.jobs.calibration import calibrate, runnable_kinds
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
from meshd.jobs.retention import Retention
from meshd.jobs.roster import Roster
from meshd.jobs.workplaces import Workplaces
from meshd.net.blobs import BlobExchange, Endpoint
from meshd.net.dialer import Dialer
from meshd.net.discovery import Discovery
from meshd.net.expiry import Expiry
from meshd.net.listener import Listener
from meshd.net.mesh import Mesh
from meshd.net.pairings import Pairings
from meshd.net.streams import Streams
from meshd.net.wake import watch_for_resume
from meshd.paths import Paths
from meshd.store.blob_files import FileBlobs
from meshd.store.database import open_store
from meshd.store.files import attempts_of_open_jobs, job_ids
from meshd.store.peers import TrustedPeer
from meshd.tasks import TaskSet, supervise
from meshd.trust.book import PeerBook
from meshd.trust.codes import Codes
from meshd.trust.identity import load_or_create_identity
from meshd.trust.notice import Notice
from meshd.trust.policy import DEFAULT_PERMISSIONS
from meshd_protocol.ids import DeviceId, job_id
from meshd_protocol.localapi import JobView

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """A running device: where it listens."""

    device: DeviceId
    api_port: int
    peer_port: int


@asynccontextmanager
async def open_node(config: Config, paths: Paths, *, clock: Clock, stop: Callable[[], None]) -> AsyncGenerator[Node]:
    """Join the parts of one device; leaving the block closes them all.

    `stop` is called when a user asks for it through the local API.

    Raises:
        MeshdError: the home is unusable or no port can be had; the text says why and what to do.
    """
    token = os.urandom
    notices: list[str] = []

    def notify(notice: Notice) -> None:
        log.info(notice.message, extra={"notice": notice.code, "peer": notice.device})
        if notice.code == "no_discovery":
            notices.append(notice.message)

    def name_of(device: DeviceId) -> str:
        peer = book.get(device)
        return config.name if device == identity.device else device if peer is None else peer.name

    def dialled(device: DeviceId) -> Endpoint | None:
        session, peer = mesh.session(device), book.get(device)
        if session is None or peer is None or not session.dialled:
            return None
        return Endpoint(session.address, peer.fingerprint)

    def paired(peer: TrustedPeer) -> None:
        mesh.paired(peer)
        ceremony.paired(peer)

    def known_kind(name: str) -> None:
        if name not in DEFAULT_PERMISSIONS:
            kinds.find(name)

    def looked() -> None:
        accelerators.look()
        executor.look_again()

    def changed() -> None:
        readiness.look()
        roster.changed()

    def usable(gpu: Gpu) -> None:
        changed()
        looked()
        if config.calibrate:
            services.start(f"calibration on {gpu.name}", calibrate(kinds_here, rates, pool.calibrate, gpu))

    async with AsyncExitStack() as stack:
        services = TaskSet()
        identity = await asyncio.to_thread(load_or_create_identity, paths.identity)
        store = await stack.enter_async_context(open_store(paths.database))
        streams = Streams(store=store, clock=clock, token=token)

        # Jobs
        boot = job_id(token(8))
        bus: Bus[JobView] = Bus()
        book = await PeerBook.load(store, clock, on_change=lambda: courier.peers_changed())
        gauge = Gauge(probe=Machine(clock=clock, gpus=NvmlGpus(clock=clock)))
        readiness = Readiness(
            store=store,
            clock=clock,
            reading=lambda: gauge.reading,
            min_battery_percent=config.min_battery_percent,
            device=identity.device,
        )
        await readiness.load()
        rates = RateBook(store=store, clock=clock, declared=config.rates, on_battery=lambda: gauge.reading.on_battery)
        await rates.load()
        experience = Experience(store=store, clock=clock)
        await experience.load()
        stack.push_async_callback(experience.close)
        workers = paths.data / "workers"
        spawner = await stack.enter_async_context(open_spawner(folder=workers))
        pool = await stack.enter_async_context(
            open_pool(
                spawner=spawner,
                clock=clock,
                folder=workers,
                slots=config.slots,
                patience=Patience(idle_s=config.idle_worker_s),
                memory_limit_bytes=default_memory_limit(),
            )
        )
        blobs = FileBlobs(paths.blobs)
        pins = Pins(blobs=blobs)
        stack.push_async_callback(pins.close)
        checkpoints = Checkpoints(pins=pins)
        outputs = Outputs(device=identity.device, folder=paths.logs / "jobs")
        stack.push_async_callback(outputs.close)
        workplaces = Workplaces(
            blobs=blobs,
            pins=pins,
            folder=workers / "outbox",
            outputs=outputs,
            quota_bytes=int(config.blob_quota_gb * 1e9),
        )
        await workplaces.load()
        exchange = await stack.enter_async_context(
            BlobExchange(
                store=blobs,
                clock=clock,
                token=token,
                tell=streams.tell,
                dialled=dialled,
                may_read=lambda peer, digest: (
                    holdings.may_read(peer, digest)
                    or origin.resumption.may_read(peer, digest)
                    or origin.files.may_read(peer, digest)
                ),
                vouch=lambda request: listener.vouch(request),
            )
        )
        kinds_here = await asyncio.to_thread(runnable_kinds)
        accelerators = Accelerators(
            gauge=gauge, pool=pool, clock=clock, wanted=any(kind.accelerated for kind in kinds_here)
        )
        executor = Executor(
            pool=pool,
            rates=rates,
            clock=clock,
            slots=config.slots,
            machine=accelerators,
            workplaces=workplaces,
            refuses=readiness.refusal,
        )
        stack.push_async_callback(executor.close)
        roster = Roster(
            device=identity.device,
            name=config.name,
            peers=lambda: [(peer.device, peer.name) for peer in book.all()],
            kinds=kinds_here,
            executor=executor,
            rates=rates,
            streams=streams,
            clock=clock,
            slots=config.slots,
            machine=accelerators,
            readiness=readiness,
            experience=experience,
            may=book.may,
        )
        origin = Origin(
            device=identity.device,
            boot=boot,
            streams=streams,
            executor=executor,
            roster=roster,
            find_kind=kinds.find,
            names=name_of,
            clock=clock,
            token=token,
            bus=bus,
            checkpoints=checkpoints,
            pins=pins,
            exchange=exchange,
            outputs=outputs,
            offload_timeout_s=config.offload_timeout_s,
        )
        stack.push_async_callback(origin.close)
        holdings = Holdings(
            boot=boot,
            executor=executor,
            find_kind=kinds.find,
            checkpoints=checkpoints,
            pins=pins,
            exchange=exchange,
            streams=streams,
            may=book.may,
            outputs=outputs,
            grant=lambda device, kind: f"meshd allow {shlex.quote(name_of(device))} {kind}",
            clock=clock,
        )
        stack.push_async_callback(holdings.close)
        stack.callback(bus.close)
        courier = Courier(
            origin=origin,
            holdings=holdings,
            roster=roster,
            exchange=exchange,
            peers=lambda: {peer.device for peer in book.all()},
        )
        executor.watch(roster.changed)
        rates.watch(roster.changed)
        experience.watch(origin.wake)
        readiness.watch(executor.hand_back)
        accelerators.watch(usable)
        gauge.watch(on_look=looked, on_news=changed)
        roster.watch(origin.wake)
        streams.attach(courier)
        await holdings.load()
        await origin.load()
        await pins.sweep()
        await outputs.sweep(await job_ids(store), await attempts_of_open_jobs(store))

        expiry = Expiry(streams=streams, clock=clock, reopened=courier.reopened, names=name_of, notify=notify)
        retention = Retention(
            store=store,
            clock=clock,
            keep_days=config.keep_days,
            keep_jobs=config.keep_jobs,
            forget=origin.files.deleted,
        )

        # Other devices
        dialer = await stack.enter_async_context(Dialer())
        codes = Codes(
            clock=clock, token=token, on_change=lambda: discovery.announce(pairing=codes.showing() is not None)
        )
        mesh = Mesh(
            identity=identity,
            book=book,
            dialer=dialer,
            clock=clock,
            random=random.SystemRandom(),
            token=token,
            converse=streams.converse,
            notify=notify,
            hints=lambda device: (*discovery.addresses_of(device), *config.addresses),
        )
        pairings = Pairings(
            identity=identity,
            name=lambda: config.name,
            book=book,
            codes=codes,
            dialer=dialer,
            token=token,
            sightings=lambda: discovery.sightings(),
            paired=paired,
            notify=notify,
            ttl_s=config.pairing_ttl_s,
        )
        listener = Listener(identity=identity, mesh=mesh.answer, pair=pairings.answer, routes=exchange.routes())
        await stack.enter_async_context(listener.open(port=config.peer_port))
        discovery = Discovery(
            device=identity.device,
            name=lambda: config.name,
            port=listener.port,
            clock=clock,
            on_change=mesh.wake,
            notify=notify,
        )
        if config.discovery:
            await stack.enter_async_context(discovery)
        await stack.enter_async_context(mesh)

        # The user
        history = History(
            device=identity.device,
            store=store,
            origin=origin,
            names=name_of,
            clock=clock,
            bus=bus,
            profiles=config.profiles,
        )
        browser = FileBrowser(
            history=history,
            origin=origin,
            store=store,
            blobs=blobs,
            device=identity.device,
            outputs=outputs,
            quota_bytes=int(config.blob_quota_gb * 1e9),
            names=name_of,
        )
        trial = Trial(roster=roster, history=history, clock=clock)
        devices = Devices(
            book=book, mesh=mesh, roster=roster, sightings=discovery.sightings, trial=trial, check_kind=known_kind
        )
        ceremony = Ceremony(pairings=pairings, view=devices.view, clock=clock)
        overview = Overview(
            device=identity.device,
            home=paths.data,
            clock=clock,
            history=history,
            roster=roster,
            book=book,
            mesh=mesh,
            readiness=readiness,
            peer_port=listener.port,
            discovery=lambda: notices[-1] if notices else "on" if config.discovery else "switched off",
            stop=stop,
        )
        app = create_app(
            jobs=history,
            files=browser,
            devices=devices,
            pairings=ceremony,
            daemon=overview,
            token=await asyncio.to_thread(create_token, paths.api_token),
        )
        runner, overview.api_port = await serve(app, config.api_port)
        stack.push_async_callback(runner.cleanup)

        stack.push_async_callback(services.close)
        services.start("placement", supervise("placement", origin.run))
        services.start("leases", supervise("leases", holdings.run))
        services.start("roster", supervise("roster", roster.run))
        services.start("gauge", supervise("gauge", gauge.run))
        services.start("accelerators", supervise("accelerators", accelerators.run))
        services.start("retention", supervise("retention", retention.run))
        services.start("expiry", supervise("expiry", expiry.run))
        services.start("resume", supervise("resume", lambda: watch_for_resume(clock, mesh.wake)))
        if config.calibrate:
            services.start("calibration", calibrate(kinds_here, rates, pool.calibrate))
        yield Node(identity.device, overview.api_port, listener.port)
