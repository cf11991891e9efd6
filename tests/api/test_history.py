import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from msgspec import Raw
from msgspec import json as msgspec_json

from meshd.api.routes.jobs import file_name
from meshd_protocol.localapi import NO_DOCUMENT, JobStats, JobView
from tests.support.asking import asking
from tests.support.services import FakeJobs, Services, job_view, lineups_result

RESULT = Raw(msgspec_json.encode(lineups_result()))
pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def api() -> AsyncGenerator[tuple[aiohttp.ClientSession, FakeJobs]]:
    async with asking(services := Services()) as http:
        yield http, services.jobs


async def ask(
    http: aiohttp.ClientSession, method: str, path: str, body: object = None
) -> tuple[int, dict[str, object]]:
    async with http.request(method, f"/api/v1/jobs{path}", json={} if body is None else body) as response:
        return response.status, await response.json()


async def test_a_job_run_again_is_answered_as_a_new_one() -> None:
    async with api() as (http, jobs):
        jobs.put(job_view("j1", "completed", spec=Raw(b'{"seed":7}')))
        headers = {"Idempotency-Key": "k"}
        async with http.post("/api/v1/jobs/j1/rerun", json={}, headers=headers) as response:
            assert response.status == 201
            new = (await response.json())["id"]
            assert response.headers["Location"] == f"/api/v1/jobs/{new}"
        async with http.post("/api/v1/jobs/j1/rerun", json={}, headers=headers) as response:
            assert (await response.json())["id"] == new
        assert [request.spec for request in jobs.requests] == [{"seed": 7}]


async def test_only_a_job_that_has_ended_is_deleted() -> None:
    async with api() as (http, jobs):
        jobs.put(job_view("j1", "running"))
        jobs.put(job_view("j2", "failed"))

        status, answer = await ask(http, "DELETE", "/j1")
        assert status == 409
        assert answer["error"] == {"code": "conflict", "message": "j1 has not ended", "hint": "meshd cancel j1"}
        assert await ask(http, "DELETE", "/j2") == (200, {"deleted": 1})
        assert (await ask(http, "DELETE", "/j2"))[0] == 404
        assert list(jobs.held) == ["j1"]


async def test_clearing_takes_completed_jobs_and_others_only_when_named() -> None:
    async with api() as (http, jobs):
        for state in ("completed", "failed", "cancelled", "running"):
            jobs.put(job_view(state, state))

        assert await ask(http, "POST", "/clear") == (200, {"deleted": 1})
        assert await ask(http, "POST", "/clear", {"states": ["failed", "cancelled"]}) == (200, {"deleted": 2})
        status, answer = await ask(http, "POST", "/clear", {"states": ["running"]})
        assert (status, list(jobs.held)) == (422, ["running"])
        assert "running" in json.dumps(answer)


async def test_figures_are_not_taken_for_a_job() -> None:
    async with api() as (http, jobs):
        jobs.put(job_view("statsexport12"))
        async with http.get("/api/v1/jobs/stats") as response:
            assert msgspec_json.decode(await response.read(), type=JobStats).kinds == {"lineups": 1}


async def test_an_exported_job_is_a_file_with_everything() -> None:
    async with api() as (http, jobs):
        view = jobs.put(job_view("j1", "completed", name='../ Tag "1"\r\n', result=RESULT))
        async with http.get("/api/v1/jobs/j1/export") as response:
            assert response.headers["Content-Disposition"] == 'attachment; filename="Tag-1-j1.json"'
            exported = msgspec_json.decode(await response.read(), type=JobView)
        assert msgspec_json.decode(exported.result) == lineups_result()
        assert exported.name == view.name


@pytest.mark.parametrize("name", ["..", "/etc/passwd", "con", 'a"; filename="b', "\u202etxt.exe", "x" * 64, "é\n"])
async def test_the_name_of_an_exported_file_is_harmless_everywhere(name: str) -> None:
    made = file_name(job_view("j1", name=name))

    assert made.isascii()
    assert made.replace("-", "").isalnum()
    assert made.endswith("j1")
    assert len(made) < 80


async def test_lineups_are_exported_as_their_site_takes_them() -> None:
    async with api() as (http, jobs):
        jobs.put(job_view("j1", "completed", result=RESULT))
        async with http.get("/api/v1/jobs/j1/export?format=csv") as response:
            assert response.content_type == "text/csv"
            assert response.headers["Content-Disposition"] == 'attachment; filename="20-lineups-j1.csv"'
            assert (await response.text()).startswith("D,D,D,D,D,D\r\nAda North (101),")
        assert (await ask(http, "GET", "/j1/export?format=xml"))[0] == 422


async def test_all_jobs_are_exported_a_line_each() -> None:
    async with api() as (http, jobs):
        for number in range(30):
            jobs.put(job_view(f"j{number}", "completed", result=RESULT))
        async with http.get("/api/v1/jobs/export") as response:
            assert response.content_type == "application/jsonl"
            lines = (await response.read()).splitlines()
        views = [msgspec_json.decode(line, type=JobView) for line in lines]
        assert [view.id for view in views] == list(jobs.held)
        assert all(view.result != NO_DOCUMENT for view in views)


async def test_an_export_that_breaks_off_does_not_look_whole() -> None:
    async with api() as (http, jobs):
        jobs.put(job_view("j1"))
        jobs.broken = True
        async with asyncio.timeout(10):
            with pytest.raises(aiohttp.ClientPayloadError):
                async with http.get("/api/v1/jobs/export") as response:
                    await response.read()
