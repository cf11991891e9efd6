"""The local API's services in memory, and a daemon made of them on a real port."""

import asyncio
import json
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

from aiohttp import web
from msgspec import Raw
from msgspec import json as msgspec_json
from msgspec.structs import replace

from meshd.api.app import create_app, serve
from meshd.api.auth import create_token
from meshd.errors import BadInput, Conflict, NotFound, PeerRefused, UsageError
from meshd.events import Bus
from meshd.jobs.query import JobQuery
from meshd.kinds.lineups.upload import upload_csv
from meshd.paths import Paths
from meshd_protocol.localapi import (
    END_STATES,
    NO_DOCUMENT,
    AttemptState,
    AttemptView,
    EndState,
    GpuView,
    JobAccepted,
    JobCounts,
    JobError,
    JobPage,
    JobRequest,
    JobState,
    JobStats,
    JobView,
    MachineView,
    PairingAccept,
    PairingState,
    PairingView,
    PeerTest,
    PeerView,
    RateView,
    SightingView,
    StatusView,
)
from tests.support.fake_files import FakeFiles

AT = "2026-02-15T19:30:00.000Z"


def lineups_result() -> dict[str, object]:
    names = ["Ada North", "Bo South", "Cy East", "Di West", "Ed North", "Flo Gale"]
    ids = [str(number) for number in range(101, 107)]
    lineup = {"ids": ids, "names": names, "salary": 49900, "mean": 193.25, "sd": 60.0}
    quantiles = {"p10": 114.0, "p50": 190.0, "p90": 268.2, "p99": 320.0}
    return {
        "lineups": [{**lineup, **quantiles}],
        "players": [{"id": i, "name": n, "salary": 8000, "mean": 32.0} for i, n in zip(ids, names, strict=True)],
        "sport": "nascar",
        "site": "draftkings",
        "portfolio": {
            "objective": 268.2,
            "holdout_objective": 266.9,
            "holdout_objective_se": 0.4,
            "holdout_races": 20_000,
            "what": "p90 of the first lineup, in points",
            "exposure": dict.fromkeys(ids, 1.0),
        },
        "certificate": {
            "exact": True,
            "objective": "p90",
            "lineups_evaluated": 1_947_792,
            "scenarios": 10_000,
            "assumptions": [],
        },
        "device": "cpu",
        "duration_s": 1.5,
        "rate_gel_s": 40.0,
    }


def job_view(job: str, state: JobState = "queued", **changes: object) -> JobView:
    plain = JobView(
        id=job,
        kind="lineups",
        name="20 lineups",
        state=state,
        reason="",
        placement="auto",
        priority=0,
        progress=0.0,
        best="",
        eta_s=None,
        device=None,
        created_at=AT,
        started_at=None,
        ended_at=None,
        duration_s=None,
        error=None,
        attempts=[],
    )
    return replace(plain, **changes)


def light(view: JobView) -> JobView:
    """Return the job as lists and changes show it."""
    return replace(view, spec=NO_DOCUMENT, resolved=NO_DOCUMENT, result=NO_DOCUMENT, story=None)


def attempt(number: int, device: str, state: AttemptState, reason: str = "") -> AttemptView:
    return AttemptView(
        number=number, device=device, state=state, reason=reason, started_at=AT, ended_at=None, progress=0.0
    )


class FakeJobs:
    """Jobs that change when a test says so."""

    def __init__(self) -> None:
        self.held: dict[str, JobView] = {}
        self.requests: list[JobRequest] = []
        self.keys: dict[str, str] = {}
        self.bus: Bus[JobView] = Bus()
        self.script: list[JobView] = []
        """What becomes of the next job that is submitted, step by step."""

        self.asked: list[tuple[JobQuery, int, str | None]] = []
        self.most = 1000
        """Jobs on a page, however many are asked for."""

        self.broken = False

    def put(self, view: JobView) -> JobView:
        self.held[view.id] = view
        self.bus.publish(light(view), view.id)
        return view

    async def submit_batch(self, requests: Sequence[JobRequest]) -> Sequence[JobAccepted]:
        return [await self.submit(request, idempotency_key=None) for request in requests]

    async def submit(self, request: JobRequest, *, idempotency_key: str | None) -> JobAccepted:
        if request.kind != "lineups":
            raise BadInput(f"there is no kind {request.kind!r}", field="kind", hint="there is lineups")
        if idempotency_key is not None and idempotency_key in self.keys:
            return JobAccepted(id=self.keys[idempotency_key], state="queued")
        job = f"aaaaaaaaaaa{'abcdefgh'[len(self.requests)]}"
        self.requests.append(request)
        self.keys[idempotency_key or job] = job
        self.put(job_view(job, spec=Raw(msgspec_json.encode(request.spec)), placement=request.placement))
        for step in self.script:
            self.put(replace(step, id=job))
        return JobAccepted(id=job, state="queued")

    async def cancel(self, job: str, *, reason: str) -> JobView:
        view = self._find(job)
        return view if view.state in END_STATES else self.put(replace(view, state="cancelled", reason=reason))

    async def job(self, job: str) -> JobView:
        if self.broken:
            raise ZeroDivisionError("a secret of the inner workings")
        return self._find(job)

    async def rerun(self, job: str, *, idempotency_key: str | None) -> JobAccepted:
        view = self._find(job)
        spec = msgspec_json.decode(view.spec, type=dict[str, object])
        return await self.submit(JobRequest(kind=view.kind, spec=spec), idempotency_key=idempotency_key)

    async def delete(self, job: str) -> None:
        view = self._find(job)
        if view.state not in END_STATES:
            raise Conflict(f"{view.id} has not ended", hint=f"meshd cancel {view.id}")
        del self.held[view.id]

    async def clear(self, states: Sequence[EndState]) -> int:
        gone = [view.id for view in self.held.values() if view.state in states]
        for job in gone:
            del self.held[job]
        return len(gone)

    async def csv(self, job: str) -> str:
        return upload_csv(self._find(job).result)

    async def every(self) -> AsyncGenerator[JobView]:
        for view in self.held.values():
            if self.broken:
                raise ZeroDivisionError
            yield view

    async def jobs(self, query: JobQuery, *, limit: int, cursor: str | None) -> JobPage:
        self.asked.append((query, limit, cursor))
        found = [view for view in self.held.values() if not query.states or view.state in query.states]
        begin = int(cursor) if cursor is not None and cursor.isdecimal() else 0
        end = begin + min(limit, self.most)
        return JobPage(jobs=[light(view) for view in found[begin:end]], cursor=str(end) if found[end:] else None)

    async def stats(self) -> JobStats:
        return JobStats(
            states=JobCounts(completed=len(self.held)),
            kinds={"lineups": len(self.held)},
            devices={},
            today=0,
            last_7_days=0,
            mean_duration_s={},
        )

    def glance(self, job: str) -> None:
        del job

    def changes(self, job: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[JobView]]:
        return self.bus.listen(job)

    def _find(self, job: str) -> JobView:
        found = [view for name, view in self.held.items() if name.startswith(job)]
        if not found:
            raise NotFound(f"there is no job {job!r}")
        if len(found) > 1:
            raise UsageError(f"several jobs begin with {job!r}", hint=", ".join(view.id for view in found))
        return found[0]


def machine(*gpus: GpuView, battery: float | None = None) -> MachineView:
    return MachineView(
        cores=8,
        memory_bytes=16_000_000_000,
        free_bytes=9_000_000_000,
        cpu=0.25,
        battery=battery,
        plugged=battery is None,
        gpus=list(gpus),
        platforms=["cpu", *(["gpu"] if gpus else [])],
    )


def gpu(name: str = "NVIDIA H200", *, usable: bool = True) -> GpuView:
    return GpuView(
        uuid="GPU-1",
        name=name,
        compute="9.0",
        memory_bytes=139_000_000_000,
        free_bytes=100_000_000_000,
        busy=0.5,
        usable=usable,
    )


def peer(name: str = "pc") -> PeerView:
    return PeerView(
        id="p" * 16,
        name=name,
        state="online",
        address="192.0.2.7:62223",
        latency_ms=1.25,
        version="0.1.0",
        platform="linux",
        slots=8,
        busy=1,
        queued=0,
        rates=[RateView(kind="lineups", rate=5e10, source="measured")],
        permissions=["lineups"],
        paired_at=AT,
        seen_at=AT,
    )


class FakeDevices:
    """Devices that a test lists."""

    def __init__(self) -> None:
        self.paired = [peer()]
        self.seen: list[SightingView] = []
        self.tested = PeerTest(peer=peer(), ok=True, reachable=True, round_trip_ms=1.5, gpu=None, job_s=0.05)

    async def peers(self) -> list[PeerView]:
        return self.paired

    async def sightings(self) -> list[SightingView]:
        return self.seen

    async def test(self, device: str) -> PeerTest:
        for each in self.paired:
            if device in (each.name, each.id):
                return replace(self.tested, peer=each)
        raise NotFound(f"there is no peer {device!r}")

    async def permit(self, device: str, kind: str, *, allowed: bool) -> PeerView:
        peer = next((peer for peer in await self.peers() if device in (peer.id, peer.name)), None)
        if peer is None:
            raise NotFound(f"no peer is called {device!r}")
        others = [known for known in peer.permissions if known != kind]
        return replace(peer, permissions=[*others, kind] if allowed else others)

    async def unpair(self, device: str) -> PeerView:
        for each in self.paired:
            if device in (each.name, each.id):
                self.paired.remove(each)
                return each
        raise NotFound(f"there is no peer {device!r}")


class FakePairings:
    """One code, 123456; another device enters it when a test says so."""

    def __init__(self) -> None:
        self.state = PairingState(open=None)
        self.next: PairingState | None = None
        """What follows once somebody has looked at the open code."""

        self.accepted: list[PairingAccept] = []
        self.absent = 0
        """How often the other device is not there yet."""

    async def open_code(self, *, ttl_s: float | None) -> PairingView:
        view = PairingView(code="123456", expires_at=AT, tries_left=3)
        self.state = PairingState(open=view)
        return view

    async def current(self) -> PairingState:
        state = self.state
        if state.open is not None and self.next is not None:
            self.state = self.next
        return state

    async def close_code(self) -> None:
        self.state = PairingState(open=None, ended="closed")

    async def accept(self, request: PairingAccept) -> PeerView:
        self.accepted.append(request)
        if len(self.accepted) <= self.absent:
            raise NotFound("no device shows a code")
        if request.code == "000000":
            error = PeerRefused("pc says that the code is wrong", hint="look again")
            error.code = "wrong_code"
            raise error
        if request.code == "222222":
            raise UsageError("several devices show a code", hint="name one: attic, pc")
        return peer()


class FakeDaemon:
    """A status, and whether the end was asked for."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.paused_at: str | None = None
        self.reluctance = ""
        self.machine = machine()
        self.pid = os.getpid()
        self.api_port = 0

    async def status(self) -> StatusView:
        return StatusView(
            device="a" * 16,
            name="laptop",
            version="0.1.0",
            protocol=1,
            pid=self.pid,
            home="/nowhere",
            peer_port=62223,
            api_port=self.api_port,
            uptime_s=12.0,
            counts=JobCounts(queued=1, completed=2),
            badge=1,
            peers=1,
            peers_online=1,
            slots=2,
            busy=0,
            rates=[RateView(kind="lineups", rate=4.2e10, source="measured")],
            discovery="on",
            paused_at=self.paused_at,
            reluctance=self.reluctance,
            machine=self.machine,
        )

    async def pause(self) -> StatusView:
        self.paused_at = AT
        return await self.status()

    async def resume(self) -> StatusView:
        self.paused_at = None
        return await self.status()

    def shutdown(self) -> None:
        self.stopped.set()


class Services:
    """All of them."""

    def __init__(self) -> None:
        self.jobs = FakeJobs()
        self.files = FakeFiles()
        self.devices = FakeDevices()
        self.pairings = FakePairings()
        self.daemon = FakeDaemon()

    def app(self, token: str) -> web.Application:
        return create_app(
            jobs=self.jobs,
            files=self.files,
            devices=self.devices,
            pairings=self.pairings,
            daemon=self.daemon,
            token=token,
        )


async def serve_home(home: Path, services: Services, *, ready: threading.Event | None = None) -> None:
    """Be the daemon of `home` until asked to stop."""
    paths = Paths(config=home, data=home)
    token = await asyncio.to_thread(create_token, paths.api_token)
    runner, port = await serve(services.app(token), 0)
    services.daemon.api_port = port
    where = {"pid": os.getpid(), "port": port, "peer_port": 62223, "version": "0.1.0"}
    await asyncio.to_thread(paths.daemon_file.write_text, json.dumps(where))
    if ready is not None:
        ready.set()
    try:
        await services.daemon.stopped.wait()
        await asyncio.to_thread(paths.daemon_file.unlink)
    finally:
        await runner.cleanup()


@contextmanager
def running(home: Path) -> Generator[Services]:
    """Run a daemon of `home` in a thread of its own while the block runs."""
    made: list[Services] = []
    loops: list[asyncio.AbstractEventLoop] = []
    ready = threading.Event()

    async def live() -> None:
        loops.append(asyncio.get_running_loop())
        made.append(Services())
        await serve_home(home, made[0], ready=ready)

    thread = threading.Thread(target=lambda: asyncio.run(live()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield made[0]
    finally:
        if not loops[0].is_closed():
            loops[0].call_soon_threadsafe(made[0].daemon.stopped.set)
        thread.join(10)


def failed(message: str, kind: str = "crashed") -> JobView:
    return job_view("x", "failed", error=JobError(kind=kind, message=message), attempts=[])
