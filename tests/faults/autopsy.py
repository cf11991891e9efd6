"""What a killed daemon has left on disk, compared with what it had promised. Looks at a copy, never at the original."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from meshd.paths import Paths
from meshd_protocol.localapi import END_STATES
from tests.faults.ledger import Promise, Promises


def copy_database(paths: Paths, folder: Path) -> Path:
    """Copy the database with its log, while no daemon runs; return the copy."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "mesh.db"
    for suffix in ("", "-wal"):
        target = copy.with_name(copy.name + suffix)
        target.unlink(missing_ok=True)
        source = paths.database.with_name(paths.database.name + suffix)
        if source.exists():
            shutil.copyfile(source, target)
    return copy


def wal_bytes(paths: Paths) -> int:
    """Return how much of the database lies in its log."""
    wal = paths.database.with_name(paths.database.name + "-wal")
    return wal.stat().st_size if wal.exists() else 0


def examine(database: Path, promises: Promises, *, at_rest: bool) -> list[str]:
    """Return what is wrong in the copy; opening it recovers the log. `at_rest`: every job must have ended."""
    with closing(sqlite3.connect(database)) as connection:
        wrong = [f"integrity: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        wrong += [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
        stored: dict[str, tuple[str, str]] = {
            job: (state, key) for job, state, key in connection.execute("SELECT id, state, idempotency_key FROM job")
        }
        ends = Counter[str](
            job
            for job, state in connection.execute("SELECT job, state FROM transition WHERE attempt IS NULL")
            if state in END_STATES
        )
    for job, promise in promises.jobs.items():
        wrong += _compare(job, promise, stored.get(job))
    for job, (state, _) in stored.items():
        expected = 1 if state in END_STATES else 0
        if ends[job] != expected:
            wrong.append(f"{job} is {state} and has ended {ends[job]} times")
        if at_rest and not expected:
            wrong.append(f"{job} is still {state}")
    return wrong


def _compare(job: str, promise: Promise, found: tuple[str, str] | None) -> Iterator[str]:
    if found is None:
        if not promise.deletion_asked:
            yield f"{job} was acknowledged, and is lost"
        return
    state, key = found
    if promise.deleted:
        yield f"{job} was deleted, and is back as {state}"
    if promise.end and state != promise.end:
        yield f"{job} was {promise.end}, and is {state}"
    if key != promise.key:
        yield f"{job} was submitted under {promise.key}, and is stored under {key}"


IN_A_HOME = {
    "api-token",
    "blobs",
    "config.toml",
    "daemon.log",
    "identity",
    "identity/identity.pem",
    "lock",
    "logs",
    "mesh.db",
    "workers",
    "workers/jax-cache",
    "workers/logs",
    "workers/reaper.log",
    "workers/scratch",
}
"""What lies in the home of a daemon that has ended in order, besides the logs of its workers."""


def leftovers(home: Path) -> list[str]:
    """Return what a home holds that no daemon needs any more, once the last one has ended in order."""
    names = {str(path.relative_to(home)) for path in home.rglob("*")}
    return sorted(name for name in names - IN_A_HOME if not name.startswith("workers/logs/"))
