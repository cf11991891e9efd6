"""Routes about jobs."""

import asyncio
import hashlib
import logging
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Literal, cast, get_args

import msgspec
from aiohttp import web

from meshd.api.answers import answer, body, number
from meshd.api.endpoint import Endpoint, Parameter
from meshd.api.instants import instant
from meshd.api.services import Jobs
from meshd.errors import BadInput
from meshd.jobs.query import JobQuery
from meshd_protocol.localapi import (
    END_STATES,
    NO_DOCUMENT,
    JobAccepted,
    JobBatch,
    JobClear,
    JobPage,
    JobRequest,
    JobsAccepted,
    JobsDeleted,
    JobSort,
    JobState,
    JobStats,
    JobView,
)

log = logging.getLogger(__name__)

MAX_WAIT_S = 25.0
"""The longest a request waits: shorter than the 30 s after which proxies and clients give up on silence."""

MAX_PAGE = 500
DEFAULT_PAGE = 50

MAX_KEY = 128
"""Characters of an idempotency key: a UUID and a prefix, and some room."""

MAX_QUERY = 256


JSON_LINES = "application/jsonl"

FILTERS = (
    Parameter("state", JobState, "Only jobs in this state; several times, or several with commas."),
    Parameter("kind", str, "Only jobs of this kind."),
    Parameter("device", str, "Only jobs whose newest attempt was on this device: its name or id, or `local`."),
    Parameter("q", str, "Only jobs with all these words in their id, name or spec; the beginning of a word does."),
    Parameter("since", str, "Only jobs submitted then or later: a date, or an instant in ISO 8601."),
    Parameter("until", str, "Only jobs submitted before, or on that date or before."),
    Parameter("sort", JobSort, "In which order; `date` without it."),
    Parameter("order", Literal["asc", "desc"], "`desc` without it."),
    Parameter("limit", int, "How many on a page, 50 without it."),
    Parameter("cursor", str, "What the page before gave, for the page that follows it."),
)


class JobRoutes:
    """Submit, look, wait, cancel, repeat, delete, export."""

    def __init__(self, *, jobs: Jobs) -> None:
        self._jobs = jobs

    def table(self) -> list[Endpoint]:
        """Return the routes; those with a name before those with an id in its place."""
        jobs = "/api/v1/jobs"
        job = jobs + "/{job}"
        seen = Parameter("seen", str, "The `ETag` of the answer before.")
        timeout = Parameter("timeout_s", float, "How long to wait, 25 s at most.")
        format_ = Parameter("format", Literal["json", "csv"], "`csv`: the lineups, as their site takes them.")
        return [
            Endpoint(method="POST", path=jobs, handler=self.submit, takes=JobRequest, gives=JobAccepted, status=201),
            Endpoint(method="GET", path=jobs, handler=self.list, gives=JobPage, query=FILTERS),
            Endpoint(method="GET", path=f"{jobs}/stats", handler=self.stats, gives=JobStats),
            Endpoint(
                method="GET", path=f"{jobs}/export", handler=self.export_all, gives=None, also={JSON_LINES: JobView}
            ),
            Endpoint(
                method="POST",
                path=f"{jobs}/batch",
                handler=self.submit_batch,
                takes=JobBatch,
                gives=JobsAccepted,
                status=201,
            ),
            Endpoint(method="POST", path=f"{jobs}/clear", handler=self.clear, takes=JobClear, gives=JobsDeleted),
            Endpoint(method="GET", path=job, handler=self.show, gives=JobView),
            Endpoint(method="DELETE", path=job, handler=self.delete, gives=JobsDeleted),
            Endpoint(method="GET", path=f"{job}/wait", handler=self.wait, gives=JobView, query=(seen, timeout)),
            Endpoint(
                method="GET",
                path=f"{job}/export",
                handler=self.export,
                gives=JobView,
                also={"text/csv": str},
                query=(format_,),
            ),
            Endpoint(method="POST", path=f"{job}/cancel", handler=self.cancel, gives=JobView),
            Endpoint(method="POST", path=f"{job}/rerun", handler=self.rerun, gives=JobAccepted, status=201),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """Take a `JobRequest`; return `JobAccepted` with 201 once the job is on disk."""
        accepted = await self._jobs.submit(await body(request, JobRequest), idempotency_key=_key(request))
        return answer(accepted, status=201, headers={"Location": f"/api/v1/jobs/{accepted.id}"})

    async def submit_batch(self, request: web.Request) -> web.Response:
        """Take a `JobBatch`; return `JobsAccepted` with 201 once all of its jobs are on disk, or none of them."""
        batch = await body(request, JobBatch)
        return answer(JobsAccepted(jobs=list(await self._jobs.submit_batch(batch.jobs))), status=201)

    async def rerun(self, request: web.Request) -> web.Response:
        """Submit the same spec once more, as a new job; return `JobAccepted` with 201 once that is on disk."""
        await body(request, dict[str, object])
        accepted = await self._jobs.rerun(request.match_info["job"], idempotency_key=_key(request))
        return answer(accepted, status=201, headers={"Location": f"/api/v1/jobs/{accepted.id}"})

    async def list(self, request: web.Request) -> web.Response:
        """Return a `JobPage`: the newest first, unless asked otherwise."""
        limit = number(request, "limit", DEFAULT_PAGE, least=1, most=MAX_PAGE)
        text = request.query.get("q") or None
        if text is not None and len(text) > MAX_QUERY:
            raise BadInput(f"q: expected at most {MAX_QUERY} characters", field="q")
        query = JobQuery(
            states=_states(request.query.getall("state", [])),
            kind=request.query.get("kind") or None,
            device=request.query.get("device") or None,
            text=text,
            since=instant(request, "since"),
            until=instant(request, "until", end_of_day=True),
            sort=cast("JobSort", _one_of(request, "sort", get_args(JobSort))),
            is_descending=_one_of(request, "order", ("desc", "asc")) == "desc",
        )
        return answer(await self._jobs.jobs(query, limit=int(limit), cursor=request.query.get("cursor") or None))

    async def stats(self, request: web.Request) -> web.Response:
        """Return the `JobStats`."""
        del request
        return answer(await self._jobs.stats())

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a job that has ended; return `JobsDeleted`."""
        await self._jobs.delete(request.match_info["job"])
        return answer(JobsDeleted(deleted=1))

    async def clear(self, request: web.Request) -> web.Response:
        """Delete all jobs that have ended in one of some states; return `JobsDeleted`."""
        wanted = await body(request, JobClear)
        return answer(JobsDeleted(deleted=await self._jobs.clear(wanted.states)))

    async def export(self, request: web.Request) -> web.Response:
        """Return the whole `JobView` as a file to keep; with `format=csv` its lineups, as their site takes them."""
        job = request.match_info["job"]
        view = await self._jobs.job(job)
        if _one_of(request, "format", ("json", "csv")) == "csv":
            text, media, suffix = (await self._jobs.csv(view.id)).encode(), "text/csv", "csv"
        else:
            text, media, suffix = msgspec.json.format(msgspec.json.encode(view)), "application/json", "json"
        headers = {"Content-Disposition": f'attachment; filename="{file_name(view)}.{suffix}"'}
        return web.Response(body=text, content_type=media, charset="utf-8", headers=headers)

    async def export_all(self, request: web.Request) -> web.StreamResponse:
        """Send all jobs, whole, in the order of their submission, a `JobView` a line."""
        response = web.StreamResponse(
            headers={
                "Content-Type": JSON_LINES,
                "Content-Disposition": 'attachment; filename="meshd-jobs.jsonl"',
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        async with aclosing(self._jobs.every()) as views:
            try:
                await response.prepare(request)
                async for view in views:
                    await response.write(msgspec.json.encode(view) + b"\n")
            except ConnectionError:
                pass
            except Exception:
                log.exception("the export of all jobs failed")
                # Its end is missing, so the reader knows that it does not have all of them.
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def show(self, request: web.Request) -> web.Response:
        """Return the whole `JobView`."""
        return answer(await self._jobs.job(request.match_info["job"]))

    async def cancel(self, request: web.Request) -> web.Response:
        """End the job; return its `JobView`."""
        await body(request, dict[str, object])
        return answer(_light(await self._jobs.cancel(request.match_info["job"], reason="cancelled by its user")))

    async def wait(self, request: web.Request) -> web.Response:
        """Return the job when it has changed, has ended, or after `timeout_s`; whichever comes first.

        The answer's `ETag` names what it shows. A client that hands it back as `seen` is answered as soon as
        the job looks different from that, progress included, so it misses nothing between two requests. Without
        `seen`, only a change of state counts. Before its end a job comes without documents; the answer may
        also come early and unchanged, and the client asks again.
        """
        timeout = number(request, "timeout_s", MAX_WAIT_S, least=0, most=MAX_WAIT_S)
        seen = request.query.get("seen")
        found = await self._seen(request.match_info["job"])
        async with self._jobs.changes(found.id) as changes:
            # Subscribed first, read second: a change between the two is not lost.
            view = first = found if found.state in END_STATES else await self._seen(found.id)
            ended = view.state in END_STATES
            try:
                async with asyncio.timeout(timeout):
                    while not ended and (view.state == first.state if seen is None else tag(view) == seen):
                        change = await anext(changes, None)
                        if change is None:
                            break
                        view, ended = change, change.state in END_STATES
            except TimeoutError:
                pass
        if not ended:
            view = _light(view)
        elif view is not first:
            view = await self._jobs.job(first.id)
        return answer(view, headers={"ETag": f'"{tag(view)}"'})

    async def _seen(self, job: str) -> JobView:
        return self._jobs.glance(job) or await self._jobs.job(job)


def tag(view: JobView) -> str:
    """Return a short text that differs whenever something that a person watches has changed."""
    watched = (view.state, view.reason, round(view.progress, 3), view.best, view.device, view.attempts)
    return hashlib.blake2b(msgspec.json.encode(watched), digest_size=8).hexdigest()


def _light(view: JobView) -> JobView:
    return msgspec.structs.replace(
        view, spec=NO_DOCUMENT, resolved=NO_DOCUMENT, result=NO_DOCUMENT, manifest=NO_DOCUMENT, story=None
    )


def file_name(view: JobView) -> str:
    """Return the job's name as any system takes it for a file, with the id, so that two never share one."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", view.name).strip("-")
    return f"{plain}-{view.id}" if plain else view.id


def _key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise BadInput(f"Idempotency-Key: expected 1 to {MAX_KEY} printable ASCII characters")
    return key


def _one_of(request: web.Request, name: str, known: Sequence[str]) -> str:
    """Return the query parameter `name`; the first of those that are known without it."""
    text = request.query.get(name) or known[0]
    if text not in known:
        raise BadInput(f"{name}: expected {', '.join(known)}; not {text[:32]!r}", field=name)
    return text


def _states(given: Sequence[str]) -> tuple[JobState, ...]:
    known: tuple[str, ...] = get_args(JobState)
    states = tuple(dict.fromkeys(state for text in given for state in text.split(",") if state))
    for state in states:
        if state not in known:
            raise BadInput(f"state: expected {', '.join(known)}; not {state[:32]!r}", field="state")
    return cast("tuple[JobState, ...]", states)
