"""What a job has printed is searched over HTTP."""

import pytest

from tests.support.asking import asking
from tests.support.services import Services


async def ask(services: Services, query: dict[str, str]) -> tuple[int, dict[str, object]]:
    async with asking(services) as http, http.get("/api/v1/jobs/a/logs/search", params=query) as response:
        return response.status, await response.json()


@pytest.mark.asyncio
async def test_lines_are_found_by_text_and_by_regular_expression_page_by_page() -> None:
    services = Services()
    services.files.printed = "eins\nzwei\ndrei\nwéi".encode()

    _, first = await ask(services, {"pattern": "ei", "limit": "2"})
    _, second = await ask(services, {"pattern": "ei", "after": str(first["cursor"])})
    status, by_regex = await ask(services, {"pattern": "^.(w|é)", "regex": "1"})

    assert first["matches"] == [
        {"line": 1, "offset": 0, "text": "eins"},
        {"line": 2, "offset": 5, "text": "zwei"},
    ]
    assert (first["attempt"], first["done"]) == (1, False)
    assert second["matches"] == [{"line": 3, "offset": 10, "text": "drei"}]
    assert second["done"] is True
    assert status == 200
    assert by_regex["matches"] == [{"line": 2, "offset": 5, "text": "zwei"}, {"line": 4, "offset": 15, "text": "wéi"}]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"pattern": "(", "regex": "1"}, "missing )"),
        ({}, "1 to 256 characters"),
        ({"pattern": "x", "regex": "2"}, "from 0 to 1"),
        ({"pattern": "x", "limit": "1001"}, "from 1 to 1000"),
        ({"pattern": "x", "after": "y"}, "not the cursor"),
    ],
)
async def test_what_cannot_be_searched_for_is_refused_in_one_sentence(query: dict[str, str], says: str) -> None:
    status, said = await ask(Services(), query)

    assert status == 422
    assert says in str(said)
