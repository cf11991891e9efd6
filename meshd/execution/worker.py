"""The main module of a worker: it reads what to run, runs it, and says how it ended.

The main thread computes. A second one reads the daemon's messages, so that a cancellation is heard during a
computation, and sends heartbeats, so that a computation is not taken for a hang. When the daemon's end of the
pipe closes, the daemon is gone, and this process ends with all that it has started.
"""

import contextlib
import errno
import faulthandler
import importlib
import os
import platform
import queue
import select
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import NoReturn, cast

import msgspec

from meshd.clock import Clock, SystemClock
from meshd.errors import BadInput, MeshdError
from meshd.execution import ipc, logs
from meshd.execution.checkpoint import BadCheckpoint, Keep
from meshd.execution.computation import Course, Tell, compute
from meshd.execution.outcome import ErrorKind
from meshd.execution.reaper import WORKER, kill_marked
from meshd.kinds.base import Document, PackedPartial

HEARTBEAT_S = 1.0
"""A tenth of the silence for which the daemon kills a worker."""

ATTEMPT = "MESHD_ATTEMPT"
"""The environment variable that tells the processes which an attempt starts whose they are: <job>/<attempt>."""

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

OUT_OF_MEMORY_SCORE = "500"
"""When memory runs out, the kernel ends a worker rather than the daemon, or the user's desktop."""


@dataclass(frozen=True, slots=True)
class Task:
    """An attempt that was handed to the main thread."""

    order: ipc.Start
    course: Course


class Pipe:
    """Both directions, the sending one shared by two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames = ipc.FrameReader()

    def send(self, message: ipc.FromWorker) -> None:
        """Send all of a message; end this process when nobody reads it."""
        data = memoryview(ipc.write_frame(message))
        with self._lock:
            try:
                while data:
                    data = data[os.write(ipc.WORKER_WRITES, data) :]
            except BrokenPipeError:
                die()

    def receive(self) -> list[ipc.ToWorker]:
        """Read what is there; end this process when the daemon is gone."""
        data = os.read(ipc.WORKER_READS, 1 << 20)
        if not data:
            die()
        return [ipc.read_to_worker(body) for body in self._frames.feed(data)]


class Worker:
    """The conversation with the daemon, and the attempt that is running."""

    def __init__(self, pipe: Pipe, clock: Clock) -> None:
        self._pipe = pipe
        self._clock = clock
        self._orders: queue.SimpleQueue[Task | ipc.Calibrate | None] = queue.SimpleQueue()
        self._course: Course | None = None
        self._busy = False
        self._all_cores = _cores()

    def serve(self) -> None:
        """Run what the daemon hands over, until it says that this is enough."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        while True:
            order = self._orders.get()
            if order is None:
                return
            answer = self._run(order) if isinstance(order, Task) else self._calibrate(order)
            self._busy = False
            self._pipe.send(answer)

    def _listen(self) -> None:
        try:
            self._obey_and_beat()
        except BaseException:  # noqa: BLE001 - without this thread nobody could stop the worker
            traceback.print_exc()
            die()

    def _obey_and_beat(self) -> None:
        ready = select.poll()
        ready.register(ipc.WORKER_READS, select.POLLIN)
        beat_at = self._clock.boot()
        while True:
            # Idle, nobody listens for a heart: an idle device is not woken for it.
            if ready.poll(HEARTBEAT_S * 1000 if self._busy else None):
                for message in self._pipe.receive():
                    self._obey(message)
            if self._busy and self._clock.boot() - beat_at >= HEARTBEAT_S:
                beat_at = self._clock.boot()
                self._pipe.send(ipc.Heartbeat())

    def _obey(self, message: ipc.ToWorker) -> None:
        match message:
            case ipc.Start():
                self._busy = True
                self._course = Course(clock=self._clock, tell=self._teller(message))
                self._orders.put(Task(message, self._course))
            case ipc.Calibrate():
                self._busy = True
                self._course = None
                self._orders.put(message)
            case ipc.Stop():
                if self._course is not None:
                    self._course.cancel()
            case ipc.Quit():
                self._orders.put(None)

    def _teller(self, order: ipc.Start) -> Tell:
        def tell(share: float, best: str, note: str, eta_s: float | None) -> None:
            self._pipe.send(ipc.Progress(order.job, order.attempt, share, best, note, eta_s))

        return tell

    def _keeper(self, order: ipc.Start) -> Keep:
        def keep(partial: PackedPartial) -> None:
            self._pipe.send(ipc.Kept(order.job, order.attempt, partial))

        return keep

    def _run(self, task: Task) -> ipc.FromWorker:
        order, course = task.order, task.course
        os.environ[ATTEMPT] = f"{order.job}/{order.attempt}"
        sys.stdout.flush()
        sys.stderr.write(logs.header(order.job, order.attempt))
        sys.stderr.flush()
        self._keep_to(order.cores)
        try:
            program = load(order.kind, order.program)
            result = compute(
                program, order.resolved, course, self._clock, partials=order.partials, keep=self._keeper(order)
            )
            if result is None:
                return ipc.Stopped(order.job, order.attempt, spent=has_left_processes())
            course.flush()
            return ipc.Finished(order.job, order.attempt, to_json(result), spent=has_left_processes())
        except BaseException as error:  # noqa: BLE001 - SystemExit, too, ends an attempt and nothing else
            spent = has_left_processes()
            if course.cancelled():
                return ipc.Stopped(order.job, order.attempt, spent)
            return explain(error, order.job, order.attempt, spent=spent)
        finally:
            os.environ.pop(ATTEMPT, None)

    def _calibrate(self, order: ipc.Calibrate) -> ipc.FromWorker:
        try:
            program = load(order.kind, order.program)
            rate = getattr(program, "calibrate", None)
            if not callable(rate):
                raise BadInput(f"{order.kind} has no rate to measure")
            return ipc.Calibrated(order.kind, cast(float, rate()))
        except BaseException as error:  # noqa: BLE001 - as above
            return explain(error, "", 0, spent=has_left_processes())

    def _keep_to(self, cores: tuple[int, int] | None) -> None:
        if not self._all_cores or sys.platform == "darwin":
            return
        chosen = self._all_cores
        if cores is None:
            os.environ.pop("NPROC", None)
        else:
            first, count = cores
            chosen = [self._all_cores[(first + i) % len(self._all_cores)] for i in range(count)]
            os.environ["NPROC"] = str(count)
        os.sched_setaffinity(0, chosen)


def load(kind: str, module: str) -> object:
    """Import a program; raise `BadInput` when this device lacks what it needs."""
    try:
        return importlib.import_module(module).program
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"jax", "jaxlib", "numpy"}:
            raise BadInput(
                f"{kind} needs {missing}, which is not installed on this device", hint="install meshd[jax]"
            ) from error
        raise


def to_json(result: Document) -> bytes:
    """Return a result as JSON; raise `TypeError` or `ValueError` when it holds something else, or is too long."""
    data = msgspec.json.encode(result)
    if len(data) > ipc.MAX_RESULT_BYTES:
        raise ValueError(f"the result has {len(data):,} bytes, {ipc.MAX_RESULT_BYTES:,} are allowed")
    return data


def explain(error: BaseException, job: str, attempt: int, *, spent: bool) -> ipc.Failed:
    """Say what an exception means to a person, with the traceback behind it."""
    error_kind = error_kind_of(error)
    trace = "".join(traceback.format_exception(error))
    match error:
        case BadInput(hint=hint):
            message, trace = (f"{error}: {hint}" if hint else str(error)), ""
        case MeshdError():
            message = str(error)
        case MemoryError():
            message = "there was not enough memory"
        case OSError() if error_kind == "disk_full":
            message = f"the disk is full: {error}"
        case _:
            message = f"{type(error).__name__}: {error}"
    # After a MemoryError nobody knows what the program still holds.
    spent = spent or error_kind == "out_of_memory"
    return ipc.Failed(job, attempt, error_kind, message[: ipc.MAX_MESSAGE], trace[-ipc.MAX_DETAIL :], spent)


def error_kind_of(error: BaseException) -> ErrorKind:
    """Return which of the kinds of error this is."""
    if isinstance(error, BadCheckpoint):
        return "bad_checkpoint"
    if isinstance(error, BadInput):
        return "bad_input"
    # JAX has an error of its own for memory, which cannot be named where JAX may not be installed.
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "out_of_memory"
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return "disk_full"
    return "crashed"


def has_left_processes() -> bool:
    """Return whether an attempt that is over has left any process behind (on Linux, at whatever remove)."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


def die() -> NoReturn:
    """End this process and all that it has started: there is no daemon any more."""
    if (mark := os.environ.get(WORKER)) is not None:
        kill_marked(WORKER, mark)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _versions() -> dict[str, str]:
    return {"msgspec": msgspec.__version__}


def main() -> None:
    """Work for the daemon at the other end of descriptors 3 and 4."""
    for descriptor in (ipc.WORKER_READS, ipc.WORKER_WRITES):
        os.set_inheritable(descriptor, False)
    faulthandler.enable()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write(OUT_OF_MEMORY_SCORE)
    pipe = Pipe()
    pipe.send(ipc.Ready(os.getpid(), platform.python_version(), _versions()))
    Worker(pipe, SystemClock()).serve()
    # Without the interpreter's farewell: JAX takes its time over it, and nothing here needs saving.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
