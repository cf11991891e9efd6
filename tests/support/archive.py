"""A history without a daemon: jobs put straight into a store, as they ended."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import msgspec

from meshd.events import Bus
from meshd.jobs.history import History
from meshd.jobs.model import Job
from meshd.jobs.origin import Origin
from meshd.jobs.query import JobQuery
from meshd.jobs.views import Live
from meshd.store import jobs as rows
from meshd.store.database import Connection, SqliteStore, Value, open_store
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.localapi import END_STATES, JobView
from tests.support.manual_clock import ManualClock

HERE, PC = DeviceId("herehereherehere"), DeviceId("pcpcpcpcpcpcpcpc")
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


class NoFiles:
    """No files, so that none has to go with its job."""

    def deleted(self, gone: Iterable[tuple[JobId, str | None]]) -> None:
        list(gone)


class NoOpenJobs:
    """An origin that has nothing newer than what is on disk."""

    def __init__(self) -> None:
        self.files = NoFiles()

    def job(self, job: JobId) -> tuple[Job, Live | None] | None:
        del job
        return None


@dataclass(slots=True)
class Archive:
    """A store with jobs, and the history of it."""

    store: SqliteStore
    clock: ManualClock
    history: History
    made: int = 0
    ids: list[str] = field(default_factory=list[str])

    async def put(self, state: str = "completed", *, spec: object = None, **fields: Value) -> str:
        """Add a job; unless told otherwise it ran here for a second, now."""
        (job,) = await self.put_all([{"state": state, "spec": spec, **fields}])
        return job

    async def put_all(self, jobs: list[dict[str, object]]) -> list[str]:
        """Add jobs in one transaction."""
        made = [self._row(dict(job)) for job in jobs]

        def insert(connection: Connection) -> None:
            for row in made:
                documents = {column: row.pop(column) for column in rows.DOCUMENTS if column in row}
                rows.insert(connection, row, documents)

        await self.store.write(insert)
        self.ids += [str(row["id"]) for row in made]
        return self.ids[-len(made) :]

    def _row(self, job: dict[str, object]) -> dict[str, Value]:
        self.made += 1
        number, identity = self.made, ""
        for _ in range(12):
            number, digit = divmod(number, 32)
            identity = LETTERS[digit] + identity
        now = self.clock.wall()
        state = job.get("state", "completed")
        has_ended = state in END_STATES
        spec = msgspec.json.encode(job.pop("spec", None) or {})
        default: dict[str, object] = {
            "state": state,
            "id": identity,
            "kind": "plain",
            "name": "plain job",
            "placement": "auto",
            "priority": 0,
            "timeout_s": 0.0,
            "retries": 0,
            "offload_timeout_s": 30.0,
            "device": HERE,
            "created_at": now,
            "started_at": None if state == "queued" else now,
            "ended_at": now + 1.0 if has_ended else None,
            "spec": spec,
            "resolved": spec,
            "result": b'{"answer":42}' if state == "completed" else None,
        }
        return cast("dict[str, Value]", {**default, **job})

    async def pages(self, query: JobQuery, limit: int = 50) -> list[str]:
        """Return the ids of all jobs that match, in order, as page after page gives them."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await self.history.jobs(query, limit=limit, cursor=cursor)
            new = [job.id for job in page.jobs]
            assert not set(new) & set(found), "a job is shown twice"
            found += new
            cursor = page.cursor
            if cursor is None:
                return found

    async def search(self, text: str) -> list[str]:
        """Return the ids of the jobs that a search finds."""
        return await self.pages(JobQuery(text=text))

    async def left(self) -> list[str]:
        """Return the ids of the jobs that there are, in the order of their submission."""
        return [row["id"] for row in await self.store.fetch("SELECT id FROM job ORDER BY number")]


@asynccontextmanager
async def open_archive(folder: Path) -> AsyncGenerator[Archive]:
    """Open an empty history."""
    clock = ManualClock()
    bus: Bus[JobView] = Bus()

    def names(device: DeviceId) -> str:
        return {HERE: "here", PC: "Pc"}.get(device, device)

    async with open_store(folder / "mesh.db") as store:
        origin = cast("Origin", NoOpenJobs())
        yield Archive(
            store,
            clock,
            History(device=HERE, store=store, origin=origin, names=names, clock=clock, bus=bus),
        )
