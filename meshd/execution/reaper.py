"""The reaper: one small process that starts the workers, and that leaves none alive when the daemon is gone.

The daemon runs this file by its path, with an isolated interpreter: it needs the standard library only, holds
one socket to the daemon, and does nothing that could fail for the reasons for which a daemon fails. A worker
cannot be trusted with this duty: one that is stopped, or that holds the interpreter's lock in a long call, would
not notice that the daemon's end of its pipe is closed. PDEATHSIG would leave its children alive.

Each worker leads a session, and so a process group, of its own, which the reaper kills as a whole. On Linux the
reaper and the workers are subreapers: a process whose parent dies becomes a child of its worker, and when the
worker dies, of the reaper. So a child of the reaper that is no worker is a stray, whatever session it moved
to. Elsewhere, and for what got away, the environment tells: every worker has its name in `MESHD_WORKER`.

Both directions carry frames: four bytes of length, then texts with a NUL between them. None of them can hold
one, for no argument, environment or path can, and the standard library's JSON would take half a megabyte.

    spawn <worker> <folder> <number of arguments> <argument>.. <NAME=value>..    with LOG, READ, WRITE as descriptors
    signal <worker> <number>                                                     to the whole group

    spawned <worker> <pid>
    refused <worker> <reason>
    exited <worker> <status>     negative: the signal; all that the worker had started is gone, too
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator

NODE = "MESHD_NODE"
"""The environment variable that all workers of one daemon share; its value is drawn when the daemon starts."""

WORKER = "MESHD_WORKER"
"""The environment variable with the name of the worker whose process this is: the node's value, and more."""

DESCRIPTORS = 3
"""What comes with a spawn: the log, the pipe the worker reads, the pipe the worker writes."""

POLL_S = 0.01
"""Strays die within microseconds of a SIGKILL; nothing announces that they have, unless they are our children."""

STRAYS_S = 1.0
"""How long to wait for killed processes to go. What sits longer in an uninterruptible call is not ours to end."""

PR_SET_CHILD_SUBREAPER = 36
"""From <linux/prctl.h>."""

LENGTH = struct.Struct(">I")


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose parents die (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def living() -> Iterator[tuple[int, int]]:
    """Yield pid and parent of every process that is no zombie (Linux; elsewhere nothing)."""
    for entry in os.listdir("/proc") if sys.platform == "linux" else ():  # noqa: PTH208 - pathlib takes a megabyte
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                # The name, in brackets, may hold brackets and spaces.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state not in b"ZX":
            yield int(entry), int(parent)


def is_marked(pid: int, variable: str, value: str) -> bool:
    """Return whether the process was started with `variable` set to `value`; no, where that cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return f"{variable}={value}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def kill_all(pids: Iterator[int]) -> bool:
    """Kill the processes, this one excepted; return whether there was any."""
    found = False
    for pid in pids:
        if pid != os.getpid():
            found = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    return found


def kill_marked(variable: str, value: str) -> bool:
    """Kill every process that was started with `variable` set to `value`; return whether there was any."""
    return kill_all(pid for pid, _ in living() if is_marked(pid, variable, value))


def signal_group(leader: int, number: int) -> bool:
    """Send a signal to the group; return whether there is one."""
    try:
        os.killpg(leader, number)
    except PermissionError:  # macOS, when only zombies are left
        return False
    except ProcessLookupError:
        return False
    return True


class Leaving:
    """A worker that has ended, and of whose group or descendants something may be left."""

    def __init__(self, name: str, pid: int, status: int, until: float) -> None:
        self.name = name
        self.pid = pid
        self.status = status
        self.until = until


class Reaper:
    """The workers of one daemon, and the socket over which it commands them."""

    def __init__(self, control: socket.socket, *, node: str, clock: Callable[[], float]) -> None:
        self._control = control
        self._node = node
        self._clock = clock
        self._workers: dict[int, str] = {}
        self._leaving: list[Leaving] = []
        self._received = bytearray()
        self._descriptors: list[int] = []

    def serve(self, wakeup: int) -> None:
        """Do what the daemon asks until it is gone; `wakeup` becomes readable when a child has ended."""
        # Workers of a reaper that died: the daemon killed their groups, but not what left those.
        kill_marked(NODE, self._node)
        ready = select.poll()
        ready.register(self._control, select.POLLIN)
        ready.register(wakeup, select.POLLIN)
        while True:
            events = dict(ready.poll(POLL_S * 1000 if self._leaving else None))
            if wakeup in events:
                with contextlib.suppress(BlockingIOError):
                    os.read(wakeup, 4096)
            self._reap()
            self._see_off()
            if self._control.fileno() in events and not self._receive():
                return

    def end(self) -> None:
        """Kill every worker and all that it started."""
        until = self._clock() + STRAYS_S
        for pid in self._workers:
            signal_group(pid, signal.SIGKILL)
        while self._clock() < until:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not kill_all(
                pid for pid, parent in living() if parent == os.getpid() or is_marked(pid, NODE, self._node)
            ):
                return
            time.sleep(POLL_S)

    def _receive(self) -> bool:
        """Read from the daemon and obey; return False when it is gone."""
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 65536, 8 * DESCRIPTORS, flags)
        except ConnectionResetError:
            return False
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors += descriptors
        self._received += data
        while len(self._received) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._received)[0]
            if len(self._received) < end:
                break
            texts = os.fsdecode(bytes(self._received[LENGTH.size : end])).split("\0")
            del self._received[:end]
            self._obey(*texts)
        return bool(data)

    def _obey(self, do: str, worker: str, *rest: str) -> None:
        """Do what the daemon asks; it is believed, and knows its own requests."""
        if do == "spawn":
            folder, count, *words = rest
            arguments, settings = words[: int(count)], words[int(count) :]
            self._spawn(worker, arguments, dict(setting.split("=", 1) for setting in settings), folder)
            return
        for pid, known in self._workers.items():
            if known == worker:
                signal_group(pid, int(rest[0]))

    def _spawn(self, worker: str, argv: list[str], env: dict[str, str], folder: str) -> None:
        descriptors = self._descriptors[:DESCRIPTORS]
        del self._descriptors[:DESCRIPTORS]
        try:
            pid = spawn(argv, env, folder, descriptors)
        except OSError as error:
            self._say("refused", worker, error.strerror or str(error))
        else:
            self._workers[pid] = worker
            self._say("spawned", worker, str(pid))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _reap(self) -> None:
        """Collect the children that have ended: workers, and strays."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self._workers.pop(pid, None)
            if name is not None:
                signal_group(pid, signal.SIGKILL)
                code = os.waitstatus_to_exitcode(status)
                self._leaving.append(Leaving(name, pid, code, self._clock() + STRAYS_S))

    def _see_off(self) -> None:
        """Kill what ended workers have left, and tell the daemon about those that have left nothing."""
        if not self._leaving:
            return
        gone = {worker.name for worker in self._leaving}
        strays = kill_all(
            pid
            for pid, parent in living()
            if pid not in self._workers
            and (parent == os.getpid() or any(is_marked(pid, WORKER, name) for name in gone))
        )
        now = self._clock()
        for worker in list(self._leaving):
            if (not strays and not signal_group(worker.pid, 0)) or now >= worker.until:
                self._leaving.remove(worker)
                self._say("exited", worker.name, str(worker.status))

    def _say(self, *texts: str) -> None:
        text = os.fsencode("\0".join(texts))
        # A daemon that is gone is noticed where its requests are read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.sendall(LENGTH.pack(len(text)) + text)


def spawn(argv: list[str], env: dict[str, str], folder: str, descriptors: list[int]) -> int:
    """Start a program as the leader of a session, with the descriptors as its output, 3 and 4; return its pid.

    Raises:
        OSError: it does not start: no such program, no such folder, too many processes.
    """
    told, tell = os.pipe()  # closes itself when the program starts
    pid = os.fork()
    if pid == 0:
        try:
            become(argv, env, folder, descriptors)
        except OSError as error:
            os.write(tell, LENGTH.pack(error.errno or 0))
        finally:
            os._exit(127)
    os.close(tell)
    answer = os.read(told, LENGTH.size)
    os.close(told)
    if answer:
        os.waitpid(pid, 0)
        number = LENGTH.unpack(answer)[0]
        raise OSError(number, os.strerror(number))
    return pid


def become(argv: list[str], env: dict[str, str], folder: str, descriptors: list[int]) -> None:
    """Replace this process by the program; raise OSError where that is not possible."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    adopt_orphans()
    os.chdir(folder)
    # Out of the way first: the targets may be among the numbers that we were given.
    log, read, write = (fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 16) for descriptor in descriptors)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2), (read, 3), (write, 4)):
        os.dup2(descriptor, target)
    os.execve(argv[0], argv, env)  # noqa: S606 - the daemon says what, and it is our own interpreter


def wake_up(_number: int, _frame: object) -> None:
    """Do nothing: that there is a handler makes the interpreter write to the wakeup descriptor."""


def main() -> None:
    """Serve the daemon on the socket whose descriptor is the first argument; the second is the node's mark."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wakeup, wake = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, wake_up)
    adopt_orphans()
    reaper = Reaper(control, node=sys.argv[2], clock=time.monotonic)  # noqa: TID251 - meshd.clock is not at hand
    try:
        reaper.serve(wakeup)
    finally:
        reaper.end()


if __name__ == "__main__":
    main()
