"""What a worker does with a command: a working folder with its inputs, the process, its end, its outputs."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from meshd.clock import Clock, SystemClock
from meshd.errors import BadInput
from meshd.kinds.base import Document, FileContext
from meshd.kinds.command.collect import collect
from meshd.kinds.command.spec import Spec, as_spec
from meshd.kinds.workshop import NonzeroExit, Workshop

PIPE_BYTES = 1 << 20
"""What a command may print before it has to wait for the reader; Linux's own choice is 64 KiB."""

FEW_BYTES = 16 << 10
PAUSE_S = 0.005
"""After a read of few bytes the next one waits: a command that flushes every line would keep a processor busy."""

LOOK_S = 0.05
"""How often it is looked whether the command was cancelled: 1/40 of what a cancellation may take."""

READ_BYTES = 256 << 10
"""What is read of the output at once."""

DRAIN_S = 1.0
"""How long the output of a command that has ended is read: something that it started may hold the pipe for ever."""

OWN = frozenset(
    {
        *("MESHD_JAX_CACHE", "JAX_COMPILATION_CACHE_DIR", "JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES"),
        *("PYTHONHASHSEED", "PYTHONUTF8", "NPROC"),
    }
)
"""Variables of the worker that would change what a command does, and are none of its business."""


class CommandProgram:
    """Runs one command."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def run(self, resolved: Document, context: FileContext) -> Document:
        """Run it; return how it ended.

        Raises:
            BadInput: there is no such program, or an output is not what it must be.
            NonzeroExit: it ended with another status than 0.
        """
        spec = as_spec(resolved)
        shop = context.workshop
        if shop is None:
            raise BadInput("a command needs a place to work in, and this worker has none")
        began = self._clock.boot()
        folder = Path(tempfile.mkdtemp(prefix="work-"))
        try:
            lay_out(spec, shop, folder)
            status = run(spec, folder, shop, context)
            if status is None:
                return {}
            if status:
                # How it ended says more than what is wrong with its outputs.
                with contextlib.suppress(BadInput):
                    collect(folder, spec.outputs, shop)
                raise NonzeroExit(status)
            kept = collect(folder, spec.outputs, shop)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return {"exit_code": 0, "duration_s": round(self._clock.boot() - began, 3), "artifacts": kept}


def lay_out(spec: Spec, shop: Workshop, folder: Path) -> None:
    """Put the inputs into the working folder."""
    for each in spec.inputs:
        source = shop.inputs.get(each.digest)
        if source is None:
            raise BadInput(f"the input {each.name!r} is not here", hint="submit the job again with its files")
        target = folder / each.name
        target.parent.mkdir(parents=True, exist_ok=True)
        # A copy: a command that writes into its input must not change the blob.
        shutil.copyfile(source, target)
        with target.open("rb") as copied:
            if hashlib.file_digest(copied, "sha256").hexdigest() != each.digest:
                raise BadInput(
                    f"the input {each.name!r} was damaged on this disk", hint="check the disk, and submit it again"
                )
        target.chmod(0o700 if each.executable else 0o600)


def run(spec: Spec, folder: Path, shop: Workshop, context: FileContext) -> int | None:
    """Run the command to its end; return its status, negative for a signal, None when it was cancelled."""
    try:
        process = subprocess.Popen(  # noqa: S603 - what its user asks for; no shell looks at it
            list(spec.argv),
            cwd=folder,
            env=environment(os.environ, spec, folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pipesize=PIPE_BYTES,
            # A group of its own, so that a signal reaches the command and what it started, and not this worker.
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise BadInput(
            f"there is no command {spec.argv[0]!r} on this device",
            field="argv",
            hint="install it there, give its whole path, or send it along with --in",
        ) from error
    except (PermissionError, NotADirectoryError, OSError) as error:
        raise BadInput(f"{spec.argv[0]!r} cannot be run: {error.strerror}", field="argv") from error
    reader = Reader(process, shop)
    reader.start()
    asked = False
    while True:
        try:
            status = process.wait(LOOK_S)
            break
        except subprocess.TimeoutExpired:
            if context.cancelled() and not asked:
                asked = True
                # What does not listen is killed by whoever has asked, with all that it started.
                end_group(process.pid, signal.SIGTERM)
    reader.join(DRAIN_S)
    if reader.trouble is not None:
        raise reader.trouble
    return None if context.cancelled() else status


class Reader(threading.Thread):
    """Moves what a command prints to where it is kept, until nobody can print any more."""

    def __init__(self, process: subprocess.Popen[bytes], shop: Workshop) -> None:
        super().__init__(name="output", daemon=True)
        self.trouble: OSError | None = None
        """Why the rest of the output was not kept."""

        self._pipe = process.stdout
        self._shop = shop

    def run(self) -> None:
        """Read on even when nothing can be kept: the command must not hang over it."""
        if self._pipe is None:
            return
        with self._pipe:
            descriptor = self._pipe.fileno()
            while data := os.read(descriptor, READ_BYTES):
                self._keep(data)
                if len(data) < FEW_BYTES:
                    time.sleep(PAUSE_S)

    def _keep(self, data: bytes) -> None:
        try:
            if self.trouble is None:
                self._shop.print(data)
        except OSError as error:
            self.trouble = error


def environment(own: Mapping[str, str], spec: Spec, folder: Path) -> dict[str, str]:
    """Return the environment of a command: the worker's, which is an allow-list, and what the user has set."""
    kept = {name: value for name, value in own.items() if name not in OWN}
    return {**kept, "TERM": "dumb", "PWD": str(folder), **spec.env}


def end_group(pid: int, number: int) -> None:
    """Send a signal to a group of processes, if there is one left."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


program = CommandProgram(SystemClock())
"""What the worker runs."""
