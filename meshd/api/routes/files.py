"""Routes about the files of jobs: handed over as inputs, made, and printed."""

import logging
from contextlib import aclosing
from urllib.parse import quote

from aiohttp import web

from meshd.api.answers import answer, number
from meshd.api.endpoint import Endpoint, Parameter
from meshd.api.services import Files
from meshd.errors import BadInput
from meshd.jobs.log_search import search
from meshd_protocol.localapi import ArtifactView, BlobView, LogLine, LogMatches
from meshd_protocol.messages.blobs import MAX_BLOB_BYTES

log = logging.getLogger(__name__)

BLOBS = "/api/v1/blobs/"
BYTES = "application/octet-stream"

MAX_HOLD_S = 2.0
"""The longest a request for a log waits for something to be printed."""

PIECE_BYTES = 256 << 10

MAX_MATCHES = 1000
"""Lines of one answer: 4 MB of text."""


class FileRoutes:
    """Blobs, artifacts, logs."""

    def __init__(self, *, files: Files) -> None:
        self._files = files

    def table(self) -> list[Endpoint]:
        """Return the routes."""
        blob = f"{BLOBS}{{digest}}"
        job = "/api/v1/jobs/{job}"
        follow = (
            Parameter("attempt", int, "Of which attempt; the newest without it."),
            Parameter("after", int, "From which byte on."),
            Parameter("hold_s", float, "How long to wait for more, 2 s at most, where there is nothing yet."),
        )
        seek = (
            Parameter("pattern", str, "What a line contains; 1 to 256 characters."),
            Parameter("regex", int, "1: the pattern is a regular expression, as Python has them."),
            Parameter("attempt", int, "Of which attempt; the newest without it."),
            Parameter("after", str, "The `cursor` of the answer before."),
            Parameter("limit", int, "How many lines at most; 100 without it, 1,000 at most."),
        )
        return [
            Endpoint(method="GET", path=blob, handler=self.blob, gives=BlobView),
            Endpoint(method="PUT", path=blob, handler=self.upload, gives=BlobView, status=201),
            Endpoint(method="GET", path=f"{job}/artifacts", handler=self.artifacts, gives=list[ArtifactView]),
            Endpoint(
                method="GET",
                path=f"{job}/artifacts/{{name:.+}}",
                handler=self.artifact,
                gives=None,
                also={BYTES: bytes},
            ),
            Endpoint(
                method="GET",
                path=f"{job}/logs",
                handler=self.logs,
                gives=None,
                also={"text/plain": str},
                query=follow,
            ),
            Endpoint(method="GET", path=f"{job}/logs/search", handler=self.search, gives=LogMatches, query=seek),
        ]

    async def blob(self, request: web.Request) -> web.Response:
        """Return the `BlobView` of a file that is here already, and keep it for an hour."""
        return answer(await self._files.blob(request.match_info["digest"]))

    async def upload(self, request: web.Request) -> web.Response:
        """Take a file of this SHA-256 digest, as `application/octet-stream` with its length; return its `BlobView`.

        It is kept for an hour, or for as long as a job that names it as an input.
        """
        size = request.content_length
        if size is None or size > MAX_BLOB_BYTES:
            raise BadInput(f"Content-Length: expected at most {MAX_BLOB_BYTES:,} bytes")
        chunks = request.content.iter_chunked(PIECE_BYTES)
        return answer(await self._files.upload(request.match_info["digest"], size, chunks), status=201)

    async def artifacts(self, request: web.Request) -> web.Response:
        """Return a list of `ArtifactView`: the files that the job has made, by name."""
        return answer(await self._files.artifacts(request.match_info["job"]))

    async def artifact(self, request: web.Request) -> web.StreamResponse:
        """Send a file that the job has made; it is fetched from its device first if it is not here."""
        view, chunks = await self._files.artifact(request.match_info["job"], request.match_info["name"])
        response = web.StreamResponse(
            headers={
                "Content-Type": BYTES,
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(view.name.rpartition('/')[2], safe='')}",
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        response.content_length = view.size
        async with aclosing(chunks):
            try:
                await response.prepare(request)
                async for chunk in chunks:
                    await response.write(chunk)
            except ConnectionError:
                pass
            except Exception:
                log.exception("a file was not sent")
                # Its end is missing, so the reader knows that it does not have all of it.
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def logs(self, request: web.Request) -> web.Response:
        """Return what an attempt has printed from byte `after` on, up to a megabyte of it.

        `Meshd-Log-Attempt` tells which attempt (0: it has not begun), `Meshd-Log-Offset` where the answer begins
        (beyond `after` where that is gone), `Meshd-Log-End` how much was printed so far, and `Meshd-Log-Done` is `1`
        when nothing follows.
        """
        attempt = number(request, "attempt", 0, least=0, most=2**31)
        after = number(request, "after", 0, least=0, most=2**53)
        hold_s = number(request, "hold_s", 0, least=0, most=MAX_HOLD_S)
        page = await self._files.log(
            request.match_info["job"], attempt=int(attempt) or None, after=int(after), hold_s=hold_s
        )
        headers = {
            "Meshd-Log-Attempt": str(page.attempt),
            "Meshd-Log-Offset": str(page.offset),
            "Meshd-Log-End": str(page.end),
            "Meshd-Log-Done": str(int(page.done)),
        }
        return web.Response(body=page.data, content_type="text/plain", charset="utf-8", headers=headers)

    async def search(self, request: web.Request) -> web.Response:
        """Return `LogMatches`: the lines of what an attempt has printed that contain `pattern`, or match it.

        Of a job that runs, what it has printed so far. A regular expression that takes more than two seconds for a
        megabyte is refused.
        """
        attempt = int(number(request, "attempt", 0, least=0, most=2**31)) or None
        found = await search(
            lambda after: self._files.log(request.match_info["job"], attempt=attempt, after=after, hold_s=0.0),
            request.query.get("pattern", ""),
            is_regex=bool(number(request, "regex", 0, least=0, most=1)),
            cursor=request.query.get("after", ""),
            limit=int(number(request, "limit", 100, least=1, most=MAX_MATCHES)),
        )
        lines = [LogLine(line=line, offset=offset, text=text) for line, offset, text in found.matches]
        return answer(LogMatches(attempt=found.attempt, matches=lines, cursor=found.cursor, done=found.done))
