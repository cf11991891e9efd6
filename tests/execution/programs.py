"""A program that does, in a worker, whatever a test asks for."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from meshd.clock import SystemClock
from meshd.errors import BadInput
from meshd.execution import ipc
from meshd.kinds.base import Context, Document

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


class Mischief:
    """Does what `resolved["do"]` says."""

    def run(self, resolved: Document, context: Context) -> Document:
        return getattr(self, str(resolved["do"]))(resolved, context)

    def environment(self, _: Document, __: Context) -> Document:
        return {"environment": dict(os.environ), "argv": sys.argv, "cwd": str(Path.cwd())}

    def progress(self, _: Document, context: Context) -> Document:
        for share in (0.1, 0.5, 0.3, float("nan"), 7.0):
            context.report(share, best=f"best {share}", note="n" * 2000)
            time.sleep(0.11)
        return {}

    def family(self, resolved: Document, context: Context) -> Document:
        """Start a child, one in a session of its own, and an orphan without an environment; then end as asked."""
        child = subprocess.Popen(SLEEP)
        session = subprocess.Popen(SLEEP, start_new_session=True)
        # The orphan's pid comes back in a file: a pipe would be held open by the orphan.
        starter = "import subprocess,sys; print(subprocess.Popen(sys.argv[1:], start_new_session=True, env={}).pid)"
        with Path("orphan").open("w+") as said:
            subprocess.run([sys.executable, "-c", starter, *SLEEP], stdout=said, check=True)
            said.seek(0)
            orphan = int(said.read())
        context.report(0.5, note=f"{child.pid} {session.pid} {orphan}")
        match resolved.get("then"):
            case "return":
                return {}
            case "wait":
                while not context.cancelled():
                    time.sleep(0.02)
            case _:
                time.sleep(600)
        return {}

    def stubborn(self, _: Document, context: Context) -> Document:
        """Ignore every request to end."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        context.report(0.5)
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(600)

    def tidy(self, resolved: Document, context: Context) -> Document:
        """Do not look whether to stop, but clean up when asked to end."""

        def clean_up(_number: int, _frame: object) -> None:
            Path(str(resolved["mark"])).touch()
            os._exit(0)

        signal.signal(signal.SIGTERM, clean_up)
        context.report(0.5)
        time.sleep(600)
        return {}

    def freeze(self, _: Document, context: Context) -> Document:
        context.report(0.5)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGSTOP)
        return {}

    def quiet(self, resolved: Document, context: Context) -> Document:
        """Compute for long without a report."""
        until = SystemClock().boot() + float(str(resolved["seconds"]))
        while SystemClock().boot() < until:
            time.sleep(0.05)
        return {}

    def complain(self, _: Document, __: Context) -> Document:
        raise BadInput("the slate has no drivers", hint="export it again")

    def exhaust_device(self, _: Document, __: Context) -> Document:
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes")

    def exit_7(self, _: Document, __: Context) -> Document:
        print("the last words", flush=True)
        os._exit(7)

    def segfault(self, _: Document, context: Context) -> Document:
        context.report(0.5)
        os.kill(os.getpid(), signal.SIGSEGV)
        return {}

    def say_nothing(self, _: Document, __: Context) -> Document:
        return None  # type: ignore[return-value]

    def finish_without_json(self, resolved: Document, __: Context) -> Document:
        size = int(str(resolved.get("size", 1)))
        frame = ipc.write_frame(ipc.Finished(str(resolved["job"]), 1, b'{"a": ' + b"?" * size))
        while frame:
            frame = frame[os.write(ipc.WORKER_WRITES, frame) :]
        time.sleep(600)
        return {}

    def hoard(self, resolved: Document, context: Context) -> Document:
        hoard = b"x" * int(str(resolved.get("length", 200 << 20)))
        while not context.cancelled():
            time.sleep(0.02)
        return {"length": len(hoard)}

    def print_a_lot(self, _: Document, __: Context) -> Document:
        line = "y" * 999
        for _number in range(20_000):
            print(line)
        return {}


program = Mischief()
