"""One thing that the local API does: where it is asked for, what it takes, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something in the query of the address; none is required."""

    name: str
    kind: object
    """Its type, as msgspec understands types."""

    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A route, with what `openapi.json` tells about it."""

    method: str
    path: str
    handler: Handler
    """Its docstring is the description."""

    gives: object
    """The type of the JSON that it answers with."""

    takes: object = None
    """The type of the JSON that it reads; None: nothing."""

    status: int = 200
    query: tuple[Parameter, ...] = ()
    also: Mapping[str, object] = field(default_factory=dict[str, object])
    """Other media types that it may answer with, and what they carry."""

    def route(self) -> web.RouteDef:
        """Return the route for aiohttp; where there is a GET, there is a HEAD."""
        if self.method == "GET":
            return web.get(self.path, self.handler)
        return web.route(self.method, self.path, self.handler)
