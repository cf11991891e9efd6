import asyncio
import socket
from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio
from aiohttp import web

from meshd.errors import PeerUnreachable
from meshd.net.address import Address, format_address, parse_address
from meshd.net.channel import ChannelClosed
from meshd.net.dialer import BACKOFF_MAX_S, BACKOFF_MIN_S, Backoff, Dialer
from meshd.net.interfaces import list_interfaces
from meshd_protocol.crypto import fingerprint
from tests.support.device import Device, open_device

NOBODY = fingerprint(b"nobody's certificate")


@pytest_asyncio.fixture
async def pc(tmp_path: Path) -> AsyncGenerator[Device, None]:
    async with open_device(tmp_path / "pc", "pc") as device:
        yield device


@pytest.mark.asyncio
async def test_the_first_address_that_answers_as_the_peer_wins(pc: Device, tmp_path: Path) -> None:
    async with open_device(tmp_path / "other", "other") as other:
        dialled = await pc.dialer.connect(["127.0.0.1:1", other.address, pc.address], pc.identity.fingerprint)

        assert dialled.address == pc.address
        assert dialled.certificate == pc.identity.certificate
        await dialled.channel.close()


@pytest.mark.asyncio
async def test_a_link_local_address_is_dialled_through_its_interface(tmp_path: Path) -> None:
    interfaces = await asyncio.to_thread(list_interfaces)
    local = [f"{one.address}%{one.name}" for one in interfaces if one.address.startswith("fe80:")]
    if not local:
        pytest.skip("no data: this machine has no link-local address")
    async with open_device(tmp_path / "pc", "pc", host="") as pc:
        dialled = await pc.dialer.connect([f"[{local[0]}]:{pc.listener.port}"], pc.identity.fingerprint)
        await dialled.channel.close()


@pytest.mark.asyncio
async def test_an_address_that_does_not_answer_holds_up_no_other(pc: Device) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        started = asyncio.get_running_loop().time()
        dialled = await pc.dialer.connect([address, pc.address], pc.identity.fingerprint)
        took = asyncio.get_running_loop().time() - started

        assert dialled.address == pc.address
        assert took < 2.0
        await dialled.channel.close()


@pytest.mark.asyncio
async def test_nobody_there_says_for_each_address_why(pc: Device, tmp_path: Path) -> None:
    async with Dialer(connect_s=0.2) as dialer:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(PeerUnreachable) as unreachable:
                await dialer.connect([pc.address, "127.0.0.1:1", address, "no such host"], NOBODY)

        words = str(unreachable.value)
        assert f"{pc.address}: another device answers there" in words
        assert "127.0.0.1:1: " in words
        assert f"{address}: no answer within 0.2 s" in words
        assert "'no such host' is not a host" in words
        with pytest.raises(PeerUnreachable, match="no address is known"):
            await dialer.connect([], pc.identity.fingerprint)


@pytest.mark.asyncio
async def test_an_impostor_receives_nothing_after_tls(pc: Device) -> None:
    received = bytearray()
    over = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            received.extend(await reader.read())
        except OSError:
            received.extend(b"")
        writer.close()
        over.set()

    context = await asyncio.to_thread(pc.identity.server_ssl_context)
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(PeerUnreachable, match="another device"):
            await pc.dialer.connect([address], NOBODY)
        await asyncio.wait_for(over.wait(), 5)

    assert bytes(received) == b""


@pytest.mark.asyncio
async def test_a_dead_connection_is_noticed_by_its_silence(pc: Device) -> None:
    accepted = asyncio.Event()

    async def answer_nothing(request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse(autoping=False)
        await websocket.prepare(request)
        accepted.set()
        await over.wait()
        return websocket

    over = asyncio.Event()
    app = web.Application()
    app.add_routes([web.get("/mesh", answer_nothing)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = await asyncio.to_thread(pc.identity.server_ssl_context)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    async with Dialer(heartbeat_s=0.2) as dialer:
        address = f"127.0.0.1:{runner.addresses[0][1]}"
        dialled = await dialer.connect([address], pc.identity.fingerprint)
        await accepted.wait()

        with pytest.raises(ChannelClosed) as closed:
            await asyncio.wait_for(dialled.channel.receive(), 3)
        assert closed.value.code is None
        over.set()
    await runner.cleanup()


def test_pauses_grow_to_a_minute_and_are_never_all_the_same() -> None:
    backoff = Backoff(Random(1))  # noqa: S311 - jitter
    pauses = [backoff.next() for _ in range(30)]

    limit = BACKOFF_MIN_S
    for pause in pauses:
        assert limit * 0.5 <= pause <= limit
        limit = min(limit * 1.5, BACKOFF_MAX_S)
    assert limit == BACKOFF_MAX_S
    assert len(set(pauses)) == 30
    backoff.reset()
    assert backoff.next() <= BACKOFF_MIN_S


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.7", Address("192.168.1.7", 62223)),
        ("192.168.1.7:80", Address("192.168.1.7", 80)),
        (" pc.local:80 ", Address("pc.local", 80)),
        ("fe80::1%eth0", Address("fe80::1%eth0", 62223)),
        ("[fe80::1%2]:80", Address("fe80::1%2", 80)),
        ("[::1]", Address("::1", 62223)),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("host", "written"),
    [("10.0.0.1", "10.0.0.1:5"), ("::ffff:10.0.0.1", "10.0.0.1:5"), ("fe80::1%2", "[fe80::1%2]:5"), ("pc", "pc:5")],
)
def test_an_address_is_written_so_that_it_can_be_read(host: str, written: str) -> None:
    assert format_address(host, 5) == written
