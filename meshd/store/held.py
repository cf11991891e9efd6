"""Attempts that this device holds for its peers, at rest."""

from dataclasses import dataclass, fields

from meshd.store.database import Connection, Row
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One attempt of a peer's job."""

    origin: DeviceId
    job: JobId
    attempt: AttemptNumber
    kind: str
    name: str
    resolved: bytes
    priority: int
    timeout_s: float
    state: str
    boot: str
    at: float


_COLUMNS = tuple(field.name for field in fields(HeldRow))


def _value(row: Row) -> HeldRow:
    return HeldRow(**{column: row[column] for column in _COLUMNS})


def insert(connection: Connection, held: HeldRow) -> bool:
    """Add an attempt; return False when it is known already."""
    columns = ", ".join(_COLUMNS)
    marks = ", ".join("?" * len(_COLUMNS))
    values = tuple(getattr(held, column) for column in _COLUMNS)
    cursor = connection.execute(f"INSERT OR IGNORE INTO held ({columns}) VALUES ({marks})", values)  # noqa: S608
    return cursor.rowcount > 0


def count(connection: Connection, origin: DeviceId) -> int:
    """Return how many attempts of `origin` are held here."""
    return connection.execute("SELECT count(*) FROM held WHERE origin = ?", (origin,)).fetchone()[0]


def start(connection: Connection, origin: DeviceId, job: JobId, attempt: AttemptNumber) -> bool:
    """Mark an attempt as running; return False when it is no longer waiting."""
    cursor = connection.execute(
        "UPDATE held SET state = 'running' WHERE origin = ? AND job = ? AND attempt = ? AND state = 'waiting'",
        (origin, job, attempt),
    )
    return cursor.rowcount > 0


def finish(connection: Connection, origin: DeviceId, job: JobId, attempt: AttemptNumber, seq: int) -> None:
    """Mark an attempt as finished by message `seq`; its row stays until that is acknowledged."""
    connection.execute(
        "UPDATE held SET state = 'finished', finished_seq = ?, resolved = x''"
        " WHERE origin = ? AND job = ? AND attempt = ? AND state <> 'finished'",
        (seq, origin, job, attempt),
    )


def remove(connection: Connection, origin: DeviceId, job: JobId, attempt: AttemptNumber) -> bool:
    """Forget an attempt; return whether it was held and not finished."""
    cursor = connection.execute(
        "DELETE FROM held WHERE origin = ? AND job = ? AND attempt = ? AND state <> 'finished'", (origin, job, attempt)
    )
    return cursor.rowcount > 0


def acknowledged(connection: Connection, origin: DeviceId, seq: int) -> None:
    """Forget the attempts whose end the origin knows by now."""
    connection.execute("DELETE FROM held WHERE origin = ? AND finished_seq <= ?", (origin, seq))


def renumber(connection: Connection, origin: DeviceId, renumbered: dict[int, int]) -> None:
    """Follow the messages that tell the ends into a new stream.

    The ends of which no message waits any more, acknowledged or expired, are forgotten.
    """
    rows = connection.execute(
        "SELECT job, attempt, finished_seq FROM held WHERE origin = ? AND state = 'finished'", (origin,)
    ).fetchall()
    for row in rows:
        seq = renumbered.get(row["finished_seq"])
        key = (origin, row["job"], row["attempt"])
        if seq is None:
            connection.execute("DELETE FROM held WHERE origin = ? AND job = ? AND attempt = ?", key)
        else:
            connection.execute(
                "UPDATE held SET finished_seq = ? WHERE origin = ? AND job = ? AND attempt = ?", (seq, *key)
            )


def drop_unfinished(connection: Connection, boot: str) -> list[tuple[DeviceId, JobId, AttemptNumber]]:
    """Forget the attempts that an earlier run of this daemon did not finish, and return them."""
    rows = connection.execute(
        "DELETE FROM held WHERE boot <> ? AND state <> 'finished' RETURNING origin, job, attempt", (boot,)
    ).fetchall()
    return [(row["origin"], row["job"], row["attempt"]) for row in rows]


def waiting(connection: Connection, boot: str) -> list[HeldRow]:
    """Return the attempts that an earlier run of this daemon took and did not begin."""
    return [
        _value(row) for row in connection.execute("SELECT * FROM held WHERE boot <> ? AND state = 'waiting'", (boot,))
    ]


def finished(connection: Connection) -> list[tuple[HeldRow, int]]:
    """Return the attempts whose end is still to be acknowledged, with the numbers of the messages that tell it."""
    return [
        (_value(row), row["finished_seq"])
        for row in connection.execute("SELECT * FROM held WHERE state = 'finished'").fetchall()
    ]


def is_waiting(connection: Connection, origin: DeviceId, job: JobId, attempt: AttemptNumber) -> bool:
    """Return whether an attempt is held and has not begun."""
    row = connection.execute(
        "SELECT state FROM held WHERE origin = ? AND job = ? AND attempt = ?", (origin, job, attempt)
    ).fetchone()
    return row is not None and row["state"] == "waiting"


def is_held(connection: Connection, origin: DeviceId, job: JobId, attempt: AttemptNumber) -> bool:
    """Return whether an attempt is still held and its end not told."""
    row = connection.execute(
        "SELECT state FROM held WHERE origin = ? AND job = ? AND attempt = ?", (origin, job, attempt)
    ).fetchone()
    return row is not None and row["state"] != "finished"
