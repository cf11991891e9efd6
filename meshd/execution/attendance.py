"""The daemon's side of one worker: what it is doing, and what happens when it stops doing it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from meshd.clock import Clock
from meshd.errors import BadInput, Degraded
from meshd.execution import ipc
from meshd.execution.outcome import (
    LOST_PIPE,
    Cancelled,
    ErrorKind,
    Failed,
    Outcome,
    ProgressReport,
    Succeeded,
    blame,
    describe_exit,
)
from meshd.execution.reaping import Exit
from meshd.execution.spawner import WorkerProcess
from meshd.execution.wording import MAX_ERROR, one_line
from meshd.kinds.base import PackedPartial, Part

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long workers are waited for. Tests are less patient."""

    start_s: float = 60.0
    """From the spawn to `Ready`: 0.2 s on an idle machine, many times that on one that swaps."""

    silence_s: float = 10.0
    """Without a heartbeat during an attempt: longer than any call that holds the interpreter's lock should last."""

    stop_s: float = 1.0
    """For a program to notice that it was cancelled; it asks every 100 ms."""

    terminate_s: float = 0.7
    """From SIGTERM to SIGKILL. Together with `stop_s` below the 2 s in which a cancelled attempt must be gone."""

    notice_s: float = 0.05
    """Likewise where nothing is lost by SIGKILL, which then follows at once: nothing is left after 0.1 s."""

    quit_s: float = 5.0
    """For an idle worker to leave."""

    kill_s: float = 10.0
    """For a killed process to be gone. One that waits for a dead disk never is; its attempt must end all the same."""

    idle_s: float = 600.0
    """For the next attempt: a warm worker with JAX saves seconds and holds about 600 MB."""

    calibration_s: float = 120.0
    """For a calibration: two seconds, and what compiling takes on the slowest machine."""

    tick_s: float = 1.0
    """How often idle time, silence, logs and memory are looked at."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a calibration found: units per second."""

    rate: float


@dataclass(slots=True)
class Assignment:
    """What a worker is busy with; a calibration is one, too, of the job "" and the attempt 0."""

    job: str
    attempt: int
    on_progress: Callable[[ProgressReport], None]
    on_partial: Callable[[PackedPartial], None]
    on_shrunk: Callable[[Part | None], None]
    on_waiting: Callable[[int, int, Sequence[tuple[int, int]]], None]
    started_at: float
    over: asyncio.Future[Outcome | Measured]
    may_be_killed: bool = False
    verdict: Outcome | Measured | None = None
    """How it ends, whatever the worker still says."""

    is_over: bool = False
    """Whether the worker is idle again, or gone; then `over` is set, unless nobody waits for it any more."""

    wants_log: bool = False
    """The worker's last lines may explain the outcome."""

    share: float = 0.0
    quiet_ticks: int = 0
    timers: list[asyncio.TimerHandle] = field(default_factory=list[asyncio.TimerHandle])


class Starting(Struct, frozen=True):
    """Not ready yet."""


class Idle(Struct, frozen=True):
    """Warm, and waiting for an attempt."""

    since: float


class Busy(Struct, frozen=True):
    """Running an attempt."""

    assignment: Assignment


class Leaving(Struct, frozen=True):
    """Told to go, by a message or a signal."""

    assignment: Assignment | None


class Gone(Struct, frozen=True):
    """The process is no more."""


State = Starting | Idle | Busy | Leaving | Gone


class Attendant:
    """Attends one worker: hands it attempts one after the other, and ends it when it misbehaves.

    No task waits for a worker. Messages, exits and timers arrive as calls, so that an attempt costs no more than
    its two messages, and whoever stops waiting for an attempt does not stop its end.
    """

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        patience: Patience,
        on_idle: Callable[["Attendant"], None],
        on_gone: Callable[["Attendant"], None],
    ) -> None:
        self.name = name
        self.pid = 0
        self.gone = asyncio.Event()
        self._clock = clock
        self._patience = patience
        self._on_idle = on_idle
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._process: WorkerProcess | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ready: asyncio.Future[Exit | None] = self._loop.create_future()
        """None, or how it ended before it was ready."""

        self.state: State = Starting()

    async def attend(self, process: WorkerProcess) -> None:
        """Wait until the worker is idle for the first time; raise `Degraded` when it does not get there."""
        self._process = process
        self.pid = process.pid
        try:
            async with asyncio.timeout(self._patience.start_s):
                end = await self._ready
        except TimeoutError:
            self._kill(None)
            raise Degraded(f"a worker was not ready within {self._patience.start_s:g} s") from None
        except asyncio.CancelledError:
            self._kill(None)
            raise
        if end is not None:
            raise Degraded(f"a worker did not start: {describe_exit(end.status)}")

    def begin(
        self,
        order: ipc.Start | ipc.Calibrate,
        on_progress: Callable[[ProgressReport], None],
        on_partial: Callable[[PackedPartial], None],
        on_shrunk: Callable[[Part | None], None] = lambda part: None,
        on_waiting: Callable[[int, int, Sequence[tuple[int, int]]], None] = lambda phase, units, missing: None,
        *,
        may_be_killed: bool = False,
    ) -> Assignment:
        """Hand an idle worker its next attempt; raise `BadInput` when that cannot be sent."""
        job, attempt = (order.job, order.attempt) if isinstance(order, ipc.Start) else ("", 0)
        assignment = Assignment(
            job,
            attempt,
            on_progress,
            on_partial,
            on_shrunk,
            on_waiting,
            self._clock.boot(),
            self._loop.create_future(),
            may_be_killed,
        )
        self._send(order)
        self.state = Busy(assignment)
        return assignment

    def tell(self, assignment: Assignment, message: ipc.Shrink | ipc.Extend | ipc.Joined) -> bool:
        """Tell the worker about the units of the attempt that it runs; False when it no longer does."""
        if not isinstance(self.state, Busy) or self.state.assignment is not assignment:
            return False
        try:
            self._send(message)
        except BadInput as error:
            log.warning("a worker was not told: %s", error.message, extra={"job": assignment.job})
            return False
        return True

    def limit(self, assignment: Assignment, seconds: float, verdict: Outcome) -> None:
        """End the assignment with `verdict` when it is not over by then."""
        assignment.timers.append(self._loop.call_later(seconds, self.stop, assignment, verdict))

    def stop(self, assignment: Assignment, verdict: Outcome) -> None:
        """End the assignment: ask, then terminate, then kill; what may be killed is not told to terminate first.

        Its `over` is set when the worker is idle or gone.
        """
        match self.state:
            case Busy(current) if current is assignment and current.verdict is None:
                current.verdict = verdict
                self._send(ipc.Stop())
                if current.may_be_killed:
                    current.timers.append(self._loop.call_later(self._patience.notice_s, self._kill, current))
                    return
                ask, tell = self._patience.stop_s, self._patience.stop_s + self._patience.terminate_s
                current.timers += [
                    self._loop.call_later(ask, self._terminate, current),
                    self._loop.call_later(tell, self._kill, current),
                ]
            case Busy() | Leaving() | Starting() | Idle() | Gone():
                pass

    def retire(self) -> None:
        """Send an idle worker home."""
        match self.state:
            case Idle():
                self._send(ipc.Quit())
                self.state = Leaving(None)
                self._timer = self._loop.call_later(self._patience.quit_s, self._kill, None)
            case Starting() | Busy() | Leaving() | Gone():
                pass

    def dismiss(self) -> None:
        """End the worker, whatever it is doing; what it runs is cancelled."""
        match self.state:
            case Starting():
                self._kill(None)
            case Idle():
                self.retire()
            case Busy(assignment):
                self.stop(assignment, Cancelled())
            case Leaving() | Gone():
                pass

    def fail(self, error_kind: ErrorKind, message: str, *, wants_log: bool = False) -> None:
        """Kill the worker; what it was running failed, and this is why."""
        assignment = self.state.assignment if isinstance(self.state, Busy | Leaving) else None
        if assignment is not None and assignment.verdict is None:
            assignment.verdict = Failed(error_kind, message)
            assignment.wants_log = wants_log
        self._kill(assignment)

    def tick(self) -> None:
        """Notice silence and idleness.

        Silence counts in ticks, not in seconds: after a pause of the whole machine there was one tick, and the
        heartbeats of the time before are still in the pipe.
        """
        match self.state:
            case Busy(assignment):
                assignment.quiet_ticks += 1
                if assignment.quiet_ticks * self._patience.tick_s > self._patience.silence_s:
                    self._end_silence(assignment)
            case Idle(since) if self._loop.time() - since >= self._patience.idle_s:
                self.retire()
            case Starting() | Idle() | Leaving() | Gone():
                pass

    def heard(self, message: ipc.FromWorker) -> None:
        """Take one message of the worker."""
        match self.state, message:
            case Starting(), ipc.Ready():
                self.state = Idle(self._loop.time())
                if not self._ready.done():
                    self._ready.set_result(None)
            case ((Busy(assignment) | Leaving(Assignment() as assignment)), _):
                self._hear(assignment, message)
            case ((Starting() | Idle()), _):
                self.garbled(f"a message out of turn: {type(message).__name__}")
            case ((Leaving() | Gone()), _):
                pass

    def garbled(self, reason: str) -> None:
        """End the worker: nothing that it says can be trusted."""
        log.error("a worker wrote garbage", extra={"worker": self.name, "reason": reason})
        message = f"the worker wrote something that is not a message ({one_line(reason, MAX_ERROR)}), and was killed"
        self.fail("crashed", f"{message}: a program must leave descriptors 3 and 4 alone", wants_log=True)

    def hung_up(self) -> None:
        """End the worker: it lives, and will say nothing more."""
        self.fail("crashed", describe_exit(LOST_PIPE), wants_log=True)

    def exited(self, end: Exit) -> None:
        """Learn that the process is gone."""
        state, self.state = self.state, Gone()
        self.gone.set()
        if self._timer is not None:
            self._timer.cancel()
        match state:
            case Gone():
                return
            case Starting():
                if not self._ready.done():
                    self._ready.set_result(end)
            case Busy(assignment) | Leaving(Assignment() as assignment):
                if assignment.verdict is None:
                    message = f"{describe_exit(end.status)} (the details hold what it printed last)"
                    assignment.verdict = Failed(blame(end.status), message)
                    assignment.wants_log = True
                self._finish(assignment)
            case Idle() | Leaving():
                if not self._ready.done():
                    self._ready.set_result(end)
        self._on_gone(self)

    def _hear(self, assignment: Assignment, message: ipc.FromWorker) -> None:
        assignment.quiet_ticks = 0
        key = (assignment.job, assignment.attempt)
        match message:
            case ipc.Heartbeat():
                pass
            case ipc.Progress() if (message.job, message.attempt) == key:
                assignment.share = max(assignment.share, message.share)
                if assignment.verdict is None:
                    report = ProgressReport(assignment.share, message.best, message.note, message.eta_s)
                    self._report(assignment, lambda: assignment.on_progress(report))
            case ipc.Kept(partial=partial) if (message.job, message.attempt) == key:
                if assignment.verdict is None:
                    self._report(assignment, lambda: assignment.on_partial(partial))
            case ipc.Shrunk(part=part) if (message.job, message.attempt) == key:
                if assignment.verdict is None:
                    self._report(assignment, lambda: assignment.on_shrunk(part))
            case ipc.Waiting() if (message.job, message.attempt) == key:
                if assignment.verdict is None:
                    units = (message.phase, message.units, message.missing)
                    self._report(assignment, lambda: assignment.on_waiting(*units))
            case ipc.Finished() if (message.job, message.attempt) == key:
                duration_s = self._clock.boot() - assignment.started_at
                self._over(
                    assignment,
                    Succeeded(
                        message.result, duration_s, message.made, versions=message.versions, printed=message.printed
                    ),
                    spent=message.spent,
                )
            case ipc.Failed() if (message.job, message.attempt) == key:
                outcome = Failed(
                    message.error_kind,
                    message.message,
                    message.detail,
                    message.exit_code,
                    message.made,
                    versions=message.versions,
                )
                self._over(assignment, outcome, spent=message.spent)
            case ipc.Stopped() if (message.job, message.attempt) == key and assignment.verdict is not None:
                self._over(assignment, Cancelled(), spent=message.spent)
            case ipc.Calibrated() if key == ("", 0):
                self._over(assignment, Measured(message.rate), spent=False)
            case _:
                self.garbled(f"a message out of turn: {type(message).__name__}")

    def _report(self, assignment: Assignment, report: Callable[[], None]) -> None:
        try:
            report()
        except Exception:
            log.exception("a report of %s was not taken", assignment.job)

    def _over(self, assignment: Assignment, outcome: Outcome | Measured, *, spent: bool) -> None:
        """The worker has said how it ended. A verdict that came before stands."""
        if assignment.verdict is None:
            assignment.verdict = outcome
        if isinstance(self.state, Leaving):
            return
        if spent:
            self._kill(assignment)
            return
        self.state = Idle(self._loop.time())
        self._finish(assignment)
        self._on_idle(self)

    def _end_silence(self, assignment: Assignment) -> None:
        """End a worker that gives no sign of life; where it can, it first prints where it is."""
        if assignment.verdict is None:
            message = f"the worker gave no sign of life for {self._patience.silence_s:g} s, and was killed"
            assignment.verdict = Failed(
                "crashed", f"{message}: it was stopped, or one call held the interpreter (the details may say where)"
            )
            assignment.wants_log = True
        self.state = Leaving(assignment)
        if self._process is not None:
            self._process.abort()
        assignment.timers.append(self._loop.call_later(self._patience.terminate_s, self._kill, assignment))

    def _finish(self, assignment: Assignment) -> None:
        for timer in assignment.timers:
            timer.cancel()
        assignment.is_over = True
        if assignment.verdict is not None and not assignment.over.done():
            assignment.over.set_result(assignment.verdict)

    def _send(self, message: ipc.ToWorker) -> None:
        if self._process is not None:
            self._process.send(message)

    def _terminate(self, assignment: Assignment) -> None:
        if isinstance(self.state, Busy) and self.state.assignment is assignment and self._process is not None:
            self.state = Leaving(assignment)
            self._process.terminate()

    def _kill(self, assignment: Assignment | None) -> None:
        """Kill the group; the assignment is over when all of it is gone."""
        match self.state:
            case Gone():
                return
            case Busy(current) | Leaving(Assignment() as current) if current is not assignment:
                return
            case Starting() | Idle() | Busy() | Leaving():
                pass
        self.state = Leaving(assignment)
        if self._process is not None:
            self._process.kill()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._patience.kill_s, self._give_up)

    def _give_up(self) -> None:
        log.error("a killed worker does not end", extra={"worker": self.name, "pid": self.pid})
        self.exited(Exit(None))
