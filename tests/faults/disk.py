"""`python -m tests.faults.disk --calls 200`: the disk fails at its Nth call, for every N, and nothing is lost.

A child of the real store runs under strace, which makes one system call on the store's files fail, or all from one on.
The child notes what was acknowledged. Then the parent opens the files on a sound disk: everything acknowledged is
there, the database is sound, no error was acknowledged as a success or reached the user as a traceback, and after a
single fault the child went on.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from meshd.store.database import connect
from tests.faults import blobs_child
from tests.faults.diary import read_diary
from tests.faults.disk_checks import check_blobs, check_database
from tests.faults.strace import Fault, run_under, strace

SPARE = 12
"""Commits or blobs beyond the faulty call: to see that the child goes on."""

DRY = 3
"""So many Ns in a row at which nothing fails: the child makes no more calls of that sort."""

ScenarioName = Literal["new", "commits", "checkpoints", "blobs"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the child does, and which of its calls can fail."""

    name: ScenarioName
    about: str
    faults: tuple[tuple[str, str], ...]
    """Calls and errors; each is tried at every N."""

    steps: Callable[[str, int], int]
    """How many commits or blobs it takes until call number N of some sort has come."""

    besides: tuple[Fault, ...] = ()
    """What fails, too."""


def _commits(call: str, n: int) -> int:
    return SPARE + (n if call == "fdatasync" else n // 4)


def _rounds(call: str, n: int) -> int:
    return SPARE + (n if call in {"write", "fsync"} else 2 * n)


_DATABASE = (("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fdatasync", "EIO"))
_RARE = (("openat", "EIO"), ("openat", "ENOSPC"), ("ftruncate", "EIO"), ("unlink", "EIO"))
_READS = (("pread64", "EIO"),)

SCENARIOS: dict[ScenarioName, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("new", "a database is made", (*_DATABASE, *_RARE, ("fsync", "EIO")), _commits),
        Scenario("commits", "rows are committed", (*_DATABASE, *_RARE, *_READS), _commits),
        Scenario("checkpoints", "rows are committed, and the log is emptied again and again", _DATABASE, _commits),
        Scenario(
            "blobs",
            "blobs are put and received",
            (
                ("write", "ENOSPC"),
                ("write", "EIO"),
                ("fsync", "EIO"),
                ("ftruncate", "EIO"),
                ("openat", "EIO"),
                ("openat", "ENOSPC"),
                ("rename", "EIO"),
                ("rename", "ENOSPC"),
                ("unlink", "EIO"),
            ),
            _rounds,
        ),
    )
}

START_CALLS = 100
"""How far the calls are swept that come at the start: a new database takes 78 writes, opening one 35 reads."""

RARE_CALLS = 40
"""How far the calls are swept that are not a part of every step."""


@dataclass(slots=True)
class Summary:
    """What the runs of one sweep have shown."""

    runs: int = 0
    struck: int = 0
    """Runs in which something failed."""

    kept: int = 0
    refused: int = 0
    not_opened: int = 0
    ghosts: int = 0
    """Rows that were refused, and that a later start finds all the same."""

    wrong: list[str] = field(default_factory=list[str])

    def add(self, other: "Summary") -> None:
        """Count the runs of another sweep."""
        self.runs += other.runs
        self.struck += other.struck
        self.kept += other.kept
        self.refused += other.refused
        self.not_opened += other.not_opened
        self.ghosts += other.ghosts
        self.wrong += other.wrong

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {self.struck} with a fault: {self.kept} acknowledged, {self.refused} refused"
            f" ({self.ghosts} of these found at the next start), {self.not_opened} starts refused;"
            f" wrong: {len(self.wrong)}"
        )


def try_once(folder: Path, template: Path, scenario: Scenario, fault: Fault, n: int) -> Summary:
    """Run the child once in an empty `folder`, and look what is left."""
    data, notes = folder / "data", folder / "diary"
    data.mkdir(parents=True)
    steps = scenario.steps(fault.call, n)
    if scenario.name == "blobs":
        module, arguments = "tests.faults.blobs_child", (str(data), str(notes), str(steps))
        watched = [data]
        for number in range(steps):
            digest = blobs_child.ref_of(number).digest
            watched += [data / digest, data / (f"{digest}.{number // 2}.new" if number % 2 else f"{digest}.part")]
        also: tuple[str, ...] = ("write", "fsync", "rename")
    else:
        if scenario.name != "new":
            shutil.copyfile(template, data / "mesh.db")
        pages = "8" if scenario.name == "checkpoints" else "0"
        # Closing has calls of its own, which may succeed again: a daemon that is killed on a broken disk has no such.
        end = "die" if fault.when.endswith("+") and n % 2 else "close"
        module, arguments = "tests.faults.database_child", (str(data), str(notes), str(steps), pages, end)
        watched = [data, *(data / f"mesh.db{suffix}" for suffix in ("", "-wal", "-shm", "-journal"))]
        also = ()
    run = run_under([fault, *scenario.besides], module, *arguments, watched=watched, log=folder / "calls", also=also)
    diary = read_diary(notes)
    if scenario.name == "blobs":
        wrong, ghosts = check_blobs(data, run, diary, fault), 0
    else:
        wrong, ghosts = check_database(data, run, diary, fault, strict=scenario.name == "commits")
    return Summary(
        runs=1,
        struck=bool(run.failed()),
        kept=len(diary.of("kept")),
        refused=len(diary.of("refused")),
        not_opened=len(diary.of("did not open")),
        ghosts=ghosts,
        wrong=[f"{scenario.name} {fault}: {complaint}" for complaint in wrong],
    )


class Sweep:
    """Runs children two at a time, each in a folder of its own."""

    def __init__(self, folder: Path, *, at_once: int = 2) -> None:
        self._folder = folder
        self._template = folder / "template.db"
        self._at_once = at_once
        connect(self._template).close()

    def one(self, scenario: Scenario, fault: Fault) -> Summary:
        """Try one fault at one N."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            return try_once(folder, self._template, scenario, fault, int(fault.when.rstrip("+")))
        finally:
            shutil.rmtree(folder)

    def run(self, scenario: Scenario, call: str, error: str, mode: str, ns: Sequence[int]) -> Summary:
        """Try one fault at every N, until no such call comes any more. `mode`: `""` only then, `"+"` from then on."""
        total, dry = Summary(), 0
        with ThreadPoolExecutor(self._at_once) as pool:
            for begin in range(0, len(ns), 10):
                faults = [Fault(call, error, f"{n}{mode}") for n in ns[begin : begin + 10]]
                for found in pool.map(self.one, [scenario] * len(faults), faults):
                    total.add(found)
                    dry = 0 if found.struck else dry + 1
                if dry >= DRY or len(total.wrong) > 20:
                    break
        return total


def sweeps(names: Sequence[ScenarioName], calls: int) -> Iterator[tuple[Scenario, str, str, str, int]]:
    """Yield what is to be swept, and how far."""
    every_step = {"pwrite64", "fdatasync", "write", "fsync"}
    for name in names:
        for call, error in SCENARIOS[name].faults:
            most = calls if call in every_step else START_CALLS if call == "pread64" else RARE_CALLS
            far = min(calls, most, START_CALLS if name == "new" else calls)
            for mode in ("", "+"):
                yield SCENARIOS[name], call, error, mode, far
    if "blobs" in names:
        # A disk that is full and then takes no truncation either: half a write cannot be undone.
        worse = replace(SCENARIOS["blobs"], besides=(Fault("ftruncate", "EIO", "1+"),))
        yield worse, "write", "ENOSPC", "", min(calls, RARE_CALLS)


def main() -> int:
    """Run what the command line asks for; return 0 when all held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.disk", description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="up to which N (default: 200)")
    parser.add_argument("--scenario", choices=list(SCENARIOS), action="append", help="only this one; several times")
    parser.add_argument("--at-once", type=int, default=2, help="children at a time (default: 2)")
    parser.add_argument("--fault", metavar="CALL:ERROR:WHEN", help="only this one, for example pwrite64:EIO:17+")
    arguments = parser.parse_args()
    if (why := strace()) is not None:
        print(why, file=sys.stderr)
        return 1
    names: list[ScenarioName] = arguments.scenario or list(SCENARIOS)
    began, total = time.perf_counter(), Summary()
    with tempfile.TemporaryDirectory(prefix="meshd-disk-") as folder:
        sweep = Sweep(Path(folder), at_once=arguments.at_once)
        if arguments.fault:
            total = sweep.one(SCENARIOS[names[0]], Fault(*arguments.fault.split(":")))
            print("\n".join([str(total), *total.wrong]))
            return 1 if total.wrong else 0
        for scenario, call, error, mode, far in sweeps(names, arguments.calls):
            found = sweep.run(scenario, call, error, mode, range(1, far + 1))
            when = "from the Nth on" if mode else "only the Nth"
            print(f"{scenario.name}: {call} {error} {when}: {found}", flush=True)
            for complaint in found.wrong[:5]:
                print(f"  {complaint}", flush=True)
            total.add(found)
    print(f"in all: {total}; {time.perf_counter() - began:.0f} s")
    return 1 if total.wrong or not total.struck else 0


if __name__ == "__main__":
    sys.exit(main())
