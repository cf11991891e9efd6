"""What a machine leaves behind, copied out of its disk when its daemon has ended: what the check reads."""

import hashlib
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.soak.disk import FILL
from tests.soak.machines import Machine

DIGEST = re.compile(r"[0-9a-f]{64}")


def collect(machine: Machine, folder: Path) -> None:
    """Copy the home of a machine, without what was only there to fill it."""
    shutil.copytree(machine.daemon.home, folder / machine.name, ignore=shutil.ignore_patterns(FILL, "lock"))


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as its origin's database has it."""

    id: str
    key: str
    state: str
    error_kind: str
    error: str
    result: bytes | None
    ends: tuple[str, ...]
    """Every end state that its story tells."""

    attempts: tuple[str, ...]
    """The state of each attempt at the whole job."""

    resumed: bool
    """Whether an attempt went on from what an earlier one had done."""


@dataclass(frozen=True, slots=True)
class Records:
    """What a database says."""

    integrity: str
    jobs: Mapping[str, JobRow]
    left: Mapping[str, int]
    """How many rows there are of what should have been settled."""


def read_records(database: Path) -> Records:
    """Read the database of an ended daemon; of one that cannot be read, only why."""
    try:
        return _read_records(database)
    except sqlite3.DatabaseError as error:
        return Records(str(error), {}, {})


def _read_records(database: Path) -> Records:
    with closing(sqlite3.connect(database)) as connection:
        fetch = connection.execute
        integrity = [str(row[0]) for row in fetch("PRAGMA integrity_check")]
        integrity += [f"broken reference in {row[0]}" for row in fetch("PRAGMA foreign_key_check")]
        attempts: dict[str, list[str]] = {}
        columns = {row[1] for row in fetch("PRAGMA table_info(attempt)")}
        whole = "part_phase IS NULL" if "part_phase" in columns else "TRUE"
        for job, state in fetch(f"SELECT job, state FROM attempt WHERE {whole} ORDER BY job, number"):  # noqa: S608
            attempts.setdefault(str(job), []).append(str(state))
        ends: dict[str, list[str]] = {}
        told = "SELECT job, state FROM transition WHERE attempt IS NULL AND state IN ('completed','failed','cancelled')"
        for job, state in fetch(told):
            ends.setdefault(str(job), []).append(str(state))
        jobs = {
            str(row[0]): JobRow(
                id=str(row[0]),
                key=row[1] or "",
                state=str(row[2]),
                error_kind=row[3] or "",
                error=row[4] or "",
                result=row[5],
                ends=tuple(ends.get(row[0], ())),
                attempts=tuple(attempts.get(row[0], ())),
                resumed=bool(row[6]),
            )
            for row in fetch(
                "SELECT id, idempotency_key, state, error_kind, error_message, result,"
                " (SELECT count(*) FROM attempt WHERE attempt.job = job.id AND checkpoint_units > 0 AND number <"
                "  (SELECT max(number) FROM attempt AS newest WHERE newest.job = job.id))"
                " FROM job LEFT JOIN document ON document.job = job.number"
            )
        }
        counts = {
            "messages in the outbox": "outbox",
            "attempts held for peers": "held",
            "checkpoints": "partial",
            "open attempts": "attempt WHERE ended_at IS NULL",
        }
        left = {what: int(fetch(f"SELECT count(*) FROM {rows}").fetchone()[0]) for what, rows in counts.items()}  # noqa: S608
    return Records(", ".join(integrity), jobs, left)


def blob_troubles(blobs: Path) -> Iterator[str]:
    """Yield what is wrong with the files of a blob store in which nobody needs anything any more."""
    for blob in sorted(blobs.iterdir()) if blobs.is_dir() else ():
        if DIGEST.fullmatch(blob.name) and hashlib.sha256(blob.read_bytes()).hexdigest() != blob.name:
            yield f"the blob {blob.name[:12]} is rotten"
        else:
            yield f"the blob store still holds {blob.name}"


def leftover_files(home: Path) -> Iterator[str]:
    """Yield the files that an orderly end should not have left."""
    scratch = home / "workers" / "scratch"
    for folder in (home, scratch):
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if folder == scratch or file.suffix == ".new" or file.name in {"daemon.json", "mesh.db-wal"}:
                yield f"{file.relative_to(home)} was left"


def texts(folder: Path, machine: str) -> Sequence[Path]:
    """Return the files in which no secret may be: all that a machine has written, but for its keys."""
    home = folder / machine
    own = [file for file in sorted(home.rglob("*")) if file.is_file() and "identity" not in file.parts]
    return [folder / f"{machine}.log", *own]
