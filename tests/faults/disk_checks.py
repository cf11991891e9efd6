"""What must hold after a disk has failed: for the database, and for the blobs."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from meshd.errors import MeshdError
from meshd.store.database import connect
from tests.faults import blobs_child
from tests.faults.diary import Diary
from tests.faults.strace import Fault, Run

FOR_A_PERSON = re.compile(r"Degraded: .+ \(.+\)|Conflict: .+ is over \(\)", re.DOTALL)
"""An error of ours, with what happened and what to try; or that an arrival is to be taken up anew."""

COMMITS_NEED = {"pwrite64", "fdatasync"}
"""Calls without which no change is on disk."""


def check_manners(run: Run, diary: Diary) -> Iterator[str]:
    """Yield what a child has done wrong that no disk excuses."""
    if run.status is None:
        yield "it hung"
    elif run.status != 0:
        yield f"it ended with status {run.status}"
    elif not diary.of("ended"):
        yield "it did not come to its end"
    if run.words:
        yield f"it printed: {run.words}"
    yield from (f"an unexpected error: {detail}" for detail in diary.details("broke"))
    for detail in (*diary.details("refused"), *diary.details("did not open")):
        if not FOR_A_PERSON.fullmatch(detail):
            yield f"not for a person: {detail}"


def check_database(folder: Path, run: Run, diary: Diary, fault: Fault, *, strict: bool) -> tuple[list[str], int]:
    """Return what is wrong, and how many rows were refused and are there all the same.

    `strict`: the log is moved into the database at the end only, so that every failing call of the writer fails a
    commit.
    """
    wrong = list(check_manners(run, diary))
    kept, stored = diary.of("kept"), set[str]()
    try:
        connection = connect(folder / "mesh.db")
    except MeshdError as error:
        return [*wrong, f"it cannot be opened afterwards: {error.message}"], 0
    with closing(connection):
        wrong += [f"integrity: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        stored.update(row["kind"] for row in connection.execute("SELECT kind FROM rate"))
    wrong += [f"row {name} was acknowledged, and is lost" for name in kept if name not in stored]
    wrong += [f"row {name} is of a command that failed" for name in stored if name.endswith("b")]
    wrong += _check_sight(diary)
    wrong += [f"it keeps its journal by {mode}" for mode in diary.of("journal") if mode != "wal"]
    once = not fault.when.endswith("+")
    if once and diary.of("opened") and (not kept or kept[-1] != _last_asked(diary)):
        wrong.append("one fault, and it did not go on")
    if strict and fault.call in COMMITS_NEED and diary.of("opened"):
        wrong += _check_honesty(run, diary, once=once)
    ghosts = stored.intersection(diary.of("refused"))
    if len({name.rstrip("abc") for name in ghosts}) > 1:
        wrong.append(f"{len(ghosts)} refused rows are there all the same, of more than one transaction")
    return wrong, len(ghosts)


def _check_sight(diary: Diary) -> Iterator[str]:
    """Yield what readers saw that was not acknowledged by then, or did not see that was."""
    kept = set[str]()
    for what, which, detail in diary.lines:
        if what == "kept":
            kept.add(which)
        elif what == "seen":
            seen = {name for name in detail.split(",") if name}
            if seen != kept:
                yield f"readers see {len(seen - kept)} rows too many, and miss {len(kept - seen)}"


def _check_honesty(run: Run, diary: Diary, *, once: bool) -> Iterator[str]:
    """Yield acknowledgements of what the disk has refused."""
    writer = int(diary.of("writer")[0])
    # SQLite does not care whether the folder is synced: without it, a new file can lose its name in a power cut.
    failures = len([call for call in run.failed() if call.thread == writer and Path(call.path).suffix])
    refused = list(dict.fromkeys(name.rstrip("abc") for name in diary.of("refused")))
    if once and len(refused) != failures:
        yield f"{failures} calls of the writer failed, and {len(refused)} transactions"
    if not once and refused:
        after = [which for what, which, _ in diary.lines if what in {"kept", "refused"}]
        late = set(after[after.index(diary.of("refused")[0]) :]) & set(diary.of("kept"))
        if late:
            yield f"{len(late)} rows were acknowledged on a disk that takes nothing"


def _last_asked(diary: Diary) -> str:
    return [which for what, which, _ in diary.lines if what in {"kept", "refused"} and which != "reading"][-1]


def check_blobs(folder: Path, run: Run, diary: Diary, fault: Fault) -> list[str]:
    """Return what is wrong about the blobs."""
    wrong = list(check_manners(run, diary))
    gone = set(diary.of("delete"))
    for number in diary.of("kept"):
        if number not in gone:
            blob = folder / blobs_child.ref_of(int(number)).digest
            if not blob.exists() or blob.read_bytes() != blobs_child.content(int(number)):
                wrong.append(f"blob {number} was acknowledged, and is lost")
    for file in folder.iterdir():
        if not file.suffix and hashlib.sha256(file.read_bytes()).hexdigest() != file.name:
            wrong.append(f"{file.name[:12]} is not what its name says")
        if file.suffix == ".new" and fault.call != "unlink":
            wrong.append(f"{file.name[:12]} was left half made")
    numbers = [which for what, which, _ in diary.lines if what in {"kept", "refused"} and which.isdigit()]
    if not fault.when.endswith("+") and numbers and numbers[-1] not in diary.of("kept"):
        wrong.append("one fault, and it did not go on")
    if run.failed("write", "fsync", "rename", "openat") and not diary.of("refused"):
        wrong.append("a call failed, and nobody was told")
    return [*wrong, *_check_fsync(run)]


def _check_fsync(run: Run) -> Iterator[str]:
    """Yield files that got their name before they were on disk.

    An fsync that succeeds after one that failed, with nothing written in between, proves nothing: the kernel tells of
    a lost page once, and takes it for clean from then on.
    """
    written, lost = set[str](), set[str]()
    for call in run.calls:
        match call.name, call.failed:
            case "write", _:
                written.add(call.path)
                lost.discard(call.path)
            case "fsync", True:
                lost.add(call.path)
            case "fsync", False if call.path not in lost:
                written.discard(call.path)
            case "rename", False if call.path in written:
                yield f"{Path(call.path).name[-20:]} got its name before it was on disk"
            case _:
                pass
