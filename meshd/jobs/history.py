"""The jobs as users ask for them: submitted, listed, shown, cancelled, followed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

from meshd.clock import Clock
from meshd.errors import BadInput, NotFound, UsageError
from meshd.events import Bus
from meshd.jobs.model import Job, job_from_rows
from meshd.jobs.origin import Origin
from meshd.jobs.views import Live, Names, job_view
from meshd.store import jobs as rows
from meshd.store.database import Store
from meshd_protocol.ids import JobId
from meshd_protocol.localapi import JobAccepted, JobCounts, JobPage, JobRequest, JobState, JobView

MAX_CANDIDATES = 5
"""Ids that an ambiguous prefix is answered with."""


class History:
    """The jobs of which this device is the origin: see `meshd.api.services.Jobs`."""

    def __init__(self, *, store: Store, origin: Origin, names: Names, clock: Clock, bus: Bus[JobView]) -> None:
        self._store = store
        self._origin = origin
        self._names = names
        self._clock = clock
        self._bus = bus

    async def submit(self, request: JobRequest, *, idempotency_key: str | None) -> JobAccepted:
        """Return once the job is on disk."""
        return await self._origin.submit(request, idempotency_key=idempotency_key)

    async def cancel(self, job: str, *, reason: str) -> JobView:
        """End the job and return it."""
        found = await self._find(job)
        await self._origin.cancel(found, reason=reason)
        return await self.job(found)

    async def job(self, job: str) -> JobView:
        """Return the job with its documents and its story."""
        found = await self._find(job)
        row = await rows.job_row(self._store, found)
        if row is None:
            raise NotFound(f"no job has the id {job!r}", hint="meshd jobs lists them")
        attempts = await rows.attempt_rows(self._store, [found])
        story = await rows.story_rows(self._store, found)
        stored, live = self._fresh(job_from_rows(row, attempts[found]))
        return job_view(stored, names=self._names, now=self._clock.wall(), live=live, documents=row, story=story)

    async def jobs(
        self, *, states: Sequence[JobState], kind: str | None, query: str | None, limit: int, cursor: str | None
    ) -> JobPage:
        """Return a page of jobs, the newest first, without documents."""
        before = None
        if cursor is not None:
            if not cursor.isdecimal():
                raise BadInput("the cursor is not one that a page of jobs gave", field="cursor")
            before = int(cursor)
        found = await rows.page(self._store, states=states, kind=kind, query=query, before=before, limit=limit + 1)
        page = found[:limit]
        attempts = await rows.attempt_rows(self._store, [row["id"] for row in page])
        now = self._clock.wall()
        views: list[JobView] = []
        for row in page:
            job, live = self._fresh(job_from_rows(row, attempts[row["id"]]))
            views.append(job_view(job, names=self._names, now=now, live=live))
        return JobPage(jobs=views, cursor=str(page[-1]["number"]) if len(found) > limit else None)

    def changes(self) -> AbstractAsyncContextManager[AsyncIterator[JobView]]:
        """Subscribe to every change of a job."""
        return self._bus.listen()

    async def counts(self) -> JobCounts:
        """Return how many jobs are in each state."""
        return JobCounts(**await rows.counts(self._store))

    def _fresh(self, stored: Job) -> tuple[Job, Live | None]:
        """Return the job with what is newer in memory: how far it is, and why it waits."""
        found = self._origin.job(stored.id)
        if found is None or stored.has_ended:
            return stored, None
        return found

    async def _find(self, text: str) -> JobId:
        wanted = text.strip().lower()
        ids = await rows.find(self._store, wanted, MAX_CANDIDATES + 1) if wanted else []
        if not ids:
            raise NotFound(f"no job has the id {text!r}", hint="meshd jobs lists them")
        if len(ids) > 1:
            raise UsageError(
                f"several jobs have an id that begins with {text!r}", hint=f"one of {', '.join(ids[:MAX_CANDIDATES])}"
            )
        return JobId(ids[0])
