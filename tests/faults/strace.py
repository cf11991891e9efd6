"""Programs whose system calls fail on demand: the Nth write, the Nth fsync, or all from the Nth on (strace)."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LIMIT_S = 60.0
"""A child takes half a second; one that hangs is found out after this."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Which system calls fail, with which error, and when: `7` only the seventh, `7+` from the seventh on.

    Each thread counts its own calls.
    """

    call: str
    error: str
    when: str

    def __str__(self) -> str:
        return f"{self.call}:{self.error} {self.when}"


@dataclass(frozen=True, slots=True)
class Call:
    """A system call on one of the watched files."""

    thread: int
    name: str
    path: str
    failed: bool
    """Whether it was made to fail."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a program did under faults."""

    status: int | None
    """None: it hung, and was killed."""

    words: str
    """What it printed on standard error."""

    calls: list[Call]

    def failed(self, *names: str) -> list[Call]:
        """Return the calls that were made to fail; those of these names, if any are given."""
        return [call for call in self.calls if call.failed and (not names or call.name in names)]


def strace() -> str | None:
    """Return why no fault can be injected here; None when it can."""
    if sys.platform != "linux":
        return "no strace: this is not Linux"
    if shutil.which("strace") is None:
        return "no strace: it is not installed (Debian: strace)"
    return None


def run_under(
    faults: Sequence[Fault], module: str, *arguments: str, watched: Sequence[Path], log: Path, also: Sequence[str] = ()
) -> Run:
    """Run a module of the tests; the faults hit only calls on `watched`. The calls in `also` are noted, too."""
    names = sorted({*(fault.call for fault in faults), *also})
    command = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-e", "signal=none", "-o", str(log)]
    for path in watched:
        command += ["-P", str(path)]
    command += ["-e", f"trace={','.join(names)}"]
    for fault in faults:
        command += ["-e", f"inject={fault.call}:error={fault.error}:when={fault.when}"]
    command += [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            words = process.communicate(timeout=LIMIT_S)[1]
        except subprocess.TimeoutExpired:
            process.terminate()  # strace takes its child with it
            words = process.communicate()[1]
            return Run(None, words, read_log(log))
    # strace itself warns where a file that it is to watch is not there yet.
    mine = "\n".join(line for line in words.splitlines() if not line.startswith("strace: "))
    return Run(process.returncode, mine, read_log(log))


_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)")
_PATH = re.compile(r'^\d+<([^>]*)>|"([^"]*)"')


def read_log(log: Path) -> list[Call]:
    """Return the calls that strace has written down, in their order."""
    calls: list[Call] = []
    begun: dict[int, str] = {}
    for line in log.read_text("utf-8", "replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, name, rest = int(match[1]), match[2], match[3]
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest
            continue
        found = _PATH.search(begun.pop(thread, "") or rest)
        path = "" if found is None else found[1] or found[2]
        calls.append(Call(thread, name, path, rest.endswith("(INJECTED)")))
    return calls
