"""The jobs as users ask for them: submitted, listed, shown, cancelled, repeated, deleted, exported, followed."""

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from meshd.clock import Clock
from meshd.config import Profile
from meshd.errors import Conflict, NotFound, UsageError
from meshd.events import Bus
from meshd.jobs.model import Job, job_from_rows
from meshd.jobs.origin import Origin
from meshd.jobs.profiles import applied
from meshd.jobs.query import Bookmark, JobQuery, cursor, read_cursor
from meshd.jobs.retention import DAY_S, delete_jobs
from meshd.jobs.views import Live, Names, job_view
from meshd.kinds.lineups.upload import upload_csv
from meshd.store import jobs as rows
from meshd.store import listing
from meshd.store.database import Row, Store
from meshd_protocol import codec
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.localapi import (
    EndState,
    JobAccepted,
    JobCounts,
    JobPage,
    JobRequest,
    JobStats,
    JobView,
)

MAX_CANDIDATES = 5
"""Ids that an ambiguous prefix is answered with."""

MAX_NAME = 64

_WHOLE_ID = re.compile(r"[a-z2-7]{12}")
"""No other id begins with it, so that nobody has to look for one."""

RERUN = " (re-run)"

EXPORTED_AT_ONCE = 8
"""Jobs in memory while all are exported: each has up to three documents of a megabyte."""


class History:
    """The jobs of which this device is the origin: see `meshd.api.services.Jobs`."""

    def __init__(
        self,
        *,
        device: DeviceId,
        store: Store,
        origin: Origin,
        names: Names,
        clock: Clock,
        bus: Bus[JobView],
        profiles: Mapping[str, Profile] | None = None,
    ) -> None:
        self._device = device
        self._store = store
        self._origin = origin
        self._names = names
        self._clock = clock
        self._bus = bus
        self._profiles = profiles or {}

    async def submit(self, request: JobRequest, *, idempotency_key: str | None) -> JobAccepted:
        """Return once the job is on disk."""
        return await self._origin.submit(applied(request, self._profiles), idempotency_key=idempotency_key)

    async def submit_batch(self, requests: Sequence[JobRequest]) -> Sequence[JobAccepted]:
        """Return once all of these jobs are on disk."""
        return await self._origin.submit_batch([applied(request, self._profiles) for request in requests])

    async def rerun(self, job: str, *, idempotency_key: str | None) -> JobAccepted:
        """Submit what was submitted then, once more; its defaults are those of today."""
        found = await self.find(job)
        row = await self._row(found)
        request = JobRequest(
            kind=row["kind"],
            spec=codec.decode_document(row["spec"]),
            name=rerun_name(row["name"]),
            placement=row["placement"],
            priority=row["priority"],
            timeout_s=row["timeout_s"],
            retries=row["retries"],
            offload_timeout_s=row["offload_timeout_s"],
        )
        return await self._origin.submit(request, idempotency_key=idempotency_key, rerun_of=found)

    async def cancel(self, job: str, *, reason: str) -> JobView:
        """End the job and return it."""
        found = await self.find(job)
        await self._origin.cancel(found, reason=reason)
        return await self.job(found)

    async def delete(self, job: str) -> None:
        """Delete a job that has ended, with all that is known of it."""
        found = await self.find(job)
        row = await self._row(found)
        if not await delete_jobs(self._store, [row["number"]], forget=self._origin.files.deleted):
            raise Conflict(
                f"the job {found} has not ended, and cannot be deleted: it is {row['state']}",
                hint=f"end it first: meshd cancel {found}",
            )

    async def clear(self, states: Sequence[EndState]) -> int:
        """Delete all jobs that have ended in one of these states by now."""
        gone = await rows.ended(self._store, states)
        return await delete_jobs(self._store, gone, forget=self._origin.files.deleted)

    async def job(self, job: str) -> JobView:
        """Return the job with its documents and its story."""
        found = JobId(job) if _WHOLE_ID.fullmatch(job) else await self.find(job)
        whole = await rows.whole(self._store, found)
        if whole is None:
            raise NotFound(f"no job has the id {job!r}", hint="meshd jobs lists them")
        return self._view(*whole, self._clock.wall())

    def glance(self, job: str) -> JobView | None:
        """Return an open job, without documents and story; None: it has ended, or `job` is not its whole id."""
        found = self._origin.job(JobId(job))
        if found is None:
            return None
        return job_view(found[0], names=self._names, now=self._clock.wall(), live=found[1])

    async def csv(self, job: str) -> str:
        """Return the result as a table that the site of its slate takes."""
        row = await self._row(await self.find(job))
        if row["kind"] != "lineups":
            raise Conflict(
                f"only lineups can be exported as CSV: the job {row['id']} is of another kind: {row['kind']}",
                hint=f"as JSON: meshd export {row['id']}",
            )
        if row["result"] is None:
            raise Conflict(
                f"the job {row['id']} has no lineups to export: it is {row['state']}",
                hint=f"look at it: meshd show {row['id']}",
            )
        return upload_csv(row["result"])

    async def every(self) -> AsyncGenerator[JobView]:
        """Yield all jobs in the order of their submission, with their documents and stories."""
        number = 0
        while page := await rows.document_rows(self._store, number, EXPORTED_AT_ONCE):
            for view in await self._whole(page):
                yield view
            number = page[-1]["number"]

    async def jobs(self, query: JobQuery, *, limit: int, cursor: str | None) -> JobPage:
        """Return a page of the jobs that match, without documents."""
        now = self._clock.wall()
        mark = None if cursor is None else read_cursor(cursor, query)
        wanted = listing.Listing(
            states=query.states,
            kind=query.kind,
            devices=None if query.device is None else await self._devices(query.device),
            words=query.words,
            since=query.since,
            until=query.until,
            sort=query.sort,
            is_descending=query.is_descending,
            at=now if mark is None else mark.at,
        )
        if query.text is not None and not query.words:
            return JobPage(jobs=[], cursor=None)
        found = await listing.page(self._store, wanted, None if mark is None else mark.place, limit + 1)
        page = found[:limit]
        attempts = await rows.attempt_rows(self._store, [row["id"] for row in page])
        views: list[JobView] = []
        for row in page:
            job, live = self._fresh(job_from_rows(row, attempts[row["id"]]))
            views.append(job_view(job, names=self._names, now=now, live=live))
        return JobPage(jobs=views, cursor=_next(query, wanted, page[-1]) if len(found) > limit else None)

    def changes(self, job: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[JobView]]:
        """Subscribe to every change of all jobs, or of the one that has this whole id."""
        return self._bus.listen(job)

    async def counts(self) -> JobCounts:
        """Return how many jobs are in each state."""
        return JobCounts(**await rows.counts(self._store))

    async def stats(self) -> JobStats:
        """Return figures about all jobs."""
        now = self._clock.wall()
        day = time.localtime(now)
        midnight = time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))
        states: dict[str, int] = {}
        kinds: dict[str, int] = {}
        devices: dict[str, int] = {}
        timed: dict[str, tuple[int, float]] = {}
        today = week = 0
        for row in await listing.figures(self._store, today=midnight, week=now - 7 * DAY_S):
            states[row["state"]] = states.get(row["state"], 0) + row["jobs"]
            kinds[row["kind"]] = kinds.get(row["kind"], 0) + row["jobs"]
            if row["device"] is not None:
                name = self._names(row["device"])
                devices[name] = devices.get(name, 0) + row["jobs"]
            if row["state"] == "completed" and row["timed"]:
                count, took_s = timed.get(row["kind"], (0, 0.0))
                timed[row["kind"]] = count + row["timed"], took_s + row["took_s"]
            today += row["today"]
            week += row["week"]
        return JobStats(
            states=JobCounts(**states),
            kinds=kinds,
            devices=devices,
            today=today,
            last_7_days=week,
            mean_duration_s={kind: round(took_s / count, 3) for kind, (count, took_s) in timed.items()},
        )

    async def _whole(self, found: Sequence[Row]) -> list[JobView]:
        ids = [row["id"] for row in found]
        attempts = await rows.attempt_rows(self._store, ids)
        stories = await rows.story_rows(self._store, ids)
        now = self._clock.wall()
        return [self._view(row, attempts[row["id"]], stories[row["id"]], now) for row in found]

    def _view(self, row: Row, attempts: Sequence[Row], story: Sequence[Row], now: float) -> JobView:
        job, live = self._fresh(job_from_rows(row, attempts))
        return job_view(job, names=self._names, now=now, live=live, documents=row, story=story)

    def _fresh(self, stored: Job) -> tuple[Job, Live | None]:
        """Return the job with what is newer in memory: how far it is, and why it waits."""
        found = self._origin.job(stored.id)
        if found is None or stored.has_ended:
            return stored, None
        return found

    async def _devices(self, text: str) -> list[str]:
        """Return the ids of the devices that somebody means who writes `text`; they may be unpaired by now."""
        wanted = text.casefold()
        return [
            device
            for device in await listing.devices(self._store)
            if wanted in (device, self._names(DeviceId(device)).casefold())
            or (wanted == "local" and device == self._device)
        ]

    async def _row(self, job: JobId) -> Row:
        row = await rows.job_row(self._store, job)
        if row is None:
            raise NotFound(f"no job has the id {job!r}", hint="meshd jobs lists them")
        return row

    async def find(self, text: str) -> JobId:
        """Return the id of the job that somebody means who writes `text`."""
        wanted = text.strip().lower()
        ids = await rows.find(self._store, wanted, MAX_CANDIDATES + 1) if wanted else []
        if not ids:
            raise NotFound(f"no job has the id {text!r}", hint="meshd jobs lists them")
        if len(ids) > 1:
            raise UsageError(
                f"several jobs have an id that begins with {text!r}", hint=f"one of {', '.join(ids[:MAX_CANDIDATES])}"
            )
        return JobId(ids[0])


def rerun_name(name: str) -> str:
    """Return the name of a job that repeats one of this name, or one that repeats that."""
    return name.removesuffix(RERUN)[: MAX_NAME - len(RERUN)] + RERUN


def _next(query: JobQuery, wanted: listing.Listing, last: Row) -> str:
    return cursor(query, Bookmark(listing.Place(last["sort_key"], last["number"]), wanted.at))
