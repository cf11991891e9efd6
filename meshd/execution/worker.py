"""The main module of a worker: it reads what to run, runs it, and says how it ended.

The main thread computes. A second one reads the daemon's messages, so that a cancellation is heard during a
computation, and sends heartbeats, so that a computation is not taken for a hang. When the daemon's end of the
pipe closes, the daemon is gone, and this process ends with all that it has started.
"""

import contextlib
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias, cast

import msgspec

from meshd import __version__
from meshd.clock import Clock, SystemClock
from meshd.errors import BadInput
from meshd.execution import ipc, logs
from meshd.execution.checkpoint import Keep
from meshd.execution.computation import Course, Tell, compute
from meshd.execution.explanation import explain
from meshd.execution.outcome import LOST_PIPE
from meshd.execution.output import OutputWriter
from meshd.execution.premises import Premises
from meshd.execution.printed import Printed
from meshd.execution.reaper import WORKER, kill_marked
from meshd.execution.result import to_json
from meshd.execution.todo import Todo
from meshd.kinds.base import PackedPartial, Part, Phase
from meshd.kinds.workshop import Places, Workshop

HEARTBEAT_S = 1.0
"""A tenth of the silence for which the daemon kills a worker."""

ATTEMPT = "MESHD_ATTEMPT"
"""The environment variable that tells the processes which an attempt starts whose they are: <job>/<attempt>."""

READ_BYTES = 64 << 10
"""What a pipe holds. A larger buffer is mapped anew for every message."""

UNABLE = 70
"""The exit status of a worker that cannot go on, through no fault of the daemon's: EX_SOFTWARE of <sysexits.h>."""

PYTHON = platform.python_version()
PLATFORM = f"{platform.system()} {platform.machine()}"

Answer: TypeAlias = ipc.Finished | ipc.Failed | ipc.Stopped

OUT_OF_MEMORY_SCORE = "500"
"""When memory runs out, the kernel ends a worker rather than the daemon, or the user's desktop."""


@dataclass(frozen=True, slots=True)
class Task:
    """An attempt that was handed to the main thread."""

    order: ipc.Start
    course: Course
    todo: Todo


class Pipe:
    """Both directions, the sending one shared by two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames = ipc.FrameReader()
        self._pid = os.getpid()

    def send(self, message: ipc.FromWorker) -> None:
        """Send all of a message; end this process when nobody reads it, or nobody can."""
        data = memoryview(ipc.write_frame(message))
        if self.is_copy():
            return
        with self._lock:
            try:
                while data:
                    data = data[os.write(ipc.WORKER_WRITES, data) :]
            except BrokenPipeError:
                die()
            except OSError:
                lose_pipe()

    def is_copy(self) -> bool:
        """Return whether a program has forked, and this is the child: it does not speak for the attempt."""
        return os.getpid() != self._pid

    def receive(self) -> list[ipc.ToWorker]:
        """Read what is there; end this process when the daemon is gone."""
        try:
            data = os.read(ipc.WORKER_READS, READ_BYTES)
        except OSError:
            lose_pipe()
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
        self._todo = Todo(lambda phase, missing: None)
        self._busy = False
        self._turn = threading.Lock()
        self._all_cores = _cores()
        self._premises = Premises()
        self._printed: Printed | None = None

    def serve(self) -> None:
        """Run what the daemon hands over, until it says that this is enough."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        while True:
            order = self._orders.get()
            if order is None:
                return
            answer = self._run(order) if isinstance(order, Task) else self._calibrate(order)
            with self._turn:
                self._busy = False
                self._pipe.send(answer)

    def _listen(self) -> None:
        try:
            self._obey_and_beat()
        except BaseException:  # noqa: BLE001 - without this thread nobody could stop the worker
            with contextlib.suppress(Exception):
                traceback.print_exc()
            os._exit(UNABLE)

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
                self._send_while_busy(ipc.Heartbeat)
                if (printed := self._printed) is not None:
                    printed.copy()

    def _send_while_busy(self, message: Callable[[], ipc.FromWorker]) -> None:
        """Send what belongs to an attempt, unless it is over: after its end it would be out of turn."""
        with self._turn:
            if self._busy:
                self._pipe.send(message())

    def _obey(self, message: ipc.ToWorker) -> None:
        match message:
            case ipc.Start():
                self._busy = True
                workshop = None if message.places is None else open_workshop(message.places)
                self._course = Course(clock=self._clock, tell=self._teller(message), workshop=workshop)
                self._todo = Todo(self._waiter(message), self._giver(message))
                self._orders.put(Task(message, self._course, self._todo))
            case ipc.Calibrate():
                self._busy = True
                self._course = None
                self._orders.put(message)
            case ipc.Shrink(job=job, attempt=attempt, keep=keep):
                self._send_while_busy(lambda: ipc.Shrunk(job, attempt, self._todo.shrink(keep)))
            case ipc.Extend(phase=phase, start=start, stop=stop):
                self._todo.extend(phase, start, stop)
            case ipc.Joined(partial=partial, of=of):
                self._todo.join(partial, of)
            case ipc.Stop():
                if self._course is not None:
                    self._course.cancel()
            case ipc.Quit():
                self._orders.put(None)

    def _teller(self, order: ipc.Start) -> Tell:
        def tell(share: float, best: str, note: str, eta_s: float | None) -> None:
            self._pipe.send(ipc.Progress(order.job, order.attempt, share, best, note, eta_s))

        return tell

    def _waiter(self, order: ipc.Start) -> Callable[[Phase, Sequence[tuple[int, int]]], None]:
        def wait(phase: Phase, missing: Sequence[tuple[int, int]]) -> None:
            self._pipe.send(ipc.Waiting(order.job, order.attempt, phase.number, phase.units, tuple(missing)))

        return wait

    def _giver(self, order: ipc.Start) -> Callable[[Part], None]:
        def give(part: Part) -> None:
            self._pipe.send(ipc.Shrunk(order.job, order.attempt, part))

        return give

    def _keeper(self, order: ipc.Start) -> Keep:
        def keep(partial: PackedPartial) -> None:
            try:
                self._pipe.send(ipc.Kept(order.job, order.attempt, partial))
            except BadInput as error:
                # Its work is then done again, if this attempt is lost.
                sys.stderr.write(f"a checkpoint was not kept: {error}\n")

        return keep

    def _run(self, task: Task) -> ipc.FromWorker:
        order, course = task.order, task.course
        answer: Answer
        try:
            self._premises.enter()
            os.environ[ATTEMPT] = f"{order.job}/{order.attempt}"
            sys.stderr.write(logs.header(order.job, order.attempt))
            sys.stderr.flush()
            if order.output:
                self._printed = Printed(order.output)
            self._keep_to(order.cores)
            program = load(order.kind, order.program)
            result = compute(
                program,
                order.resolved,
                course,
                self._clock,
                partials=order.partials,
                keep=self._keeper(order),
                part=order.part,
                todo=task.todo,
            )
            if result is None:
                answer = ipc.Stopped(order.job, order.attempt)
            else:
                course.flush()
                answer = ipc.Finished(order.job, order.attempt, to_json(result))
        except BaseException as error:  # noqa: BLE001 - SystemExit, too, ends an attempt and nothing else
            if course.cancelled():
                answer = ipc.Stopped(order.job, order.attempt)
            else:
                answer = explain(error, order.job, order.attempt)
        os.environ.pop(ATTEMPT, None)
        if isinstance(answer, ipc.Finished | ipc.Failed):
            made = () if course.workshop is None else tuple(course.workshop.made)
            answer = msgspec.structs.replace(answer, made=made, versions=_versions())
        printed, self._printed = self._printed, None
        if printed is not None and printed.close() and isinstance(answer, ipc.Finished):
            answer = msgspec.structs.replace(answer, printed=True)
        return self._left(answer)

    def _calibrate(self, order: ipc.Calibrate) -> ipc.FromWorker:
        try:
            self._premises.enter()
            program = load(order.kind, order.program)
            rate = getattr(program, "calibrate", None)
            if not callable(rate):
                raise BadInput(f"{order.kind} has no rate to measure")
            return ipc.Calibrated(order.kind, cast(float, rate()))
        except BaseException as error:  # noqa: BLE001 - as above
            return self._left(explain(error, "", 0))

    def _left(self, answer: Answer) -> Answer:
        """Clear up after an attempt, and let its answer say whether another one can follow in this process."""
        if self._pipe.is_copy():
            os._exit(isinstance(answer, ipc.Failed))
        # After a MemoryError nobody knows what the program still holds.
        is_starved = isinstance(answer, ipc.Failed) and answer.error_kind == "out_of_memory"
        return msgspec.structs.replace(answer, spent=self._premises.leave() or is_starved)

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


def open_workshop(places: Places) -> Workshop:
    """Return the files of an attempt; what it prints goes to disk as it comes."""
    writer = OutputWriter(Path(places.output))
    return Workshop(
        inputs={digest: Path(path) for digest, path in places.inputs.items()},
        outbox=Path(places.outbox),
        print=writer.append,
    )


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


def die() -> NoReturn:
    """End this process and all that it has started: there is no daemon any more."""
    if (mark := os.environ.get(WORKER)) is not None:
        kill_marked(WORKER, mark)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def lose_pipe() -> NoReturn:
    """End this process, whose program has closed or replaced its pipe to the daemon."""
    with contextlib.suppress(Exception):
        traceback.print_exc()
    os._exit(LOST_PIPE)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _versions() -> dict[str, str]:
    """Return what an attempt has computed with: whatever else was imported decides no bit of its result."""
    found = {"meshd": __version__, "python": PYTHON, "platform": PLATFORM}
    for name in ("jax", "jaxlib", "numpy"):
        version: object = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            found[name] = version[: ipc.MAX_LINE]
    return found


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
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
