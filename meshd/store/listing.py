"""Lists of jobs at rest: filtered, searched, sorted, a page at a time; and the figures about all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from meshd.store.database import Row, Store, Value

COLUMNS = (
    "number, job.id, job.kind, job.name, state, placement, priority, timeout_s, retries, offload_timeout_s, cost,"
    " losses, failures, device, reason, progress, best, created_at, started_at, ended_at, error_kind, error_message,"
    " error_detail, exit_code, retry_safe, spread, profile, rerun_of"
)

SORT_KEYS = {
    # Not `created_at`: the wall clock may have been set back between two jobs, their numbers tell the truth.
    "date": "number",
    "name": "job.name COLLATE NOCASE",
    "priority": "priority",
    # As it was at one instant, so that jobs that run meanwhile keep their places; not yet started is shorter than 0.
    "duration": "CASE WHEN started_at < ? THEN min(coalesce(ended_at, ?), ?) - started_at ELSE -1.0 END",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """Which jobs, in which order."""

    states: Sequence[str] = ()
    """Empty: all."""

    kind: str | None = None
    devices: Sequence[str] | None = None
    """Of the newest attempt."""

    words: Sequence[str] = ()
    """Beginnings of words, all of which stand in the id, the name or the spec; empty: any job."""

    since: float | None = None
    until: float | None = None
    """Created then or later, and before."""

    sort: Literal["date", "name", "duration", "priority"] = "date"
    is_descending: bool = True
    at: float = 0.0
    """The instant of durations."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a list a page has ended: the sort key and the number of its last job."""

    key: str | float
    number: int


async def page(store: Store, listing: Listing, after: Place | None, limit: int) -> list[Row]:
    """Return up to `limit` rows that follow `after`, without documents; each has its `sort_key`."""
    text, values = query(listing, after, limit)
    return await store.fetch(text, values)


def query(listing: Listing, after: Place | None, limit: int) -> tuple[str, list[Value]]:
    """Return the SELECT of a page, and its values."""
    if len(listing.states) > 1 and listing.sort == "date" and not listing.words:
        return _merged(listing, after, limit)
    key = SORT_KEYS[listing.sort]
    values: list[Value] = [listing.at] * key.count("?")
    where, given = _conditions(listing, listing.states, after)
    # An alias stands for its expression, so that an index on it is found.
    return (
        f"SELECT {COLUMNS}, {key} AS sort_key FROM {_source(listing)} WHERE {where}"  # noqa: S608
        f" ORDER BY {_order(listing)} LIMIT ?",
        [*values, *given, limit],
    )


def _merged(listing: Listing, after: Place | None, limit: int) -> tuple[str, list[Value]]:
    """Return the SELECT for several states: so many of each, found by its index, and of these the first.

    SQLite alone would sort all jobs of these states, or read all jobs of the others.
    """
    order = _order(listing)
    parts: list[str] = []
    values: list[Value] = []
    for state in listing.states:
        where, given = _conditions(listing, [state], after)
        parts.append(f"SELECT * FROM (SELECT number AS sort_key FROM job WHERE {where} ORDER BY {order} LIMIT ?)")  # noqa: S608
        values += [*given, limit]
    return (
        f"SELECT {COLUMNS}, number AS sort_key FROM job WHERE number IN ({' UNION ALL '.join(parts)})"  # noqa: S608
        f" ORDER BY {order} LIMIT ?",
        [*values, limit],
    )


def _source(listing: Listing) -> str:
    return "job_text CROSS JOIN job ON job.number = job_text.rowid" if listing.words else "job"


def _order(listing: Listing) -> str:
    direction = "DESC" if listing.is_descending else "ASC"
    if listing.sort == "date":
        return f"{'job_text.rowid' if listing.words else 'number'} {direction}"
    return f"sort_key {direction}, number {direction}"


def _conditions(listing: Listing, states: Sequence[str], after: Place | None) -> tuple[str, list[Value]]:
    conditions: list[str] = ["1"]
    values: list[Value] = []

    def also(condition: str, *given: Value) -> None:
        conditions.append(condition)
        values.extend(given)

    if listing.words:
        also("job_text MATCH ?", " AND ".join(f'"{word}"*' for word in listing.words))
    if len(states) == 1:
        also("state = ?", states[0])
    elif states:
        also(f"state IN ({', '.join('?' * len(states))})", *states)
    if listing.kind is not None:
        also("job.kind = ?", listing.kind)
    if listing.devices is not None:
        also(f"device IN ({', '.join('?' * len(listing.devices))})", *listing.devices)
    if listing.since is not None:
        also("created_at >= ?", listing.since)
    if listing.until is not None:
        also("created_at < ?", listing.until)
    if after is not None:
        sign = "<" if listing.is_descending else ">"
        if listing.sort == "date":
            also(f"{'job_text.rowid' if listing.words else 'number'} {sign} ?", after.number)
        else:
            # The first half is what an index can use.
            also(f"sort_key {sign}= ? AND (sort_key {sign} ? OR number {sign} ?)", after.key, after.key, after.number)
    return " AND ".join(conditions), values


async def devices(store: Store) -> list[str]:
    """Return the ids of all devices that have jobs."""
    return [row["device"] for row in await store.fetch("SELECT DISTINCT device FROM job WHERE device IS NOT NULL")]


async def figures(store: Store, *, today: float, week: float) -> list[Row]:
    """Return how many jobs there are of each kind, state and device, how many since these instants, and how long."""
    return await store.fetch(
        "SELECT kind, state, device, count(*) AS jobs, sum(created_at >= ?) AS today, sum(created_at >= ?) AS week,"
        " count(started_at) AS timed, total(ended_at - started_at) AS took_s FROM job GROUP BY kind, state, device",
        (today, week),
    )
