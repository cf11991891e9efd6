"""Who may speak to the local API: programs of this machine's user, and no web page.

A page that the user visits can send requests to loopback, directly or after pointing its own name there (DNS
rebinding), and any other user of the machine can connect. Each check below closes one of these ways.
"""

import re
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from meshd.api.answers import refusal
from meshd.api.auth import holds

MAX_BODY_BYTES = 1 << 20
"""A salary file is 100 KB; aiohttp refuses a body beyond this with 413 before it is whole."""

OPEN_PATHS = frozenset({"/health", "/ping"})
"""They tell nothing that an open port does not."""

WRITES = frozenset({"POST", "PUT", "PATCH"})


UPLOADS = re.compile("/api/v1/blobs/[^/]+")
"""Where files are handed over: the size of those is their handler's to check."""


def guard(token: str) -> Middleware:
    """Return the middleware that lets a request pass only when every check holds."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        own = own_hosts(request)
        if request.headers.get("Host", "").lower() not in own:
            return refusal(421, "host", "this server is not known by that name", f"use http://{own[0]}")
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() not in {f"http://{host}" for host in own}:
            return refusal(403, "origin", "web pages of other sites may not use this API")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return refusal(403, "origin", "web pages of other sites may not use this API")
        if request.path not in OPEN_PATHS and not holds(request.headers.get("Authorization"), token):
            return refusal(401, "unauthorized", "the token is missing or wrong", "it is in the file api-token")
        if "Content-Encoding" in request.headers:
            return refusal(415, "content_encoding", "compressed bodies are not taken")
        if request.method == "PUT" and UPLOADS.fullmatch(request.path):
            if request.content_type != "application/octet-stream":
                return refusal(415, "content_type", "a file is bytes", "send Content-Type: application/octet-stream")
            return await _answered(request, handler)
        if request.method in WRITES and request.content_type != "application/json":
            return refusal(415, "content_type", "the body must be JSON", "send Content-Type: application/json")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return refusal(413, "too_large", f"the body is larger than {MAX_BODY_BYTES >> 10} KiB")
        return await _answered(request, handler)

    return check


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if not response.prepared:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def own_hosts(request: web.Request) -> tuple[str, ...]:
    """Return the `Host` headers that name the port on which the request came in."""
    transport = request.transport
    name = cast("tuple[str, int] | None", transport and transport.get_extra_info("sockname"))
    port = name[1] if name else 0
    return (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}")
