"""A program that does the worst that a job can do to its worker, its device and those who read its answers."""

import ctypes
import errno
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from meshd.execution import ipc
from meshd.kinds.base import Context, Document
from tests.execution.programs import Mischief

KEPT: list[object] = []
"""What outlives its attempt in the worker."""

AGES_S = 600.0
"""Longer than any test waits."""

HOARD = "hoard = b'x' * (400 << 20); import time; time.sleep(600)"


class Unspeakable(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def write(descriptor: int, data: bytes) -> None:
    """Write all of `data`, past every lock of the worker."""
    while data:
        data = data[os.write(descriptor, data) :]


def say(**fields: object) -> None:
    """Send the daemon a frame of any fields, and then nothing more."""
    body = msgspec.msgpack.encode(fields)
    write(ipc.WORKER_WRITES, struct.pack(">I", len(body)) + body)
    time.sleep(AGES_S)


class Misdeeds(Mischief):
    """Does what `resolved["do"]` says."""

    # On the pipe

    def chatter(self, _: Document, __: Context) -> Document:
        write(ipc.WORKER_WRITES, b"hello, is anybody there?\n")
        time.sleep(AGES_S)
        return {}

    def announce(self, resolved: Document, __: Context) -> Document:
        write(ipc.WORKER_WRITES, struct.pack(">I", int(str(resolved["size"]))))
        time.sleep(AGES_S)
        return {}

    def say(self, resolved: Document, __: Context) -> Document:
        fields = dict(msgspec.convert(resolved["fields"], dict[str, object]))
        if "of" in fields:
            fields |= {"job": fields.pop("of") or resolved["job"], "attempt": 1}
        say(**fields)
        return {}

    def close(self, resolved: Document, context: Context) -> Document:
        first, last = (int(str(resolved[end])) for end in ("first", "last"))
        os.closerange(first, last + 1)
        context.report(0.5)
        time.sleep(AGES_S)
        return {}

    def replace_pipe(self, _: Document, __: Context) -> Document:
        os.dup2(os.open(os.devnull, os.O_WRONLY), ipc.WORKER_WRITES)
        time.sleep(AGES_S)
        return {}

    def return_twice(self, _: Document, __: Context) -> Document:
        """Fork, and let both return."""
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return {"is": "the parent" if child else "the child"}

    # Ends

    def exit(self, resolved: Document, __: Context) -> Document:
        print("the last words", flush=True)
        os._exit(int(str(resolved["status"])))

    def litter(self, _: Document, __: Context) -> Document:
        """Leave files, and no chance to clear up."""
        Path("draft").write_text("half a result")
        tempfile.mkstemp()
        os._exit(1)

    def exit_in_a_thread(self, _: Document, __: Context) -> Document:
        threading.Thread(target=os._exit, args=(9,)).start()
        time.sleep(AGES_S)
        return {}

    def read_nowhere(self, _: Document, __: Context) -> Document:
        ctypes.string_at(0)
        return {}

    def signal_itself(self, resolved: Document, __: Context) -> Document:
        os.kill(os.getpid(), int(str(resolved["number"])))
        time.sleep(AGES_S)
        return {}

    # Hangs

    def hold_the_interpreter(self, _: Document, __: Context) -> Document:
        # Unlike `CDLL`, this keeps the interpreter's lock during the call.
        ctypes.PyDLL(None).sleep(int(AGES_S))
        return {}

    def hang(self, _: Document, __: Context) -> Document:
        time.sleep(AGES_S)
        return {}

    # Resources

    def ask_for_all_memory(self, _: Document, __: Context) -> Document:
        return {"length": len(bytearray(1 << 62))}

    def hoard_in_a_child(self, _: Document, __: Context) -> Document:
        subprocess.run([sys.executable, "-S", "-c", HOARD], check=True)
        return {}

    def hoard_in_an_orphan(self, _: Document, __: Context) -> Document:
        starter = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True, env={})"
        subprocess.run([sys.executable, "-c", starter, sys.executable, "-S", "-c", HOARD], check=True)
        time.sleep(AGES_S)
        return {}

    def fill(self, resolved: Document, __: Context) -> Document:
        """Write to a file until there is no room, and say so as asked."""
        try:
            with Path(str(resolved.get("file", "/dev/full"))).open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 20))
        except OSError as error:
            if resolved.get("wrapped"):
                raise RuntimeError("the weights were not saved") from error
            raise

    def overrun_quota(self, _: Document, __: Context) -> Document:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "weights")

    def print_endlessly(self, resolved: Document, __: Context) -> Document:
        end = b"" if resolved["in_one_line"] else b"\n"
        chunk = (b"y" * 1023 + (end or b"y")) * 1024
        for _number in range(int(str(resolved["mib"]))):
            write(2 if resolved["to_stderr"] else 1, chunk)
        return {"printed": int(str(resolved["mib"]))}

    def open_files(self, resolved: Document, __: Context) -> Document:
        while len(KEPT) < int(str(resolved["count"])):
            KEPT.append(os.open(os.devnull, os.O_RDONLY))
        return {"opened": len(KEPT)}

    # Progress

    def claim(self, _: Document, context: Context) -> Document:
        for share in (1e7, float("nan"), -5.0, float("inf"), 10**400):
            context.report(share, best="\ud800 one\ntwo\0three", note="\x1b[31mred")
            time.sleep(0.11)
        return {}

    def crawl(self, _: Document, context: Context) -> Document:
        until = time.monotonic() + 0.8  # noqa: TID251 - what a program does
        while time.monotonic() < until:  # noqa: TID251
            context.report(1e-13)
            time.sleep(0.02)
        return {}

    # Results

    def answer(self, resolved: Document, __: Context) -> Document:
        loop: list[object] = []
        loop.append(loop)
        deep: object = 1
        for _number in range(int(str(resolved.get("depth", 0)))):
            deep = [deep]
        answers: dict[str, Callable[[], object]] = {
            "an object": object,
            "not a number": lambda: float("nan"),
            "infinity": lambda: [{"nested": float("-inf")}],
            "a loop": lambda: loop,
            "a deep list": lambda: deep,
            "half a character": lambda: "\ud800",
            "odd keys": lambda: {("a", 1): 2},
            "much": lambda: "x" * int(str(resolved["size"])),
        }
        return {"answer": answers[str(resolved["value"])]()}

    def answer_with_a_list(self, _: Document, __: Context) -> Document:
        return [1, 2]  # type: ignore[return-value]

    # Errors

    def fail(self, resolved: Document, __: Context) -> Document:
        errors: dict[str, Callable[[], BaseException]] = {
            "unspeakable": Unspeakable,
            "of many lines": lambda: ValueError("first\nsecond\r\n\tthird\0fourth"),
            "of half a character": lambda: ValueError("half \ud800 of it"),
            "endless": lambda: ValueError("e" * 50_000_000),
            "interrupt": KeyboardInterrupt,
            "exit": lambda: SystemExit("enough"),
            "group": lambda: ExceptionGroup("two of them", [ValueError("one"), TypeError("two")]),
            "of no sort": lambda: BaseException("of no sort"),
            "silent": ValueError,
        }
        error = errors[str(resolved["error"])]()
        raise error

    def recurse(self, resolved: Document, context: Context) -> Document:
        return self.recurse(resolved, context)

    # What the next attempt would notice

    def look_around(self, resolved: Document, __: Context) -> Document:
        """Look around, print, and wait a little."""
        files = [file.name for file in Path.cwd().iterdir()]
        print("hello", flush=True)
        Path("own").write_text("mine")
        until = time.monotonic() + float(str(resolved["seconds"]))  # noqa: TID251 - what a program does
        while time.monotonic() < until:  # noqa: TID251
            time.sleep(0.02)
        return {
            "files": files,
            "open": len(os.listdir("/proc/self/fd")) < 100,  # noqa: PTH208
            "alone": threading.active_count() == 2,
            "temporary files": tempfile.gettempdir() == str(Path.cwd()),
        }

    def leave_a_thread(self, _: Document, __: Context) -> Document:
        threading.Timer(0.15, os._exit, (9,)).start()
        return {}

    def leave_an_alarm(self, _: Document, __: Context) -> Document:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        return {}

    def leave_deaf(self, _: Document, __: Context) -> Document:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return {}

    def leave_without_streams(self, _: Document, __: Context) -> Document:
        sys.stdout.close()
        os.close(2)
        return {}

    def leave_files(self, _: Document, __: Context) -> Document:
        Path("results").mkdir()
        (Path("results") / "large").write_bytes(bytes(1 << 20))
        handle, _name = tempfile.mkstemp()
        os.close(handle)
        Path("link").symlink_to("/")
        Path("results").chmod(0)
        return {}

    def leave_nowhere(self, _: Document, __: Context) -> Document:
        """Delete the folder that it was given, and stand in one that is gone, too."""
        own = Path.cwd()
        other = Path(tempfile.mkdtemp())
        os.chdir(other)
        subprocess.run(["rm", "-rf", own, other], check=True)
        return {}

    def leave_no_room(self, _: Document, __: Context) -> Document:
        """Delete the folders of all workers."""
        subprocess.run(["rm", "-rf", Path.cwd().parent], check=True)
        return {}


program = Misdeeds()
