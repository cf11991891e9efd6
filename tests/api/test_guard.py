import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from meshd.api.app import serve
from tests.support.services import Services

TOKEN = "t" * 43
JSON = {"Content-Type": "application/json"}
AUTH = {"Authorization": f"Bearer {TOKEN}"}
pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def api() -> AsyncGenerator[tuple[aiohttp.ClientSession, int, Services]]:
    services = Services()
    runner, port = await serve(services.app(TOKEN), 0)
    try:
        async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{port}", skip_auto_headers=["User-Agent"]) as http:
            yield http, port, services
    finally:
        await runner.cleanup()


async def code(http: aiohttp.ClientSession, method: str, path: str, **given: object) -> tuple[int, str]:
    async with http.request(method, path, **given) as response:  # pyright: ignore[reportArgumentType]
        if response.status < 400:
            return response.status, ""
        body = await response.json()
        assert body["error"]["message"]
        return response.status, body["error"]["code"]


async def test_a_name_that_somebody_points_at_loopback_is_misdirected() -> None:
    async with api() as (http, port, _):
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", "127.0.0.1.nip.io"):
            assert await code(http, "GET", "/api/v1/status", headers={**AUTH, "Host": host}) == (421, "host")
            assert await code(http, "GET", "/health", headers={"Host": host}) == (421, "host")


async def test_this_machines_own_names_are_served() -> None:
    async with api() as (http, port, _):
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
            assert (await code(http, "GET", "/api/v1/status", headers={**AUTH, "Host": host}))[0] == 200


async def test_a_page_of_another_site_is_refused_even_with_the_token() -> None:
    async with api() as (http, port, services):
        for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"):
            headers = {**AUTH, **JSON, "Origin": origin}
            assert await code(http, "POST", "/api/v1/shutdown", headers=headers) == (403, "origin")
        for site in ("cross-site", "same-site"):
            headers = {**AUTH, **JSON, "Sec-Fetch-Site": site}
            assert await code(http, "POST", "/api/v1/shutdown", headers=headers) == (403, "origin")
        assert not services.daemon.stopped.is_set()


async def test_a_page_of_our_own_may_ask() -> None:
    async with api() as (http, port, _):
        headers = {**AUTH, "Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
        assert (await code(http, "GET", "/api/v1/status", headers=headers))[0] == 200


async def test_nothing_is_told_without_the_token() -> None:
    async with api() as (http, _, services):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer "}):
            for path in ("/api/v1/status", "/api/v1/jobs", "/api/v1/no-such-thing"):
                assert await code(http, "GET", path, headers=headers) == (401, "unauthorized")
            assert await code(http, "POST", "/api/v1/shutdown", headers={**headers, **JSON}) == (401, "unauthorized")
        assert (await code(http, "GET", f"/api/v1/status?token={TOKEN}"))[0] == 401
        assert not services.daemon.stopped.is_set()


async def test_whether_it_lives_is_told_to_anyone_on_this_machine() -> None:
    async with api() as (http, _, _):
        assert (await code(http, "GET", "/health"))[0] == 200
        assert (await code(http, "GET", "/ping"))[0] == 200


async def test_a_body_that_a_form_could_send_is_refused() -> None:
    async with api() as (http, _, services):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            headers = {**AUTH, "Content-Type": kind}
            assert await code(http, "POST", "/api/v1/shutdown", headers=headers, data=b"{}") == (415, "content_type")
        assert not services.daemon.stopped.is_set()


async def test_a_body_above_the_limit_is_refused_whether_announced_or_streamed() -> None:
    async def flood() -> AsyncGenerator[bytes]:
        for _ in range(40):
            yield b" " * (64 << 10)

    async with api() as (http, _, services):
        headers = {**AUTH, **JSON}
        large = io.BytesIO(b" " * ((1 << 20) + 1))
        assert await code(http, "POST", "/api/v1/jobs", headers=headers, data=large) == (413, "too_large")
        assert await code(http, "POST", "/api/v1/jobs", headers=headers, data=flood()) == (413, "too_large")
        assert services.jobs.requests == []


async def test_a_compressed_body_is_refused_before_it_can_unfold() -> None:
    async with api() as (http, _, _):
        headers = {**AUTH, **JSON, "Content-Encoding": "gzip"}
        assert await code(http, "POST", "/api/v1/jobs", headers=headers, data=b"\x1f\x8b") == (415, "content_encoding")


DEEP = b'{"kind": "lineups", "spec": {"a": ' + b"[" * 100_000


@pytest.mark.parametrize(
    "data", [b"{", b'{"kind": "lineups"', b"\xff\xfe", DEEP, b'{"kind": "lineups", "spec": {"a": NaN}}', b"nope"]
)
async def test_what_is_not_json_is_named_so(data: bytes) -> None:
    async with api() as (http, _, _):
        assert await code(http, "POST", "/api/v1/jobs", headers={**AUTH, **JSON}, data=data) == (400, "usage")


async def test_a_mistyped_field_is_named_with_the_one_that_was_meant() -> None:
    async with api() as (http, _, services):
        wrong: dict[str, object] = {"kind": "lineups", "spec": {}, "placment": "pc"}
        async with http.post("/api/v1/jobs", json=wrong, headers=AUTH) as response:
            error = (await response.json())["error"]
        assert response.status == 422
        assert "placment" in error["message"]
        assert error["hint"] == "did you mean placement?"
        assert services.jobs.requests == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"spec": {}}, "kind"),
        ({"kind": "lineups", "spec": []}, "spec"),
        ({"kind": "lineups", "spec": {}, "priority": 101}, "priority"),
        ({"kind": "lineups", "spec": {}, "offload_timeout_s": 5}, "offload_timeout_s"),
        ({"kind": "lineups", "spec": {}, "name": ""}, "name"),
    ],
)
async def test_a_bad_field_is_named(body: dict[str, object], word: str) -> None:
    async with api() as (http, _, _), http.post("/api/v1/jobs", json=body, headers=AUTH) as response:
        assert response.status == 422
        assert word in (await response.json())["error"]["message"]


async def test_an_unexpected_error_shows_a_number_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async with api() as (http, _, services):
        services.jobs.broken = True
        async with http.get("/api/v1/jobs/aaaa", headers=AUTH) as response:
            text = await response.text()
            error = (await response.json())["error"]
        assert (response.status, error["code"]) == (500, "internal")
        assert "secret of the inner" not in text
        record = next(record for record in caplog.records if record.exc_info)
        assert vars(record)["error"] in error["message"]
        assert (await code(http, "GET", "/api/v1/status", headers=AUTH))[0] == 200


async def test_unknown_paths_and_methods_are_answered_as_errors() -> None:
    async with api() as (http, _, _):
        assert await code(http, "GET", "/api/v1/nothing", headers=AUTH) == (404, "not_found")
        assert await code(http, "DELETE", "/api/v1/jobs", headers=AUTH) == (405, "method")


async def test_answers_are_not_kept_or_guessed_at_by_a_browser() -> None:
    async with api() as (http, _, _), http.get("/api/v1/status", headers=AUTH) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.content_type == "application/json"
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_port_that_is_taken_is_passed_over() -> None:
    first = Services()
    runner, port = await serve(first.app(TOKEN), 0)
    other, next_port = await serve(Services().app(TOKEN), port)
    try:
        assert port < next_port < port + 20
    finally:
        await asyncio.gather(runner.cleanup(), other.cleanup())
