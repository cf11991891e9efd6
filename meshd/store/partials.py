"""Checkpoints of this device's own jobs, at rest: which spans of which phase are done, and in which blob."""

from meshd.store.database import Connection, Row
from meshd_protocol.messages.jobs import PartialRef


def of_job(connection: Connection, job: str) -> list[tuple[int, PartialRef]]:
    """Return the spans of a job with the attempts that computed them, by phase and start."""
    rows = connection.execute("SELECT * FROM partial WHERE job = ? ORDER BY phase, start", (job,)).fetchall()
    return [(row["attempt"], _ref(row)) for row in rows]


def every(connection: Connection) -> dict[str, list[tuple[int, PartialRef]]]:
    """Return the spans of all jobs."""
    found: dict[str, list[tuple[int, PartialRef]]] = {}
    for row in connection.execute("SELECT * FROM partial ORDER BY job, phase, start"):
        found.setdefault(row["job"], []).append((row["attempt"], _ref(row)))
    return found


def put(connection: Connection, job: str, attempt: int, ref: PartialRef) -> None:
    """Store a span in place of those that lie inside it."""
    connection.execute(
        "INSERT OR REPLACE INTO partial (job, phase, units, start, stop, attempt, digest, size)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (job, ref.phase, ref.units, ref.start, ref.stop, attempt, ref.digest, ref.size),
    )
    connection.execute(
        "DELETE FROM partial WHERE job = ? AND phase = ? AND start > ? AND stop <= ?",
        (job, ref.phase, ref.start, ref.stop),
    )
    connection.execute(
        "UPDATE attempt SET checkpoint_units ="
        " (SELECT sum(stop - start) FROM partial WHERE partial.job = attempt.job AND attempt = attempt.number)"
        " WHERE job = ? AND number = ?",
        (job, attempt),
    )


def remove(connection: Connection, job: str) -> None:
    """Forget the checkpoint of a job."""
    connection.execute("DELETE FROM partial WHERE job = ?", (job,))


def _ref(row: Row) -> PartialRef:
    return PartialRef(
        phase=row["phase"],
        units=row["units"],
        start=row["start"],
        stop=row["stop"],
        digest=row["digest"],
        size=row["size"],
    )
