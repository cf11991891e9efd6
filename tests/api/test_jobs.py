import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

import aiohttp
import pytest
from msgspec import Raw
from msgspec.structs import replace

from meshd.api.routes import events
from meshd.events import MAX_WAITING
from meshd.jobs.query import JobQuery
from meshd_protocol.localapi import MAX_JOBS
from tests.support.asking import asking
from tests.support.eventually import eventually
from tests.support.services import FakeJobs, Services, job_view

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def api() -> AsyncGenerator[tuple[aiohttp.ClientSession, FakeJobs]]:
    async with asking(services := Services()) as http:
        yield http, services.jobs


async def test_a_submitted_job_is_answered_with_its_address() -> None:
    async with api() as (http, jobs):
        async with http.post("/api/v1/jobs", json={"kind": "lineups", "spec": {"seed": 7}}) as response:
            assert response.status == 201
            body = await response.json()
        assert response.headers["Location"] == f"/api/v1/jobs/{body['id']}"
        assert body["state"] == "queued"
        assert jobs.requests[0].spec == {"seed": 7}


async def test_many_jobs_are_accepted_in_the_order_in_which_they_were_asked_for() -> None:
    async with api() as (http, jobs):
        batch = {"jobs": [{"kind": "lineups", "spec": {"seed": seed}} for seed in range(3)]}
        async with http.post("/api/v1/jobs/batch", json=batch) as response:
            assert response.status == 201
            accepted = (await response.json())["jobs"]
        assert [request.spec for request in jobs.requests] == [{"seed": seed} for seed in range(3)]
        assert [each["id"] for each in accepted] == [jobs.keys[each["id"]] for each in accepted]
        assert len({each["id"] for each in accepted}) == 3


@pytest.mark.parametrize("number", [0, MAX_JOBS + 1])
async def test_a_batch_has_a_size(number: int) -> None:
    async with api() as (http, jobs):
        job: dict[str, object] = {"kind": "lineups", "spec": {}}
        batch = {"jobs": [job] * number}
        async with http.post("/api/v1/jobs/batch", json=batch) as response:
            assert response.status == 422
        assert jobs.requests == []


async def test_a_repeated_key_is_the_same_job() -> None:
    async with api() as (http, jobs):
        ids: list[str] = []
        for _ in range(2):
            headers = {"Idempotency-Key": "k1"}
            async with http.post("/api/v1/jobs", json={"kind": "lineups", "spec": {}}, headers=headers) as response:
                ids.append((await response.json())["id"])
        assert ids[0] == ids[1]
        assert len(jobs.requests) == 1


async def test_a_list_passes_on_what_it_was_asked_for() -> None:
    async with api() as (http, jobs):
        query = "state=queued,running&state=retrying&kind=lineups&device=pc&q=day&limit=3&cursor=c&sort=name&order=asc"
        async with http.get(f"/api/v1/jobs?{query}&since=2026-02-15T19:30:00Z&until=2026-02-16T00:00:00Z") as response:
            assert response.status == 200
        wanted = JobQuery(
            states=("queued", "running", "retrying"),
            kind="lineups",
            device="pc",
            text="day",
            since=1771183800.0,
            until=1771200000.0,
            sort="name",
            is_descending=False,
        )
        assert jobs.asked == [(wanted, 3, "c")]


async def test_a_date_is_a_whole_day_of_this_machines_clock() -> None:
    async with api() as (http, jobs):
        async with http.get("/api/v1/jobs?since=2026-02-15&until=2026-02-15"):
            pass
        query = jobs.asked[0][0]
        midnight = datetime(2026, 2, 15).timestamp()  # noqa: DTZ001
        assert (query.since, query.until) == (midnight, midnight + 86400)


@pytest.mark.parametrize(
    "query",
    [
        "state=done",
        "limit=0",
        "limit=501",
        "limit=x",
        "limit=nan",
        "q=" + "x" * 300,
        "since=yesterday",
        "until=2026-13-01",
        "sort=size",
        "order=up",
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(query: str) -> None:
    async with api() as (http, jobs):
        async with http.get(f"/api/v1/jobs?{query}") as response:
            assert response.status == 422
            assert query.partition("=")[0] in (await response.json())["error"]["message"]
        assert jobs.asked == []


async def test_waiting_returns_at_once_when_the_job_differs_from_what_was_seen() -> None:
    async with api() as (http, jobs):
        jobs.put(job_view("j1", "running", progress=0.5))
        async with http.get("/api/v1/jobs/j1/wait?seen=other&timeout_s=20") as response:
            assert (await response.json())["progress"] == 0.5


async def test_waiting_with_what_was_seen_hears_of_progress() -> None:
    async with api() as (http, jobs):
        running = jobs.put(job_view("j1", "running", progress=0.5))
        async with http.get("/api/v1/jobs/j1/wait?seen=&timeout_s=20") as response:
            seen = response.headers["ETag"].strip('"')
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(fetch(http, f"/api/v1/jobs/j1/wait?seen={seen}&timeout_s=20"))
            await eventually(lambda: len(jobs.bus._readers) == 1)  # pyright: ignore[reportPrivateUsage]
            jobs.put(job_view("other", "running", progress=0.9))
            jobs.put(running)
            jobs.put(replace(running, progress=0.6))
        assert following.result()["progress"] == 0.6


async def test_waiting_without_it_hears_of_states_only() -> None:
    async with api() as (http, jobs):
        running = jobs.put(job_view("j1", "running"))
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(fetch(http, "/api/v1/jobs/j1/wait?timeout_s=20"))
            await eventually(lambda: len(jobs.bus._readers) == 1)  # pyright: ignore[reportPrivateUsage]
            jobs.put(replace(running, progress=0.6))
            jobs.put(replace(running, state="retrying", reason="the connection to pc is lost"))
        assert following.result()["state"] == "retrying"


async def test_only_a_job_that_has_ended_comes_with_its_documents() -> None:
    async with api() as (http, jobs):
        running = jobs.put(job_view("j1", "running", spec=Raw(b'{"seed":1}'), result=Raw(b'{"lineups":[]}')))
        assert (await fetch(http, "/api/v1/jobs/j1/wait?timeout_s=0"))["spec"] is None
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(fetch(http, "/api/v1/jobs/j1/wait?timeout_s=20"))
            await eventually(lambda: len(jobs.bus._readers) == 1)  # pyright: ignore[reportPrivateUsage]
            jobs.put(replace(running, state="completed"))
        assert following.result()["result"] == {"lineups": []}


async def test_waiting_ends_with_its_time_and_with_the_subscription() -> None:
    async with api() as (http, jobs):
        jobs.put(job_view("j1", "running"))
        assert (await fetch(http, "/api/v1/jobs/j1/wait?timeout_s=0.05"))["state"] == "running"
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(fetch(http, "/api/v1/jobs/j1/wait?timeout_s=20"))
            await eventually(lambda: len(jobs.bus._readers) == 1)  # pyright: ignore[reportPrivateUsage]
            jobs.bus.close()
        assert following.result()["state"] == "running"


async def test_a_job_that_does_not_exist_is_not_found_by_any_route() -> None:
    async with api() as (http, _):
        for method, path in (("GET", ""), ("GET", "/wait"), ("POST", "/cancel")):
            async with http.request(method, f"/api/v1/jobs/nope{path}", json={}) as response:
                assert response.status == 404


async def test_the_stream_tells_of_changes_as_they_happen() -> None:
    async with api() as (http, jobs), http.get("/api/v1/events") as response:
        assert response.content_type == "text/event-stream"
        await response.content.readuntil(b"\n\n")
        jobs.put(job_view("j1", "running", progress=0.25))
        event, data, *_ = (await response.content.readuntil(b"\n\n")).decode().splitlines()
        assert event == "event: job"
        assert json.loads(data.removeprefix("data: "))["progress"] == 0.25


async def test_a_reader_that_falls_behind_is_told_to_read_afresh() -> None:
    async with api() as (http, jobs), http.get("/api/v1/events") as response:
        await response.content.readuntil(b"\n\n")
        # All in one step of the loop: the reader gets no chance to keep up.
        for number in range(MAX_WAITING + 2):
            jobs.put(job_view("j1", "running", progress=number / 1000))
        body = await response.content.read()
        assert body.endswith(b"event: resync\ndata: {}\n\n")
        assert not jobs.bus.is_heard("j1")


async def test_a_stream_in_silence_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PULSE_S", 0.01)
    async with api() as (http, _), http.get("/api/v1/events") as response:
        await response.content.readuntil(b"\n\n")
        assert await response.content.readuntil(b"\n\n") == b":\n\n"


async def test_streams_are_limited_and_a_closed_one_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_STREAMS", 1)
    monkeypatch.setattr(events, "PULSE_S", 0.01)
    async with api() as (http, _):
        async with http.get("/api/v1/events") as first:
            await first.content.readuntil(b"\n\n")
            async with http.get("/api/v1/events") as second:
                assert second.status == 429

        async def has_room() -> bool:
            async with http.get("/api/v1/events") as third:
                return third.status == 200

        await eventually(has_room)


async def fetch(http: aiohttp.ClientSession, path: str) -> dict[str, object]:
    async with http.get(path) as response:
        assert response.status == 200
        return await response.json()
