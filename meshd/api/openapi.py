"""The description of the local API for programs (OpenAPI 3.1), made from its endpoints and their types."""

import inspect
import re
from collections.abc import Sequence

import msgspec

from meshd import __version__
from meshd.api.endpoint import JSON, Endpoint
from meshd.api.guard import OPEN_PATHS
from meshd_protocol.localapi import ErrorAnswer

REFERENCE = "#/components/schemas/{name}"


def document(endpoints: Sequence[Endpoint]) -> dict[str, object]:
    """Return the description of these endpoints."""
    kinds = [
        kind
        for endpoint in endpoints
        for kind in (endpoint.gives, endpoint.takes, *endpoint.also.values(), *(p.kind for p in endpoint.query))
        if kind is not None
    ]
    schemas, components = msgspec.json.schema_components(
        (*kinds, ErrorAnswer), schema_hook=_anything, ref_template=REFERENCE
    )
    found = dict(zip(map(repr, (*kinds, ErrorAnswer)), schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        paths.setdefault(_plain(endpoint.path), {})[endpoint.method.lower()] = _operation(endpoint, found)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "meshd, the local API",
            "version": __version__,
            "description": "JSON over loopback. The token is in the file `api-token`, new at every start.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _anything(kind: type) -> dict[str, object]:
    """Return the schema of what msgspec knows none for: documents of kinds, which may be any JSON."""
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError(kind)


def _plain(path: str) -> str:
    """Return a path without what aiohttp is told about the shape of its places."""
    return re.sub(r"{(\w+):[^}]*}", r"{\1}", path)


def _operation(endpoint: Endpoint, schemas: dict[str, dict[str, object]]) -> dict[str, object]:
    about = inspect.getdoc(endpoint.handler) or ""
    group, _, name = endpoint.handler.__qualname__.rpartition(".")
    operation: dict[str, object] = {
        "operationId": f"{group.rpartition('.')[2].removesuffix('Routes').lower()}.{name}",
        "summary": about.partition("\n")[0],
        "description": about,
        "responses": {
            str(endpoint.status): {
                "description": "Done.",
                "content": {
                    media: {"schema": schemas[repr(kind)]}
                    for media, kind in ((JSON, endpoint.gives), *endpoint.also.items())
                    if kind is not None
                },
            },
            "default": {
                "description": "It could not be done; why, and what to try.",
                "content": {JSON: {"schema": schemas[repr(ErrorAnswer)]}},
            },
        },
    }
    parameters: list[object] = [
        {"name": place, "in": "path", "required": True, "schema": {"type": "string"}}
        for place in re.findall(r"{(\w+)}", _plain(endpoint.path))
    ]
    for each in endpoint.query:
        schema = schemas[repr(each.kind)]
        parameters.append({"name": each.name, "in": "query", "description": each.about, "schema": schema})
    if parameters:
        operation["parameters"] = parameters
    if endpoint.takes is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas[repr(endpoint.takes)]}}}
    if endpoint.path in OPEN_PATHS:
        operation["security"] = []
    return operation
