"""Jobs, attempts and their story at rest, as rows; what they mean is `meshd.jobs.model`'s business."""

from collections.abc import Iterable, Mapping, Sequence

from meshd.store.database import Connection, Row, Store, Value


def insert(connection: Connection, job: Mapping[str, Value]) -> None:
    """Add a job."""
    _insert(connection, "job", job)


def update(connection: Connection, job: str, changed: Mapping[str, Value]) -> None:
    """Change columns of a job."""
    if changed:
        assignments = ", ".join(f"{column} = ?" for column in changed)
        connection.execute(f"UPDATE job SET {assignments} WHERE id = ?", (*changed.values(), job))  # noqa: S608


def put_attempt(connection: Connection, attempt: Mapping[str, Value]) -> None:
    """Add an attempt, or replace the one with its number."""
    _insert(connection, "attempt", attempt, verb="INSERT OR REPLACE")


def add_transitions(connection: Connection, job: str, at: float, story: Iterable[tuple[int | None, str, str]]) -> None:
    """Add (attempt, state, cause) to the story of a job."""
    connection.executemany(
        "INSERT INTO transition (job, attempt, state, at, cause) VALUES (?, ?, ?, ?, ?)",
        [(job, attempt, state, at, cause) for attempt, state, cause in story],
    )


def store_progress(connection: Connection, job: str, attempt: int, share: float, best: str) -> None:
    """Note how far an open job is."""
    connection.execute("UPDATE job SET progress = ?, best = ? WHERE id = ? AND ended_at IS NULL", (share, best, job))
    connection.execute(
        "UPDATE attempt SET progress = ? WHERE job = ? AND number = ? AND ended_at IS NULL", (share, job, attempt)
    )


def rows(connection: Connection, job: str) -> tuple[Row, list[Row]] | None:
    """Return the row of a job and those of its attempts, by number; None when there is no such job."""
    row = connection.execute("SELECT * FROM job WHERE id = ?", (job,)).fetchone()
    if row is None:
        return None
    return row, connection.execute("SELECT * FROM attempt WHERE job = ? ORDER BY number", (job,)).fetchall()


def open_ids(connection: Connection) -> list[str]:
    """Return the ids of the jobs that have not ended, in the order of their submission."""
    return [row["id"] for row in connection.execute("SELECT id FROM job WHERE ended_at IS NULL ORDER BY number")]


def id_of_key(connection: Connection, idempotency_key: str) -> str | None:
    """Return the job that was made for this key."""
    row = connection.execute("SELECT id FROM job WHERE idempotency_key = ?", (idempotency_key,)).fetchone()
    return None if row is None else row["id"]


async def find(store: Store, text: str, limit: int) -> list[str]:
    """Return up to `limit` ids that begin with `text`; the id itself alone when it is whole."""
    found = await store.fetch(
        "SELECT id FROM job WHERE id >= ? AND id < ? ORDER BY number DESC LIMIT ?", (text, text + "~", limit)
    )
    ids = [row["id"] for row in found]
    return [text] if text in ids else ids


LIST_COLUMNS = (
    "number, id, kind, name, state, placement, priority, timeout_s, retries, offload_timeout_s, cost, losses,"
    " failures, device, reason, progress, best, created_at, started_at, ended_at, error_kind, error_message,"
    " error_detail, rerun_of, NULL AS spec, NULL AS resolved, NULL AS result"
)


async def page(
    store: Store,
    *,
    states: Sequence[str],
    kind: str | None,
    query: str | None,
    before: int | None,
    limit: int,
) -> list[Row]:
    """Return the rows of the newest jobs that match, without their documents."""
    conditions: list[str] = ["1"]
    values: list[Value] = []
    if states:
        conditions.append(f"state IN ({', '.join('?' * len(states))})")
        values += states
    if kind is not None:
        conditions.append("kind = ?")
        values.append(kind)
    if query:
        conditions.append("(instr(lower(name), lower(?)) > 0 OR id = ?)")
        values += [query, query]
    if before is not None:
        conditions.append("number < ?")
        values.append(before)
    text = f"SELECT {LIST_COLUMNS} FROM job WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?"  # noqa: S608
    return await store.fetch(text, (*values, limit))


async def job_row(store: Store, job: str) -> Row | None:
    """Return the whole row of a job."""
    found = await store.fetch("SELECT * FROM job WHERE id = ?", (job,))
    return found[0] if found else None


async def attempt_rows(store: Store, ids: Sequence[str]) -> dict[str, list[Row]]:
    """Return the attempts of these jobs, by number."""
    found: dict[str, list[Row]] = {job: [] for job in ids}
    marks = ", ".join("?" * len(ids))
    for row in await store.fetch(
        f"SELECT * FROM attempt WHERE job IN ({marks}) ORDER BY job, number",  # noqa: S608
        ids,
    ):
        found[row["job"]].append(row)
    return found


async def story_rows(store: Store, job: str) -> list[Row]:
    """Return the transitions of a job, in order."""
    return await store.fetch("SELECT * FROM transition WHERE job = ? ORDER BY number", (job,))


async def counts(store: Store) -> dict[str, int]:
    """Return how many jobs are in each state."""
    return {row["state"]: row["n"] for row in await store.fetch("SELECT state, count(*) AS n FROM job GROUP BY state")}


def _insert(connection: Connection, table: str, values: Mapping[str, Value], verb: str = "INSERT") -> None:
    columns = ", ".join(values)
    marks = ", ".join("?" * len(values))
    connection.execute(f"{verb} INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))
