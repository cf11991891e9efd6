"""The processes of a daemon, found by the marks that meshd leaves on them, whoever their parent is by now."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from meshd.execution.reaper import WORKER

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was there when it was looked for."""

    pid: int
    started_s: float
    """Since boot, as the kernel's clock has it: within a hundredth of a second."""

    arguments: tuple[bytes, ...]
    environment: tuple[bytes, ...]

    @property
    def is_worker(self) -> bool:
        """Return whether a job runs in it, or may: a worker, or what one has started."""
        return any(variable.startswith(f"{WORKER}=".encode()) for variable in self.environment)

    def signal(self, number: signal.Signals) -> None:
        """Signal it, unless it has ended meanwhile."""
        if self.is_there():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def is_there(self) -> bool:
        """Return whether it has not ended; another one that got its number is not it."""
        started = _started_s(self.pid)
        return started is not None and started == self.started_s

    def __str__(self) -> str:
        return f"{self.pid}: {b' '.join(self.arguments).decode(errors='replace')[:200]}"


def of_home(home: Path, pid: int | None) -> list[Process]:
    """Return what belongs to the daemon with this home, dead or alive: itself, its reaper, its workers and theirs.

    `pid` is the daemon's process: its reaper has no other mark than that number.
    """
    marks = {f"MESHD_HOME={home}".encode(), f"MESHD_JAX_CACHE={home}/workers/jax-cache".encode()}
    node = b"\0" if pid is None else f"{pid}-".encode()

    def belongs(process: Process) -> bool:
        return not marks.isdisjoint(process.environment) or (
            len(process.arguments) > 1
            and process.arguments[-1].startswith(node)
            and any(argument.endswith(b"/reaper.py") for argument in process.arguments)
        )

    return [process for process in _every() if belongs(process)]


def _every() -> Iterator[Process]:
    for entry in os.listdir("/proc"):  # noqa: PTH208 - many times a second
        if not entry.isdigit():
            continue
        started = _started_s(int(entry))
        if started is None:
            continue
        try:
            arguments = Path(f"/proc/{entry}/cmdline").read_bytes()
            environment = Path(f"/proc/{entry}/environ").read_bytes()
        except OSError:
            # It has ended meanwhile, or it is not ours to look at.
            continue
        yield Process(int(entry), started, _words(arguments), _words(environment))


def _words(text: bytes) -> tuple[bytes, ...]:
    return tuple(word for word in text.split(b"\0") if word)


def _started_s(pid: int) -> float | None:
    """Return when a process began; None when there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19]) / TICKS
