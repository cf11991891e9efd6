"""The pool: runs attempts in workers, and is all that the rest of meshd knows of them.

Whatever a job does, `run` returns an outcome: a crash, a hang, garbage or a full disk fails one attempt, and
never another one or the daemon.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from meshd.clock import Clock
from meshd.errors import BadInput, Conflict, Degraded
from meshd.execution import ipc, logs
from meshd.execution.attendance import Assignment, Attendant, Busy, Idle, Leaving, Measured, Patience
from meshd.execution.environment import worker_environment
from meshd.execution.lane import Lane
from meshd.execution.outcome import Cancelled, Failed, Outcome, ProgressReport
from meshd.execution.spawner import Order, Spawner
from meshd.kinds.base import Document, Kind, PackedPartial
from meshd.tasks import TaskSet

LOOK_AT_LOGS_S = 5.0
"""A job that prints as fast as it can gets a few gigabytes ahead of us, no more."""


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """One worker process, for people."""

    name: str
    pid: int
    accelerated: bool
    running: tuple[str, int] | None
    """The job and the attempt."""


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """How busy the pool is."""

    slots: int
    busy: int
    waiting: int
    accelerated_busy: bool
    accelerated_waiting: int
    workers: tuple[WorkerSeen, ...]


@dataclass(slots=True)
class _Run:
    """One call of `Pool.run`."""

    cancelled: bool = False
    turn: asyncio.Future[Attendant] | None = None
    end: Callable[[], None] | None = None


def _ignore(_: object = None) -> None:
    pass


MEMORY_SHARE = 0.8
"""Of this device's memory for one worker: beyond, the desktop crawls, and the kernel chooses a victim."""


def default_memory_limit() -> int:
    """Return how many bytes one worker may hold on this device."""
    return int(psutil.virtual_memory().total * MEMORY_SHARE)


@asynccontextmanager
async def open_pool(
    *,
    spawner: Spawner,
    clock: Clock,
    folder: Path,
    slots: int,
    gpu: int | None = None,
    environment: Mapping[str, str] | None = None,
    patience: Patience | None = None,
    memory_limit_bytes: int | None = None,
) -> AsyncGenerator["Pool"]:
    """Open the pool; leaving the block cancels what runs, and returns when every worker is gone.

    `slots` is the number of attempts at once, besides the one that is accelerated. `gpu` is the GPU that accelerated
    attempts use; without it they use the CPU. `environment` is what workers may inherit a part of.
    """
    await asyncio.to_thread(_make_folders, folder)
    pool = Pool(
        spawner=spawner,
        clock=clock,
        folder=folder,
        slots=slots,
        gpu=gpu,
        environment=os.environ if environment is None else environment,
        patience=patience or Patience(),
        memory_limit_bytes=memory_limit_bytes,
    )
    try:
        yield pool
    finally:
        await pool.close()


class Pool:
    """The workers of this device."""

    def __init__(
        self,
        *,
        spawner: Spawner,
        clock: Clock,
        folder: Path,
        slots: int,
        gpu: int | None,
        environment: Mapping[str, str],
        patience: Patience,
        memory_limit_bytes: int | None,
    ) -> None:
        self._spawner = spawner
        self._clock = clock
        self._folder = folder
        self._gpu = gpu
        self._environment = environment
        self._patience = patience
        self._memory_limit_bytes = memory_limit_bytes
        self._tasks = TaskSet()
        self._plain = Lane(name="plain", limit=slots, hire=self._hire, tasks=self._tasks)
        self._accelerated = Lane(name="accelerated", limit=1, hire=self._hire, tasks=self._tasks)
        self._runs: dict[tuple[str, int], _Run] = {}
        self._hired = 0
        self._watching = False
        self._closed = False

    async def run(
        self,
        *,
        job: str,
        attempt: int,
        kind: Kind,
        resolved: Document,
        timeout_s: float = 0,
        partials: Sequence[PackedPartial] = (),
        on_progress: Callable[[ProgressReport], None] = _ignore,
        on_partial: Callable[[PackedPartial], None] = _ignore,
        on_start: Callable[[], None] = _ignore,
        cores: int | None = None,
    ) -> Outcome:
        """Run an attempt when its turn comes; return how it ended, never raise for what a job does.

        It returns only when the worker is idle again, or gone with all that it had started. The same holds when the
        calling task is cancelled: then the attempt is, too. It goes on from `partials`, and hands its checkpoints to
        `on_partial`. `timeout_s` counts from the start of the computation.

        Raises:
            Conflict: this attempt is here already, or the pool is closed.
        """
        if self._closed:
            raise Conflict("this device is shutting down")
        if (job, attempt) in self._runs:
            raise Conflict(f"attempt {attempt} of {job} is running already")
        lane = self._accelerated if kind.accelerated else self._plain
        run = self._runs[job, attempt] = _Run()
        try:
            attendant = await self._turn(lane, run)
            if not isinstance(attendant, Attendant):
                return attendant
            share = None if cores is None else ((lane.number(attendant) - 1) * cores, cores)
            order = ipc.Start(job, attempt, kind.name, kind.program, dict(resolved), share, tuple(partials))
            try:
                on_start()
                assignment = attendant.begin(order, on_progress, on_partial)
            except BadInput as error:
                return Failed("bad_input", error.message)
            finally:
                lane.offer(attendant)  # unless it has begun
            run.end = lambda: attendant.stop(assignment, Cancelled())
            if timeout_s > 0:
                late = Failed("timeout", f"it was not finished after {timeout_s:g} s, and was stopped")
                attendant.limit(assignment, timeout_s, late)
            outcome = await self._end_of(attendant, assignment)
        finally:
            del self._runs[job, attempt]
        if isinstance(outcome, Measured):
            return Failed("crashed", "the worker answered a question that was not asked")
        if isinstance(outcome, Failed) and assignment.wants_log:
            log_path = self._log_path(attendant.name)
            return replace(outcome, detail=await asyncio.to_thread(logs.excerpt, log_path, job, attempt))
        return outcome

    def cancel(self, job: str, attempt: int) -> bool:
        """Stop an attempt, running or waiting; its `run` returns `Cancelled`. False when it is not here."""
        run = self._runs.get((job, attempt))
        if run is None:
            return False
        run.cancelled = True
        if run.end is not None:
            run.end()
        elif run.turn is not None:
            run.turn.cancel()
        return True

    async def calibrate(self, kind: Kind) -> float:
        """Measure this device's rate for a kind, in its units per second.

        Raises:
            Degraded: it cannot be measured; the message says why.
        """
        lane = self._accelerated if kind.accelerated else self._plain
        attendant = await self._turn(lane, _Run())
        if isinstance(attendant, Failed):
            raise Degraded(attendant.message)
        if not isinstance(attendant, Attendant):
            raise Degraded(f"{kind.name} was not measured: this device is shutting down")
        assignment = attendant.begin(ipc.Calibrate(kind.name, kind.program), _ignore, _ignore)
        limit_s = self._patience.calibration_s
        attendant.limit(assignment, limit_s, Failed("timeout", f"no answer after {limit_s:g} s"))
        match await self._end_of(attendant, assignment):
            case Measured(rate):
                return rate
            case Failed(_, message):
                raise Degraded(f"{kind.name} was not measured: {message}")
            case _:
                raise Degraded(f"{kind.name} was not measured: the worker was stopped")

    def load(self) -> PoolLoad:
        """Return how busy the pool is."""
        workers = tuple(
            WorkerSeen(attendant.name, attendant.pid, lane is self._accelerated, _running(attendant))
            for lane in (self._plain, self._accelerated)
            for attendant in lane.staff.values()
        )
        return PoolLoad(
            slots=self._plain.limit,
            busy=sum(worker.running is not None for worker in workers if not worker.accelerated),
            waiting=self._plain.waiting,
            accelerated_busy=any(worker.running is not None for worker in workers if worker.accelerated),
            accelerated_waiting=self._accelerated.waiting,
            workers=workers,
        )

    async def close(self) -> None:
        """Cancel what runs, end every worker, and return when all are gone."""
        self._closed = True
        for run in self._runs.values():
            run.cancelled = True
        for lane in (self._plain, self._accelerated):
            lane.close()
        await self._tasks.close()
        self._watching = False
        staff = self._staff()
        for attendant in staff:
            attendant.dismiss()
        for attendant in staff:
            await attendant.gone.wait()

    async def _turn(self, lane: Lane, run: _Run) -> Attendant | Outcome:
        """Wait for an idle worker; return what happened instead of one otherwise."""
        while True:
            run.turn = turn = lane.ask()
            try:
                attendant = turn.result() if turn.done() else await turn
            except Degraded as error:
                # No worker could be had: that is this device's doing, not the job's.
                return Failed("lost", error.message)
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    lane.offer(turn.result())
                task = asyncio.current_task()
                if (run.cancelled or self._closed) and not (task and task.cancelling()):
                    return Cancelled()
                raise
            if not isinstance(attendant.state, Idle):
                continue
            if run.cancelled:
                lane.offer(attendant)
                return Cancelled()
            return attendant

    async def _end_of(self, attendant: Attendant, assignment: Assignment) -> Outcome | Measured:
        try:
            return await asyncio.shield(assignment.over)
        except asyncio.CancelledError:
            attendant.stop(assignment, Cancelled())
            # Cancelled once more, we stop waiting; the worker is stopped all the same.
            await asyncio.shield(assignment.over)
            raise

    async def _hire(self, lane: str, number: int) -> Attendant:
        """Start a worker; raise `Degraded` when it does not get ready."""
        name = f"{lane}-{number}"
        owner = self._accelerated if lane == "accelerated" else self._plain
        attendant = Attendant(
            name=name, clock=self._clock, patience=self._patience, on_idle=owner.offer, on_gone=owner.lost
        )
        # The lane's numbers come back; a process is marked with one that does not.
        self._hired += 1
        mark = f"{self._spawner.node}-{self._hired}"
        environment = worker_environment(
            self._environment,
            node=self._spawner.node,
            worker=mark,
            gpu=self._gpu if owner is self._accelerated else None,
            jax_cache=self._folder / "jax-cache",
        )
        order = Order(mark, environment, self._folder / "scratch", self._log_path(name))
        await attendant.attend(await self._spawner.spawn(order, attendant))
        if not self._watching:
            self._watching = True
            self._tasks.start("watch workers", self._watch())
        return attendant

    async def _watch(self) -> None:
        """Look at the workers once a tick, while there are any."""
        looked_at_logs = self._clock.boot()
        while True:
            await asyncio.sleep(self._patience.tick_s)
            staff = self._staff()
            if not staff:
                self._watching = False
                return
            for attendant in staff:
                attendant.tick()
            if self._memory_limit_bytes is not None:
                await self._enforce_memory_limit(staff, self._memory_limit_bytes)
            if self._clock.boot() - looked_at_logs >= LOOK_AT_LOGS_S:
                looked_at_logs = self._clock.boot()
                await asyncio.to_thread(_bound_all, [self._log_path(attendant.name) for attendant in staff])

    async def _enforce_memory_limit(self, staff: list[Attendant], limit_bytes: int) -> None:
        busy = [(attendant, attendant.state) for attendant in staff if isinstance(attendant.state, Busy)]
        used = await asyncio.to_thread(_resident, [attendant.pid for attendant, _ in busy])
        for (attendant, state), size in zip(busy, used, strict=True):
            # The worker may have turned to another attempt meanwhile.
            if size > limit_bytes and attendant.state is state:
                mib = f"{size >> 20:,} MiB, more than the {limit_bytes >> 20:,} MiB that a job may"
                attendant.fail("out_of_memory", f"it used {mib}, and was killed")

    def _staff(self) -> list[Attendant]:
        return [*self._plain.staff.values(), *self._accelerated.staff.values()]

    def _log_path(self, worker: str) -> Path:
        return self._folder / "logs" / f"{worker}.log"


def _running(attendant: Attendant) -> tuple[str, int] | None:
    match attendant.state:
        case Busy(assignment) | Leaving(Assignment() as assignment):
            return assignment.job, assignment.attempt
        case _:
            return None


def _make_folders(folder: Path) -> None:
    for name in ("scratch", "jax-cache", "logs"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)


def _bound_all(paths: list[Path]) -> None:
    for path in paths:
        logs.bound(path)


def _resident(pids: list[int]) -> list[int]:
    """Return the bytes of memory that each process holds; 0 for one that is gone."""
    sizes: list[int] = []
    for pid in pids:
        try:
            sizes.append(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            sizes.append(0)
    return sizes
