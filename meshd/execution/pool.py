"""The pool: runs attempts in workers, and is all that the rest of meshd knows of them.

Whatever a job does, `run` returns an outcome: a crash, a hang, garbage or a full disk fails one attempt, and
never another one or the daemon.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from meshd.clock import Clock
from meshd.errors import BadInput, Conflict, Degraded
from meshd.execution import ipc, logs, memory
from meshd.execution.attendance import Assignment, Attendant, Busy, Idle, Leaving, Measured, Patience
from meshd.execution.environment import worker_environment
from meshd.execution.lane import Lane
from meshd.execution.lanes import Lanes
from meshd.execution.outcome import Cancelled, Failed, Outcome, ProgressReport
from meshd.execution.premises import remove
from meshd.execution.scratch import Scratch
from meshd.execution.spawner import Order, Spawner
from meshd.kinds.base import Document, Kind, PackedPartial, Part
from meshd.kinds.traits import may_be_killed
from meshd.kinds.workshop import Places
from meshd.tasks import TaskSet, supervise

INSPECTION = "meshd.execution.inspection"
"""The program that tells whether JAX computes on a GPU."""

log = logging.getLogger(__name__)


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
    tell: Callable[[ipc.Shrink | ipc.Extend | ipc.Joined], bool] = lambda message: False


def _ignore(*_: object) -> None:
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
    environment: Mapping[str, str] | None = None,
    patience: Patience | None = None,
    memory_limit_bytes: int | None = None,
) -> AsyncGenerator["Pool"]:
    """Open the pool; leaving the block cancels what runs, and returns when every worker is gone.

    `slots` is the number of attempts at once, besides those that are accelerated: one for all processors together, and
    one for each GPU. `environment` is what workers may inherit a part of.
    """
    await asyncio.to_thread(_make_folders, folder)
    pool = Pool(
        spawner=spawner,
        clock=clock,
        folder=folder,
        slots=slots,
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
        environment: Mapping[str, str],
        patience: Patience,
        memory_limit_bytes: int | None,
    ) -> None:
        self._spawner = spawner
        self._clock = clock
        self._folder = folder
        self._environment = environment
        self._patience = patience
        self._memory_limit_bytes = memory_limit_bytes
        self._tasks = TaskSet()
        self._lanes = Lanes(slots=slots, hire=self._hire, tasks=self._tasks)
        self._runs: dict[tuple[str, int], _Run] = {}
        self._scratch = Scratch(folder / "scratch")
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
        part: Part | None = None,
        on_shrunk: Callable[[Part | None], None] = _ignore,
        on_waiting: Callable[[int, int, Sequence[tuple[int, int]]], None] = _ignore,
        cores: int | None = None,
        gpu: str | None = None,
        places: Places | None = None,
        output: str = "",
    ) -> Outcome:
        """Run an attempt when its turn comes; return how it ended, never raise for what a job does.

        It returns only when the worker is idle again, or gone with all that it had started. The same holds when the
        calling task is cancelled: then the attempt is, too. It goes on from `partials`, and hands its checkpoints to
        `on_partial`. `timeout_s` counts from the start of the computation. An accelerated attempt uses the GPU of
        the id `gpu`, or else all processors. `places` are its files, if its kind works with files; what
        it prints otherwise goes into the folder `output`, too, where one is given.

        Raises:
            Conflict: this attempt is here already, or the pool is closed.
        """
        if self._closed:
            raise Conflict("this device is shutting down")
        if (job, attempt) in self._runs:
            raise Conflict(f"attempt {attempt} of {job} is running already")
        lane = self._lanes.of(accelerated=kind.accelerated, gpu=gpu)
        run = self._runs[job, attempt] = _Run()
        try:
            attendant = await self._turn(lane, run)
            if not isinstance(attendant, Attendant):
                return attendant
            share = None if cores is None else ((lane.number(attendant) - 1) * cores, cores)
            order = ipc.Start(
                job, attempt, kind.name, kind.program, dict(resolved), share, tuple(partials), part, places, output
            )
            try:
                on_start()
                assignment = attendant.begin(
                    order, on_progress, on_partial, on_shrunk, on_waiting, may_be_killed=may_be_killed(kind)
                )
            except BadInput as error:
                return Failed("bad_input", error.message)
            finally:
                lane.offer(attendant)  # unless it has begun
            run.end = lambda: attendant.stop(assignment, Cancelled())
            run.tell = lambda message: attendant.tell(assignment, message)
            if timeout_s > 0:
                message = f"it was not finished after {timeout_s:g} s, and was stopped: submit it with a longer timeout"
                late = Failed("timeout", message)
                attendant.limit(assignment, timeout_s, late)
            outcome = await self._end_of(attendant, assignment)
        finally:
            del self._runs[job, attempt]
        if assignment.may_be_killed and isinstance(outcome, Cancelled):
            lane.refill()
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

    def shrink(self, job: str, attempt: int, keep: float) -> bool:
        """Ask a running attempt for what it has not begun, but for a share of it; False: it does not run."""
        return self._tell(ipc.Shrink(job, attempt, keep))

    def extend(self, job: str, attempt: int, phase: int, start: int, stop: int) -> None:
        """Let a running attempt compute units that it gave back."""
        self._tell(ipc.Extend(job, attempt, phase, start, stop))

    def join(self, job: str, attempt: int, partials: Sequence[PackedPartial]) -> None:
        """Hand a running attempt the partials that cover what it lacks of a phase."""
        for partial in partials:
            self._tell(ipc.Joined(job, attempt, partial, len(partials)))

    def _tell(self, message: ipc.Shrink | ipc.Extend | ipc.Joined) -> bool:
        run = self._runs.get((message.job, message.attempt))
        return run is not None and run.tell(message)

    async def calibrate(self, kind: Kind, gpu: str | None = None) -> float:
        """Measure this device's rate for a kind, in its units per second: on a GPU, where an id is given.

        Raises:
            Degraded: it cannot be measured; the message says why.
        """
        return await self._measure(self._lanes.of(accelerated=kind.accelerated, gpu=gpu), kind.name, kind.program)

    async def inspect(self, gpu: str) -> None:
        """Return when a worker has found that JAX computes on the GPU of this id.

        Raises:
            Degraded: it does not; the message says why.
        """
        await self._measure(self._lanes.of(accelerated=True, gpu=gpu), "the GPU", INSPECTION)

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        """Return whether a worker waits for such an attempt."""
        return self._lanes.is_warm(accelerated=accelerated, gpu=gpu)

    async def _measure(self, lane: Lane, what: str, program: str) -> float:
        attendant = await self._turn(lane, _Run())
        if isinstance(attendant, Failed):
            raise Degraded(attendant.message)
        if not isinstance(attendant, Attendant):
            raise Degraded(f"{what} was not measured: this device is shutting down")
        assignment = attendant.begin(ipc.Calibrate(what, program), _ignore, _ignore)
        limit_s = self._patience.calibration_s
        attendant.limit(assignment, limit_s, Failed("timeout", f"no answer after {limit_s:g} s"))
        match await self._end_of(attendant, assignment):
            case Measured(rate):
                return rate
            case Failed(_, message):
                raise Degraded(f"{what} was not measured: {message}")
            case _:
                raise Degraded(f"{what} was not measured: the worker was stopped")

    def load(self) -> PoolLoad:
        """Return how busy the pool is."""
        workers = tuple(
            WorkerSeen(attendant.name, attendant.pid, lane is not self._lanes.plain, _running(attendant))
            for lane in self._lanes.all()
            for attendant in lane.staff.values()
        )
        return PoolLoad(
            slots=self._lanes.plain.limit,
            busy=sum(worker.running is not None for worker in workers if not worker.accelerated),
            waiting=self._lanes.plain.waiting,
            accelerated_busy=any(worker.running is not None for worker in workers if worker.accelerated),
            accelerated_waiting=sum(lane.waiting for lane in self._lanes.all()[1:]),
            workers=workers,
        )

    async def close(self) -> None:
        """Cancel what runs, end every worker, and return when all are gone."""
        self._closed = True
        for run in self._runs.values():
            run.cancelled = True
        for lane in self._lanes.all():
            lane.close()
        await self._tasks.close()
        self._watching = False
        staff = self._lanes.staff()
        for attendant in staff:
            attendant.dismiss()
        for attendant in staff:
            await attendant.gone.wait()
        await asyncio.to_thread(self._scratch.clear)

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
            return await assignment.over
        except asyncio.CancelledError:
            if assignment.is_over:
                raise
            # It was cancelled with us; its end is still to come.
            assignment.over = asyncio.get_running_loop().create_future()
            attendant.stop(assignment, Cancelled())
            # Cancelled once more, we stop waiting; the worker is stopped all the same.
            await asyncio.shield(assignment.over)
            raise

    async def _hire(self, lane: str, number: int) -> Attendant:
        """Start a worker; raise `Degraded` when it does not get ready."""
        name = f"{lane}-{number}"
        owner, gpu = self._lanes.named(lane)
        premises = await asyncio.to_thread(self._scratch.new)
        # The lane's numbers come back; a process is marked with one that does not.
        mark = f"{self._spawner.node}-{premises.name}"

        def gone(attendant: Attendant) -> None:
            owner.lost(attendant)
            self._clear_up_after(attendant, premises)

        attendant = Attendant(name=name, clock=self._clock, patience=self._patience, on_idle=owner.offer, on_gone=gone)
        environment = worker_environment(
            self._environment,
            node=self._spawner.node,
            worker=mark,
            folder=premises,
            gpu=gpu,
            jax_cache=self._folder / "jax-cache",
        )
        order = Order(mark, environment, premises, self._log_path(name))
        try:
            process = await self._spawner.spawn(order, attendant)
        except BaseException:
            self._clear_up_after(attendant, premises)
            raise
        await attendant.attend(process)
        if not self._watching:
            self._watching = True
            self._tasks.start("watch workers", supervise("watch workers", self._watch))
        return attendant

    def _clear_up_after(self, attendant: Attendant, premises: Path) -> None:
        async def clear_up() -> None:
            await asyncio.to_thread(remove, premises)
            await asyncio.to_thread(_bound_all, [self._log_path(attendant.name)])

        if not self._closed:
            self._tasks.start(f"clear up after {attendant.name}", clear_up())

    async def _watch(self) -> None:
        """Look at the workers once a tick, while there are any."""
        while True:
            await asyncio.sleep(self._patience.tick_s)
            staff = self._lanes.staff()
            if not staff:
                self._watching = False
                return
            for attendant in staff:
                attendant.tick()
            if self._memory_limit_bytes is not None:
                await self._enforce_memory_limit(staff, self._memory_limit_bytes)
            await asyncio.to_thread(_bound_all, [self._log_path(attendant.name) for attendant in staff])

    async def _enforce_memory_limit(self, staff: list[Attendant], limit_bytes: int) -> None:
        busy = [(attendant, attendant.state) for attendant in staff if isinstance(attendant.state, Busy)]
        used = await asyncio.to_thread(memory.held_by, [attendant.pid for attendant, _ in busy])
        for (attendant, state), most in zip(busy, used, strict=True):
            size = most
            if size > limit_bytes:
                size = await asyncio.to_thread(memory.really_held_by, attendant.pid)
            # The worker may have turned to another attempt meanwhile.
            if size > limit_bytes and attendant.state is state:
                mib = f"{size >> 20:,} MiB, more than the {limit_bytes >> 20:,} MiB that a job may"
                attendant.fail("out_of_memory", f"it used {mib}, and was killed: ask for less at once")

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
    # A daemon that was killed has left its workers' folders.
    Scratch(folder / "scratch").clear()


def _bound_all(paths: list[Path]) -> None:
    for path in paths:
        try:
            logs.bound(path)
        except OSError as error:
            log.warning("a log could not be cut: %s", error, extra={"file": str(path)})
