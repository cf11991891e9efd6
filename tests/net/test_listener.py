"""What the peer port lets in: nothing but two paths, TLS 1.3, and few strangers for a short time."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from meshd.errors import Degraded
from meshd.net import listener as listening
from meshd.net.listener import Listener
from meshd.trust.identity import Identity, load_or_create_identity
from tests.support.device import Device, open_device, pair


@pytest_asyncio.fixture
async def pc(tmp_path: Path) -> AsyncGenerator[Device, None]:
    async with open_device(tmp_path / "pc", "pc", step_s=0.3) as device:
        yield device


def unverified(highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = highest
    return context


async def status(
    device: Device, path: str, *, headers: dict[str, str] | None = None, method: str = "GET", upgrade: bool = True
) -> int:
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"} if upgrade else {}
    handshake |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} if upgrade else {}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
        http.request(
            method, f"https://{device.address}{path}", headers={**handshake, **(headers or {})}, ssl=unverified()
        ) as answer,
    ):
        return answer.status


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "https://127.0.0.1"])
@pytest.mark.parametrize("path", ["/mesh", "/pair", "/"])
@pytest.mark.asyncio
async def test_a_web_page_gets_in_nowhere(pc: Device, path: str, origin: str) -> None:
    assert await status(pc, path, headers={"Origin": origin}) == 403


@pytest.mark.parametrize("path", ["/", "/mesh/", "/mesh/x", "/api/v1/status", "/../mesh/..", "//pair"])
@pytest.mark.asyncio
async def test_everything_unknown_is_not_found(pc: Device, path: str) -> None:
    assert await status(pc, path) == 404


@pytest.mark.asyncio
async def test_the_two_paths_speak_only_websocket(pc: Device) -> None:
    assert await status(pc, "/mesh", upgrade=False) == 400
    assert await status(pc, "/pair", method="POST", upgrade=False) == 405


@pytest.mark.asyncio
async def test_tls_below_1_3_is_refused(pc: Device) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", pc.listener.port, ssl=unverified(ssl.TLSVersion.TLSv1_2))


@pytest.mark.asyncio
async def test_a_connection_that_does_not_begin_tls_is_closed(pc: Device) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", pc.listener.port)

    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


@pytest.mark.asyncio
async def test_a_port_that_is_taken_gives_way_to_the_next(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with open_device(tmp_path / "pc", "pc", port=port) as pc:
            assert pc.listener.port not in (0, port)
            await (await pc.dialer.connect([pc.address], pc.identity.fingerprint)).channel.close()


@pytest.mark.asyncio
async def test_an_interface_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    identity = await asyncio.to_thread(load_or_create_identity, tmp_path)
    with pytest.raises(Degraded, match="the peer port cannot be opened"):
        async with make_listener(identity).open(port=0, host="192.0.2.77"):
            pass


def make_listener(identity: Identity, routes: list[web.AbstractRouteDef] | None = None) -> Listener:
    async def refuse(channel: object, *_: object) -> None:
        """Serve nobody."""

    return Listener(identity=identity, mesh=refuse, pair=refuse, routes=routes or [], handshake_s=60)


@pytest.mark.asyncio
async def test_both_families_reach_the_port(tmp_path: Path) -> None:
    identity = await asyncio.to_thread(load_or_create_identity, tmp_path)
    listener = make_listener(identity)
    async with listener.open(port=0):
        for host in ("127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])):
            _, writer = await asyncio.open_connection(host, listener.port, ssl=unverified())
            writer.close()


@pytest.mark.asyncio
async def test_many_strangers_push_out_each_other_and_no_peer(
    pc: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MAX_STRANGERS", 8)
    async with open_device(tmp_path / "laptop", "laptop") as laptop, open_device(tmp_path / "third", "third") as third:
        await pair(pc, laptop)
        session = await pc.online(laptop)
        held = [await asyncio.open_connection("127.0.0.1", pc.listener.port) for _ in range(40)]
        await asyncio.wait_for(held[0][0].read(), 5)

        await pair(pc, third)

        assert pc.mesh.session(laptop.identity.device) is session
        for _, writer in held:
            writer.close()


@pytest.mark.asyncio
async def test_a_request_that_was_vouched_for_is_no_stranger_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MAX_STRANGERS", 2)
    identity = await asyncio.to_thread(load_or_create_identity, tmp_path)

    async def slow(request: web.Request) -> web.Response:
        if "token" in request.query:
            listener.vouch(request)
        arrived.set()
        await go_on.wait()
        return web.Response(text="done")

    async def fetch(query: str) -> str:
        arrived.clear()
        url = f"https://127.0.0.1:{listener.port}/blob{query}"
        try:
            async with http.get(url, ssl=unverified()) as answer:
                return await answer.text()
        except aiohttp.ClientError:
            return "cut"

    arrived, go_on = asyncio.Event(), asyncio.Event()
    listener = make_listener(identity, [web.get("/blob", slow)])
    async with (
        listener.open(port=0, host="127.0.0.1"),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
        asyncio.TaskGroup() as group,
    ):
        fetched = list[asyncio.Task[str]]()
        for query in ("?token", ""):
            fetched.append(group.create_task(fetch(query)))
            await asyncio.wait_for(arrived.wait(), 5)
        crowd = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(6)]
        await asyncio.wait_for(crowd[0][0].read(), 5)
        go_on.set()
        vouched, stranger = [await one for one in fetched]
        for _, writer in crowd:
            writer.close()

    assert (vouched, stranger) == ("done", "cut")


@pytest.mark.parametrize("path", ["/mesh", "/pair"])
@pytest.mark.asyncio
async def test_whoever_hangs_up_before_the_answer_leaves_no_error_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    gone = asyncio.Event()

    @web.middleware
    async def hang_up(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        gone.set()
        return await handler(request)

    monkeypatch.setattr(listening, "_refuse_browsers", hang_up)
    async with open_device(tmp_path / "box", "box") as box:
        with pytest.raises(aiohttp.ClientError):
            await status(box, path)
        await asyncio.wait_for(gone.wait(), 5)

    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
