"""Routes about jobs."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import cast, get_args

import msgspec
from aiohttp import web

from meshd.api.answers import answer, body, number
from meshd.api.services import Jobs
from meshd.errors import BadInput
from meshd_protocol.localapi import END_STATES, JobRequest, JobState, JobView

MAX_WAIT_S = 25.0
"""The longest a request waits: shorter than the 30 s after which proxies and clients give up on silence."""

MAX_PAGE = 500
DEFAULT_PAGE = 50

MAX_KEY = 128
"""Characters of an idempotency key: a UUID and a prefix, and some room."""

MAX_QUERY = 256


class JobRoutes:
    """Submit, look, wait, cancel."""

    def __init__(self, *, jobs: Jobs) -> None:
        self._jobs = jobs

    def table(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/api/v1/jobs", self.submit),
            web.get("/api/v1/jobs", self.list),
            web.get("/api/v1/jobs/{job}", self.show),
            web.get("/api/v1/jobs/{job}/wait", self.wait),
            web.post("/api/v1/jobs/{job}/cancel", self.cancel),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """Take a `JobRequest`; return `JobAccepted` with 201 once the job is on disk."""
        key = request.headers.get("Idempotency-Key")
        if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
            raise BadInput(f"Idempotency-Key: expected 1 to {MAX_KEY} printable ASCII characters")
        accepted = await self._jobs.submit(await body(request, JobRequest), idempotency_key=key)
        return answer(accepted, status=201, headers={"Location": f"/api/v1/jobs/{accepted.id}"})

    async def list(self, request: web.Request) -> web.Response:
        """Return a `JobPage`; `state` may be given several times or hold several, with commas."""
        limit = number(request, "limit", DEFAULT_PAGE, least=1, most=MAX_PAGE)
        query = request.query.get("q") or None
        if query is not None and len(query) > MAX_QUERY:
            raise BadInput(f"q: expected at most {MAX_QUERY} characters", field="q")
        page = await self._jobs.jobs(
            states=_states(request.query.getall("state", [])),
            kind=request.query.get("kind") or None,
            query=query,
            limit=int(limit),
            cursor=request.query.get("cursor") or None,
        )
        return answer(page)

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
        async with self._jobs.changes() as changes:
            # Subscribed first, read second: a change between the two is not lost.
            view = first = await self._jobs.job(request.match_info["job"])
            ended = view.state in END_STATES
            try:
                async with asyncio.timeout(timeout):
                    while not ended and (view.state == first.state if seen is None else tag(view) == seen):
                        change = await anext(changes, None)
                        if change is None:
                            break
                        if change.id == first.id:
                            view, ended = change, change.state in END_STATES
            except TimeoutError:
                pass
        if not ended:
            view = _light(view)
        elif view is not first:
            view = await self._jobs.job(first.id)
        return answer(view, headers={"ETag": f'"{tag(view)}"'})


def tag(view: JobView) -> str:
    """Return a short text that differs whenever something that a person watches has changed."""
    watched = (view.state, view.reason, round(view.progress, 3), view.best, view.device, view.attempts)
    return hashlib.blake2b(msgspec.json.encode(watched), digest_size=8).hexdigest()


def _light(view: JobView) -> JobView:
    return msgspec.structs.replace(view, spec=None, resolved=None, result=None, manifest=None, story=None)


def _states(given: Sequence[str]) -> Sequence[JobState]:
    known: tuple[str, ...] = get_args(JobState)
    states = [state for text in given for state in text.split(",") if state]
    for state in states:
        if state not in known:
            raise BadInput(f"state: expected {', '.join(known)}; not {state[:32]!r}", field="state")
    return cast("Sequence[JobState]", states)
