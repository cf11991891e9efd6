"""Jobs, attempts and their story at rest, as rows; what they mean is `meshd.jobs.model`'s business."""

from collections.abc import Mapping, Sequence

from meshd.store.database import Connection, Row, Store, Value

DOCUMENTS = ("spec", "resolved", "result", "manifest")
"""What lies apart from the row of a job, and comes only where it is asked for."""

Told = tuple[str, int | None, str, float, str]
"""A line of a story: the job, the attempt, the state, since when, and why."""


TOLD_TOGETHER = 8
"""Lines of stories in one statement: as many forms of it are remembered."""


def insert(connection: Connection, job: Mapping[str, Value], documents: Mapping[str, Value]) -> int:
    """Add a job and its documents; return its number."""
    number = _insert(connection, "job", job)
    _insert(connection, "document", {"job": number, **documents})
    return number


def update(connection: Connection, number: int, changed: Mapping[str, Value]) -> None:
    """Change columns of a job; its `result` and its `manifest` are two."""
    documents = {column: changed[column] for column in ("result", "manifest") if column in changed}
    if documents:
        # First, because a job completes with a result or not at all.
        _update(connection, "document", "job = ?", documents, (number,))
    row = {column: value for column, value in changed.items() if column not in documents}
    if row:
        _update(connection, "job", "number = ?", row, (number,))


def delete(connection: Connection, numbers: Sequence[int]) -> int:
    """Delete those of these jobs that have ended, with all that hangs on them; return how many it were."""
    marks = ", ".join("?" * len(numbers))
    gone = connection.execute(
        f"DELETE FROM job WHERE number IN ({marks}) AND ended_at IS NOT NULL RETURNING number",  # noqa: S608
        numbers,
    )
    return len(gone.fetchall())


def add_attempt(connection: Connection, attempt: Mapping[str, Value]) -> None:
    """Add an attempt."""
    _insert(connection, "attempt", attempt)


def change_attempt(connection: Connection, job: str, number: int, changed: Mapping[str, Value]) -> None:
    """Change columns of an attempt."""
    _update(connection, "attempt", "job = ? AND number = ?", changed, (job, number))


def add_transitions(connection: Connection, story: Sequence[Told]) -> None:
    """Add to the stories of jobs."""
    # One statement for all of them: with each, this thread lets go of the interpreter, and has to wait for it.
    for start in range(0, len(story), TOLD_TOGETHER):
        some = story[start : start + TOLD_TOGETHER]
        marks = ", ".join(["(?, ?, ?, ?, ?)"] * len(some))
        connection.execute(
            f"INSERT INTO transition (job, attempt, state, at, cause) VALUES {marks}",  # noqa: S608
            [value for line in some for value in line],
        )


def resolved(connection: Connection, number: int) -> bytes:
    """Return the resolved spec of a job."""
    return connection.execute("SELECT resolved FROM document WHERE job = ?", (number,)).fetchone()["resolved"]


def store_progress(connection: Connection, job: str, attempt: int, share: float, best: str) -> None:
    """Note how far an open job is."""
    connection.execute("UPDATE job SET progress = ?, best = ? WHERE id = ? AND ended_at IS NULL", (share, best, job))
    connection.execute(
        "UPDATE attempt SET progress = ? WHERE job = ? AND number = ? AND ended_at IS NULL", (share, job, attempt)
    )


def rows(connection: Connection, job: str) -> tuple[Row, list[Row]] | None:
    """Return the row of a job, resolved spec included, and those of its attempts, by number; None: no such job."""
    row = connection.execute(
        "SELECT job.*, document.resolved FROM job JOIN document ON document.job = job.number WHERE id = ?", (job,)
    ).fetchone()
    if row is None:
        return None
    return row, connection.execute("SELECT * FROM attempt WHERE job = ? ORDER BY number", (job,)).fetchall()


def is_open(connection: Connection, job: str, attempt: int) -> bool:
    """Return whether an attempt may still change its job."""
    row = connection.execute(
        "SELECT 1 FROM attempt JOIN job ON job.id = attempt.job"
        " WHERE job.id = ? AND attempt.number = ? AND attempt.ended_at IS NULL AND job.ended_at IS NULL",
        (job, attempt),
    ).fetchone()
    return row is not None


def is_of(connection: Connection, job: str, attempt: int, device: str) -> bool:
    """Return whether an attempt is this device's."""
    row = connection.execute(
        "SELECT 1 FROM attempt WHERE job = ? AND number = ? AND device = ?", (job, attempt, device)
    ).fetchone()
    return row is not None


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


_WHOLE = (
    "SELECT job.*, spec, resolved, result, manifest FROM job JOIN document ON document.job = job.number WHERE id = ?"
)


async def job_row(store: Store, job: str) -> Row | None:
    """Return the whole row of a job, with its documents."""
    found = await store.fetch(_WHOLE, (job,))
    return found[0] if found else None


async def whole(store: Store, job: str) -> tuple[Row, list[Row], list[Row]] | None:
    """Return the whole row of a job, its attempts by number, and its transitions in order; None: no such job."""
    found, attempts, story = await store.fetch_all(
        [
            (_WHOLE, (job,)),
            ("SELECT * FROM attempt WHERE job = ? ORDER BY number", (job,)),
            ("SELECT * FROM transition WHERE job = ? ORDER BY number", (job,)),
        ]
    )
    return (found[0], attempts, story) if found else None


async def attempt_rows(store: Store, ids: Sequence[str]) -> dict[str, list[Row]]:
    """Return the attempts of each of these jobs, by number."""
    found: dict[str, list[Row]] = {job: [] for job in ids}
    marks = ", ".join("?" * len(ids))
    for row in await store.fetch(
        f"SELECT * FROM attempt WHERE job IN ({marks}) ORDER BY job, number",  # noqa: S608
        ids,
    ):
        found[row["job"]].append(row)
    return found


async def document_rows(store: Store, after: int, limit: int) -> list[Row]:
    """Return the whole rows of the jobs that were submitted after number `after`, in that order."""
    return await store.fetch(
        "SELECT job.*, spec, resolved, result, manifest FROM job JOIN document ON document.job = job.number"
        " WHERE number > ? ORDER BY number LIMIT ?",
        (after, limit),
    )


async def story_rows(store: Store, ids: Sequence[str]) -> dict[str, list[Row]]:
    """Return the transitions of these jobs, in order."""
    found: dict[str, list[Row]] = {job: [] for job in ids}
    marks = ", ".join("?" * len(ids))
    for row in await store.fetch(
        f"SELECT * FROM transition WHERE job IN ({marks}) ORDER BY job, number",  # noqa: S608
        ids,
    ):
        found[row["job"]].append(row)
    return found


async def ended(store: Store, states: Sequence[str]) -> list[int]:
    """Return the numbers of the jobs that have ended in one of these states."""
    marks = ", ".join("?" * len(states))
    found = await store.fetch(
        f"SELECT number FROM job WHERE state IN ({marks}) AND ended_at IS NOT NULL",  # noqa: S608
        states,
    )
    return [row["number"] for row in found]


async def ended_before(store: Store, at: float) -> list[int]:
    """Return the numbers of the jobs that had ended before then."""
    return [row["number"] for row in await store.fetch("SELECT number FROM job WHERE ended_at < ?", (at,))]


async def ended_beyond(store: Store, keep: int) -> list[int]:
    """Return the numbers of the jobs that have ended, without the newest `keep` of them."""
    found = await store.fetch(
        "SELECT number FROM job WHERE ended_at IS NOT NULL ORDER BY number DESC LIMIT -1 OFFSET ?", (keep,)
    )
    return [row["number"] for row in found]


async def counts(store: Store) -> dict[str, int]:
    """Return how many jobs are in each state."""
    return {row["state"]: row["n"] for row in await store.fetch("SELECT state, count(*) AS n FROM job GROUP BY state")}


def _insert(connection: Connection, table: str, values: Mapping[str, Value]) -> int:
    columns = ", ".join(values)
    marks = ", ".join("?" * len(values))
    inserted = connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
    return inserted.lastrowid or 0


def _update(
    connection: Connection, table: str, where: str, values: Mapping[str, Value], key: tuple[Value, ...]
) -> None:
    assignments = ", ".join([f"{column} = ?" for column in values])
    connection.execute(f"UPDATE {table} SET {assignments} WHERE {where}", (*values.values(), *key))  # noqa: S608
