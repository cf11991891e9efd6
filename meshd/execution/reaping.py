"""The daemon's side of the reaper: ask it to start and signal workers, hear how they end."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshd.errors import Degraded
from meshd.execution import reaper as program

_LENGTH = struct.Struct(">I")

READ_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Exit:
    """How a worker process ended: its exit status, negative for a signal, None when nobody saw it."""

    status: int | None


@dataclass(slots=True)
class _Ward:
    """A worker of which the reaper takes care."""

    started: asyncio.Future[int]
    ended: Callable[[Exit], None]
    pid: int = 0


class ReaperLink:
    """One running reaper. When it dies, every worker's group is killed and every worker has ended."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._wards: dict[str, _Ward] = {}
        self._received = bytearray()
        self._outgoing: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self.pid = process.pid
        self.lost = asyncio.Event()
        self._loop.add_reader(control, self._receive)

    @classmethod
    async def start(cls, *, node: str, log: int) -> "ReaperLink":
        """Start a reaper that kills what is marked with `node`, now and when this process is gone."""
        ours, its = socket.socketpair()
        ours.setblocking(False)
        with its:
            argv = [sys.executable, "-I", "-S", str(Path(program.__file__)), str(its.fileno()), node]
            try:
                process = await asyncio.to_thread(_start, argv, its.fileno(), log)
            except OSError as error:
                ours.close()
                raise Degraded(f"no worker can be started: {error.strerror}") from error
        return cls(process, ours)

    async def spawn(
        self,
        worker: str,
        argv: Sequence[str],
        environment: dict[str, str],
        folder: Path,
        descriptors: tuple[int, int, int],
        ended: Callable[[Exit], None],
    ) -> int:
        """Start a worker and return its pid; takes over the descriptors (log, read, write) and closes them.

        `ended` is called once, unless this raises.

        Raises:
            Degraded: this device cannot start it: too many processes, no reaper.
        """
        if self.lost.is_set():
            _close_all(descriptors)
            raise Degraded("no worker can be started: its reaper has just died")
        ward = self._wards[worker] = _Ward(self._loop.create_future(), ended)
        settings = [f"{name}={value}" for name, value in environment.items()]
        self._say(descriptors, "spawn", worker, str(folder), str(len(argv)), *argv, *settings)
        return await ward.started

    def signal(self, worker: str, number: int) -> None:
        """Send a signal to the whole group of a worker; nothing when it has ended."""
        if worker in self._wards and not self.lost.is_set():
            self._say((), "signal", worker, str(number))

    async def close(self) -> None:
        """Let the reaper kill what still runs; return when it is gone itself."""
        self._hang_up()
        await asyncio.to_thread(self._process.wait)

    def _say(self, descriptors: tuple[int, ...], *texts: str) -> None:
        text = os.fsencode("\0".join(texts))
        self._outgoing.append((_LENGTH.pack(len(text)) + text, descriptors))
        if len(self._outgoing) == 1:
            self._send()

    def _send(self) -> None:
        while self._outgoing:
            data, descriptors = self._outgoing[0]
            try:
                sent = socket.send_fds(self._control, [data], descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._control, self._send)
                return
            except OSError:
                self._lose()
                return
            _close_all(descriptors)
            if sent < len(data):
                self._outgoing[0] = (data[sent:], ())
            else:
                self._outgoing.popleft()
        self._loop.remove_writer(self._control)

    def _receive(self) -> None:
        try:
            data = self._control.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        self._received += data
        while len(self._received) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
            if len(self._received) < end:
                return
            texts = os.fsdecode(bytes(self._received[_LENGTH.size : end])).split("\0")
            del self._received[:end]
            self._hear(texts)

    def _hear(self, texts: list[str]) -> None:
        match texts:
            case ["spawned", worker, pid]:
                ward = self._wards[worker]
                ward.pid = int(pid)
                if not ward.started.done():
                    ward.started.set_result(ward.pid)
            case ["refused", worker, reason]:
                ward = self._wards.pop(worker)
                if not ward.started.done():
                    ward.started.set_exception(Degraded(f"no worker can be started: {reason}"))
            case ["exited", worker, status]:
                self._wards.pop(worker).ended(Exit(int(status)))
            case _:
                raise ValueError(f"the reaper said something unknown: {texts}")

    def _lose(self) -> None:
        """The reaper is dead: do its duty, as far as it goes from here."""
        self._hang_up()
        for ward in self._wards.values():
            if ward.pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(ward.pid, signal.SIGKILL)
                ward.ended(Exit(None))
            elif not ward.started.done():
                ward.started.set_exception(Degraded("no worker can be started: its reaper has just died"))
        self._wards.clear()

    def _hang_up(self) -> None:
        if self.lost.is_set():
            return
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        self._control.close()
        for _, descriptors in self._outgoing:
            _close_all(descriptors)
        self._outgoing.clear()
        self.lost.set()


def _start(argv: list[str], descriptor: int, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
        argv,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(descriptor,),
        env={},
        cwd="/",
        start_new_session=True,
    )


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
