"""The description of the API is true of the API."""

import json
import re
from collections.abc import Iterator
from typing import cast

import aiohttp
import pytest
from aiohttp import web

from meshd.api.app import serve
from tests.support.services import Services

TOKEN = "t" * 43
pytestmark = pytest.mark.asyncio

Json = dict[str, object]


async def described() -> tuple[web.Application, Json]:
    app = Services().app(TOKEN)
    runner, port = await serve(app, 0)
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://127.0.0.1:{port}/api/v1/openapi.json"
        async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as response:
            assert response.status == 200
            return app, await response.json()
    finally:
        await runner.cleanup()


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in cast("dict[str, dict[str, Json]]", document["paths"]).items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


async def test_every_route_is_described_and_nothing_else() -> None:
    app, document = await described()
    routes = {(route.method, cast("web.Resource", route.resource).canonical) for route in app.router.routes()}

    assert {(method, path) for method, path, _ in operations(document)} == {
        (method, path) for method, path in routes if method != "HEAD"
    }
    assert document["openapi"] == "3.1.0"


async def test_every_operation_says_what_it_does_and_names_each_part_of_its_path() -> None:
    _, document = await described()
    names: list[object] = []
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        names.append(operation["operationId"])
        parameters = cast("list[Json]", operation.get("parameters", []))
        assert {each["name"] for each in parameters if each["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
    assert len(names) == len(set(map(str, names)))


async def test_every_reference_leads_to_a_schema() -> None:
    _, document = await described()
    schemas = cast("dict[str, dict[str, Json]]", document["components"])["schemas"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))

    assert references
    assert references <= set(schemas)
    assert {"JobView", "JobPage", "JobRequest", "ErrorAnswer", "PeerTest"} <= references


async def test_the_list_of_jobs_is_described_with_all_its_filters() -> None:
    _, document = await described()
    parameters = {
        cast("str", each["name"]): cast("Json", each["schema"])
        for method, path, operation in operations(document)
        if (method, path) == ("GET", "/api/v1/jobs")
        for each in cast("list[Json]", operation["parameters"])
    }

    assert set(parameters) == {
        "state",
        "kind",
        "device",
        "q",
        "since",
        "until",
        "sort",
        "order",
        "limit",
        "cursor",
    }
    assert parameters["sort"] == {"enum": ["date", "duration", "name", "priority"]}
