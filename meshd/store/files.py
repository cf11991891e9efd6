"""Files of jobs at rest, as rows: which blobs own jobs have, and which wait here for the peers whose jobs made them."""

from collections.abc import Iterable, Sequence
from typing import Literal

from meshd.store.database import Connection, Row, Store

Role = Literal["input", "artifact", "log", "result"]

INPUT = 0
"""Stands for the number of an attempt where a file belongs to the whole job."""


def add(
    connection: Connection,
    job: str,
    attempt: int,
    files: Iterable[tuple[Role, str, str, int]],
    *,
    source: str = "",
) -> None:
    """Add (role, name, digest, size) to an own job; `source` is the peer that they come from."""
    connection.executemany(
        "INSERT OR REPLACE INTO file (job, attempt, role, name, digest, size, source) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(job, attempt, role, name, digest, size, source) for role, name, digest, size in files],
    )


def exists(connection: Connection, job: str) -> bool:
    """Return whether there is such a job, ended or not."""
    return connection.execute("SELECT 1 FROM job WHERE id = ?", (job,)).fetchone() is not None


def named(connection: Connection, job: str, attempt: int) -> list[dict[str, str | int]]:
    """Return name, digest and size of the inputs of a job, or of what one of its attempts has made."""
    found = connection.execute(
        "SELECT name, digest, size FROM file"
        " WHERE job = ? AND attempt = ? AND role IN ('input', 'artifact') ORDER BY name",
        (job, attempt),
    )
    return [{"name": row["name"], "digest": row["digest"], "size": row["size"]} for row in found.fetchall()]


async def job_ids(store: Store) -> set[str]:
    """Return the ids of all own jobs."""
    return {row["id"] for row in await store.fetch("SELECT id FROM job")}


async def attempts_of_open_jobs(store: Store) -> dict[str, set[int]]:
    """Return the numbers of all attempts of each own job that has not ended."""
    found: dict[str, set[int]] = {}
    for row in await store.fetch(
        "SELECT job.id, attempt.number FROM job LEFT JOIN attempt ON attempt.job = job.id WHERE job.ended_at IS NULL"
    ):
        found.setdefault(row["id"], set()).update(() if row["number"] is None else (row["number"],))
    return found


def every(connection: Connection) -> list[Row]:
    """Return all files of own jobs, with whether the job has ended."""
    return connection.execute("SELECT file.*, job.ended_at FROM file JOIN job ON job.id = file.job").fetchall()


def came(connection: Connection, job: str, attempt: int) -> int:
    """Note that all files of an attempt are here; return how many of it there are."""
    return connection.execute(
        "UPDATE file SET source = '' WHERE job = ? AND attempt = ? AND role <> 'input'", (job, attempt)
    ).rowcount


def read_result(connection: Connection, job: str, attempt: int) -> list[str]:
    """Forget the blobs of a result that lies with its job now; return their digests."""
    found = connection.execute(
        "DELETE FROM file WHERE job = ? AND attempt = ? AND role = 'result' RETURNING digest", (job, attempt)
    )
    return [row["digest"] for row in found.fetchall()]


def gone(connection: Connection, job: str, attempt: int) -> list[str]:
    """Forget the files of an attempt that never came; return their digests."""
    found = connection.execute(
        "DELETE FROM file WHERE job = ? AND attempt = ? AND source <> '' RETURNING digest", (job, attempt)
    )
    return [row["digest"] for row in found.fetchall()]


async def of_job(store: Store, job: str) -> list[Row]:
    """Return the files of a job: role, name, digest, size, attempt, source; with the attempt's device."""
    return await store.fetch(
        "SELECT file.*, attempt.device FROM file"
        " LEFT JOIN attempt ON attempt.job = file.job AND attempt.number = file.attempt"
        " WHERE file.job = ? ORDER BY file.attempt, role, name",
        (job,),
    )


def of_jobs(connection: Connection, numbers: Sequence[int]) -> list[Row]:
    """Return job and digest of the files of those of these jobs that have ended."""
    marks = ", ".join("?" * len(numbers))
    return connection.execute(
        f"SELECT id AS job, digest FROM job LEFT JOIN file ON file.job = id WHERE number IN ({marks})"  # noqa: S608
        " AND ended_at IS NOT NULL",
        numbers,
    ).fetchall()


def deliver(
    connection: Connection,
    origin: str,
    job: str,
    attempt: int,
    files: Iterable[tuple[Role, str, str, int]],
    at: float,
) -> None:
    """Keep (role, name, digest, size) for the origin of an attempt."""
    connection.executemany(
        "INSERT OR REPLACE INTO delivery (origin, job, attempt, role, name, digest, size, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(origin, job, attempt, role, name, digest, size, at) for role, name, digest, size in files],
    )


def deliveries(connection: Connection) -> list[Row]:
    """Return origin, job, attempt and digest of all that waits for a peer."""
    return connection.execute("SELECT origin, job, attempt, digest FROM delivery").fetchall()


def delivered(connection: Connection, origin: str, job: str, attempt: int) -> None:
    """Forget what an attempt has left: its origin has it."""
    connection.execute("DELETE FROM delivery WHERE origin = ? AND job = ? AND attempt = ?", (origin, job, attempt))


def expired(connection: Connection, before: float) -> list[tuple[str, str, int]]:
    """Forget what has waited since before then; return (origin, job, attempt) of it."""
    found = connection.execute("DELETE FROM delivery WHERE at < ? RETURNING origin, job, attempt", (before,))
    return sorted({(row["origin"], row["job"], row["attempt"]) for row in found.fetchall()})
