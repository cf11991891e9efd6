"""Where worker processes come from. The pool speaks to workers through this seam, in messages."""

import asyncio
import contextlib
import io
import logging
import os
import secrets
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from meshd.errors import Degraded
from meshd.execution import ipc, logs
from meshd.execution.reaping import Exit, ReaperLink
from meshd.tasks import TaskSet, supervise

log = logging.getLogger(__name__)

ARGV = (sys.executable, "-P", "-m", "meshd.execution.worker")
"""-P: a job's own files, in the folder where it runs, must not be taken for modules."""

LARGE_FRAME_BYTES = 256 << 10
"""What is larger is read in a thread: msgspec reads about 1 GB/s, and the event loop has 100 ms."""

REAPER_S = 5.0
"""How long a spawn waits for a new reaper after one has died. It takes 30 ms."""

LAST_WORDS_S = 0.5
"""How long the pipe of a worker that has ended may stay open. Only what escaped from its group can hold it."""


@dataclass(frozen=True, slots=True)
class Order:
    """A worker to be started."""

    name: str
    environment: Mapping[str, str]
    folder: Path
    """Where it runs."""

    log: Path


class Listener(Protocol):
    """Who hears what a worker says. `exited` comes last, and once."""

    def heard(self, message: ipc.FromWorker) -> None:
        """Take one message."""
        ...

    def garbled(self, reason: str) -> None:
        """Learn that the worker wrote something else than messages; nothing more can be understood."""
        ...

    def hung_up(self) -> None:
        """Learn that the worker has closed its pipe, and lives."""
        ...

    def exited(self, end: Exit) -> None:
        """Learn that the process is gone, and with it all that it had started."""
        ...


class WorkerProcess(Protocol):
    """A started worker."""

    @property
    def pid(self) -> int:
        """Return the process, which is also its group."""
        ...

    def send(self, message: ipc.ToWorker) -> None:
        """Tell it; raise `BadInput` when the message cannot travel."""
        ...

    def terminate(self) -> None:
        """Ask its whole group to end."""
        ...

    def abort(self) -> None:
        """Ask its whole group to say where it is, and to end."""
        ...

    def kill(self) -> None:
        """End its whole group."""
        ...


class Spawner(Protocol):
    """Starts workers."""

    node: str
    """The mark by which the processes of all its workers are known."""

    async def spawn(self, order: Order, listener: Listener) -> WorkerProcess:
        """Start a worker; raise `Degraded` where this device cannot."""
        ...


@asynccontextmanager
async def open_spawner(
    *, folder: Path, argv: Sequence[str] = ARGV, node: str | None = None
) -> AsyncGenerator["ReaperSpawner"]:
    """Start the reaper; leaving the block ends it, and with it every worker.

    Raises:
        Degraded: workers cannot be run on this system.
    """
    if sys.platform == "win32":
        raise Degraded("meshd cannot run jobs on Windows yet", hint="pair it, and send its jobs to a peer")
    spawner = ReaperSpawner(folder=folder, argv=argv, node=node or f"{os.getpid()}-{secrets.token_hex(8)}")
    await spawner.open()
    try:
        yield spawner
    finally:
        await spawner.close()


class ReaperSpawner:
    """Starts workers through the reaper, and the reaper again when it has died."""

    def __init__(self, *, folder: Path, argv: Sequence[str], node: str) -> None:
        self.node = node
        self._folder = folder
        self._argv = argv
        self._tasks = TaskSet()
        self._reaper: ReaperLink | None = None
        self._up = asyncio.Event()
        self._workers: set[PipedWorker] = set()

    @property
    def reaper_pid(self) -> int:
        """Return the process of the reaper."""
        return self._reaper.pid if self._reaper else 0

    async def open(self) -> None:
        """Start the reaper."""
        await self._start_reaper()
        self._tasks.start("reaper", supervise("reaper", self._keep_reaper))

    async def close(self) -> None:
        """End the reaper, and with it every worker."""
        await self._tasks.close()
        if self._reaper:
            await self._reaper.close()
        for worker in list(self._workers):
            worker.close()

    async def spawn(self, order: Order, listener: Listener) -> "PipedWorker":
        """Start a worker; raise `Degraded` where this device cannot."""
        reaper = await self._living_reaper()
        worker = PipedWorker(order.name, reaper, listener, self._tasks, on_close=self._workers.discard)
        self._workers.add(worker)
        try:
            its = await worker.open_pipes(order.log)
            worker.pid = await reaper.spawn(
                order.name, self._argv, dict(order.environment), order.folder, its, worker.ended
            )
        except OSError as error:
            worker.close()
            raise Degraded(f"no worker can be started: {error.strerror}") from error
        except BaseException:
            worker.close()
            raise
        return worker

    async def _living_reaper(self) -> ReaperLink:
        try:
            async with asyncio.timeout(REAPER_S):
                await self._up.wait()
        except TimeoutError:
            pass
        if self._reaper is None:
            raise Degraded(
                "no worker can be started: the process that watches over them died, and does not start again"
            )
        return self._reaper

    async def _start_reaper(self) -> None:
        log_file = await asyncio.to_thread(logs.open_log, self._folder / "reaper.log")
        try:
            self._reaper = await ReaperLink.start(node=self.node, log=log_file)
            self._up.set()
        finally:
            os.close(log_file)

    async def _keep_reaper(self) -> None:
        while True:
            if self._reaper is None:
                await self._start_reaper()
                continue
            await self._reaper.lost.wait()
            log.error("the reaper died; its workers are killed, and it starts again", extra={"pid": self._reaper.pid})
            dead, self._reaper = self._reaper, None
            self._up.clear()
            await dead.close()


class PipedWorker(asyncio.Protocol):
    """A worker process with its two pipes."""

    def __init__(
        self,
        name: str,
        reaper: ReaperLink,
        listener: Listener,
        tasks: TaskSet,
        *,
        on_close: Callable[["PipedWorker"], None],
    ) -> None:
        self.pid = 0
        self._name = name
        self._reaper = reaper
        self._listener = listener
        self._tasks = tasks
        self._on_close = on_close
        self._frames = ipc.FrameReader()
        self._reading: asyncio.ReadTransport | None = None
        self._writing: asyncio.WriteTransport | None = None
        self._end: Exit | None = None
        self._silent = False
        """Nothing more will be heard: end of file, garbage, or too late."""

        self._closed = False
        self._busy = False
        """A large frame is being read in a thread; those behind it wait."""

    async def open_pipes(self, log_path: Path) -> tuple[int, int, int]:
        """Open the log and both pipes; return the worker's descriptors (log, to read, to write)."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            log_file = await asyncio.to_thread(logs.open_log, log_path)
            undo.callback(os.close, log_file)
            theirs_in, ours_out = os.pipe()
            undo.callback(os.close, theirs_in)
            writing = io.FileIO(ours_out, "w")
            undo.callback(writing.close)
            ours_in, theirs_out = os.pipe()
            undo.callback(os.close, theirs_out)
            reading = io.FileIO(ours_in, "r")
            undo.callback(reading.close)
            self._writing, _ = await loop.connect_write_pipe(asyncio.Protocol, writing)
            self._reading, _ = await loop.connect_read_pipe(lambda: self, reading)
            undo.pop_all()
        return log_file, theirs_in, theirs_out

    def send(self, message: ipc.ToWorker) -> None:
        """Tell it; raise `BadInput` when the message cannot travel."""
        if self._writing is not None and not self._writing.is_closing():
            self._writing.write(ipc.write_frame(message))

    def terminate(self) -> None:
        """Ask its whole group to end."""
        self._reaper.signal(self._name, signal.SIGTERM)

    def abort(self) -> None:
        """Ask its whole group to say where it is, and to end."""
        self._reaper.signal(self._name, signal.SIGABRT)

    def kill(self) -> None:
        """End its whole group."""
        self._reaper.signal(self._name, signal.SIGKILL)

    def close(self) -> None:
        """Close both pipes."""
        self._closed = self._silent = True
        self._on_close(self)
        if self._writing is not None:
            self._writing.close()
        if self._reading is not None:
            self._reading.close()

    def ended(self, end: Exit) -> None:
        """Learn that the process is gone; what it wrote last may still be in the pipe."""
        self._end = end
        if self._silent:
            self._tell_end()
        else:
            asyncio.get_running_loop().call_later(LAST_WORDS_S, self._stop_listening)

    def data_received(self, data: bytes) -> None:
        """Read what the worker wrote."""
        self._read(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the worker will write no more."""
        if not self._busy:
            self._end_of_file()

    def _read(self, data: bytes) -> None:
        if self._silent:
            return
        try:
            for body in self._frames.feed(data):
                if len(body) > LARGE_FRAME_BYTES:
                    self._pause()
                    self._tasks.start("large frame", self._read_in_thread(body))
                    return
                self._listener.heard(ipc.read_from_worker(body))
        except ipc.BadFrame as error:
            self._garbled(error)

    async def _read_in_thread(self, body: bytes) -> None:
        try:
            message = await asyncio.to_thread(ipc.read_from_worker, body)
        except ipc.BadFrame as error:
            self._garbled(error)
            return
        finally:
            self._busy = False
        self._listener.heard(message)
        self._read(b"")
        if not self._busy and self._reading is not None:
            if self._reading.is_closing():
                self._end_of_file()
            else:
                self._reading.resume_reading()

    def _pause(self) -> None:
        self._busy = True
        if self._reading is not None and not self._reading.is_closing():
            self._reading.pause_reading()

    def _garbled(self, error: ipc.BadFrame) -> None:
        self._listener.garbled(str(error))
        self._fall_silent()

    def _end_of_file(self) -> None:
        self._fall_silent()
        # It has most likely ended, and the reaper is about to say so.
        asyncio.get_running_loop().call_later(LAST_WORDS_S, self._hang_up)

    def _hang_up(self) -> None:
        if not self._closed:
            self._listener.hung_up()

    def _stop_listening(self) -> None:
        if self._busy:
            asyncio.get_running_loop().call_later(LAST_WORDS_S, self._stop_listening)
        elif not self._silent:
            self._fall_silent()

    def _fall_silent(self) -> None:
        self._silent = True
        if self._end is not None:
            self._tell_end()

    def _tell_end(self) -> None:
        if self._end is not None:
            end, self._end = self._end, None
            self.close()
            self._listener.exited(end)
