"""What a peer, or a stranger, might try over HTTP to have blobs that are not theirs, or to leave some here."""

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from meshd.errors import NotFound
from meshd.net import blobs as exchange
from meshd.net.blob_line import MAX_TRANSFERS
from meshd_protocol.codec import BlobMessage
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages import blobs
from tests.support.blob_pair import Two, expect, open_two, size_of
from tests.support.eventually import eventually

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PAUSE_S", 0.02)


@pytest_asyncio.fixture
async def getting(tmp_path: Path) -> AsyncGenerator[Two]:
    """Who dials wants what the other has."""
    async with open_two(tmp_path) as opened:
        yield opened


@pytest.fixture
def putting(getting: Two) -> Two:
    """Who dials has what the other wants."""
    return getting.turned()


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: frozenset[tuple[str, str]]


def ignore(peer: DeviceId, message: BlobMessage) -> None:
    """Leave the answer to the test."""


async def ask(two: Two, digest: str, *, method: str = "GET", token: str, data: object = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
        http.request(
            method,
            f"{two.answers.url}/{digest}",
            headers={"Authorization": token, **named},
            data=data,
            ssl=aiohttp.Fingerprint(two.answers.identity.fingerprint),
        ) as answer,
    ):
        kept = frozenset((name, value) for name, value in answer.headers.items() if name != "Date")
        return Answer(answer.status, await answer.read(), kept)


@pytest.mark.asyncio
async def test_whoever_has_no_right_hears_the_same_as_who_asks_for_nothing(getting: Two) -> None:
    two = getting
    ref = await two.offer(b"secret")
    hidden = await two.gives.blobs.put(b"of another peer")
    lost = "0" * 64
    two.gives.grant(two.wants, lost)
    key, whole = f"Bearer {two.key}", {"Range": "bytes=0-"}
    assert (await ask(two, ref.digest, token=key, **whole)).body == b"secret"

    answers = [
        await ask(two, ref.digest, token="", **whole),
        await ask(two, ref.digest, token="Bearer " + "x" * 43, **whole),
        await ask(two, ref.digest, token="Bearer \xff\xfe", **whole),  # noqa: S106 - not even text
        await ask(two, ref.digest, token=two.key, **whole),
        await ask(two, hidden.digest, token=key, **whole),
        await ask(two, lost, token=key, **whole),
        await ask(two, "1" * 64, token=key, **whole),
        await ask(two, "not-a-digest", token=key, **whole),
        await ask(two, ref.digest, token=key, Range="bytes=6-"),
        await ask(two, ref.digest, token=key, Range="bytes=99999999999999999999-"),
        await ask(two, ref.digest, token=key),
        await ask(two, ref.digest, method="PUT", token=key, data=b""),
        await ask(two, ref.digest, method="PUT", token="", data=b"", Content_Range="bytes 0-5/6"),
    ]

    assert {answer.status for answer in answers} == {404}
    assert len(set(answers)) == 1


@pytest.mark.asyncio
async def test_the_token_dies_with_the_session(getting: Two) -> None:
    two = getting
    ref = await two.offer(b"secret")
    old = two.key
    two.line.cut()
    await eventually(lambda: two.dials.sessions == 2 and two.key != old)

    assert (await ask(two, ref.digest, token=f"Bearer {old}", Range="bytes=0-")).status == 404
    assert (await ask(two, ref.digest, token=f"Bearer {two.key}", Range="bytes=0-")).status == 206


@pytest.mark.asyncio
async def test_a_connection_that_the_token_opened_is_cut_with_the_session(getting: Two) -> None:
    two = getting
    ref = await two.offer(os.urandom(64 * MIB))
    async with (
        aiohttp.ClientSession() as http,
        http.get(
            f"{two.answers.url}/{ref.digest}",
            headers={"Authorization": f"Bearer {two.key}", "Range": "bytes=0-"},
            ssl=aiohttp.Fingerprint(two.answers.identity.fingerprint),
        ) as answer,
    ):
        assert answer.status == 206
        two.line.cut()
        with pytest.raises((aiohttp.ClientError, OSError)):
            await answer.read()


@pytest.mark.asyncio
async def test_a_peer_that_asks_for_too_much_at_once_hears_no(getting: Two) -> None:
    two = getting
    ref = await two.offer(os.urandom(64 * MIB))
    statuses = list[int]()
    async with aiohttp.ClientSession() as http:

        async def hold_one() -> None:
            async with http.get(
                f"{two.answers.url}/{ref.digest}",
                headers={"Authorization": f"Bearer {two.key}", "Range": "bytes=0-"},
                ssl=pin,
            ) as answer:
                statuses.append(answer.status)
                await asyncio.Event().wait()

        pin = aiohttp.Fingerprint(two.answers.identity.fingerprint)
        async with asyncio.TaskGroup() as group:
            holding = [group.create_task(hold_one()) for _ in range(3 * MAX_TRANSFERS)]
            await eventually(lambda: len(statuses) == 2 * MAX_TRANSFERS)
            for task in holding:
                task.cancel()

    assert sorted(statuses) == [206] * MAX_TRANSFERS + [404] * MAX_TRANSFERS


@pytest.mark.asyncio
async def test_a_peer_that_has_another_size_is_not_believed(getting: Two) -> None:
    two = getting
    ref = await two.offer(b"x" * 1000)
    two.gives.blob(ref.digest).write_bytes(b"x" * 100_000)

    assert "something else" in await expect(NotFound, two.fetch(ref))
    assert size_of(two.wants.part(ref.digest)) == 0


@pytest.mark.asyncio
async def test_only_what_was_asked_for_is_taken_to_the_byte(putting: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two, data = putting, os.urandom(100_000)
    ref = await two.offer(data)
    monkeypatch.setattr(two.dials.exchange, "hear", ignore)

    async def more() -> AsyncGenerator[bytes]:
        yield data

    async def put(digest: str, body: object, span: str, **headers: str) -> int:
        token = f"Bearer {two.key}"
        answer = await ask(two, digest, method="PUT", token=token, data=body, Content_Range=span, **headers)
        return answer.status

    async with asyncio.TaskGroup() as group:
        fetching = group.create_task(two.fetch(ref))
        await eventually(lambda: any(isinstance(message, blobs.BlobWanted) for message in two.dials.heard))
        whole = "bytes 0-99999/100000"
        assert await put("2" * 64, data, whole) == 404
        assert await put(ref.digest, data + b"x", whole) == 404
        assert await put(ref.digest, data + b"x", "bytes 0-100000/100001") == 404
        assert await put(ref.digest, data[1:], "bytes 1-99999/100000") == 404
        assert await put(ref.digest, data[:-1], whole) == 404
        assert await put(ref.digest, more(), whole) == 404
        assert await put(ref.digest, data, whole, Content_Encoding="gzip") == 404
        assert size_of(two.wants.part(ref.digest)) == 0
        assert await put(ref.digest, data, whole) == 204
        await fetching
        assert await put(ref.digest, data, whole) == 404

    assert await two.wants.blobs.read(ref) == data


@pytest.mark.asyncio
async def test_other_bytes_than_those_asked_for_are_refused_by_name(
    putting: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = putting
    ref = await two.offer(b"right")
    monkeypatch.setattr(two.dials.exchange, "hear", ignore)

    def asked() -> int:
        return sum(isinstance(message, blobs.BlobWanted) for message in two.dials.heard)

    async with asyncio.TaskGroup() as group:
        fetching = group.create_task(expect(NotFound, two.fetch(ref)))
        token = f"Bearer {two.key}"
        # The second time, an honest giver would have looked at its copy.
        for times in (1, 2):
            await eventually(lambda times=times: asked() == times)
            await ask(two, ref.digest, method="PUT", token=token, data=b"wrong", Content_Range="bytes 0-4/5")
        said = await fetching

    assert two.gives.device in said
    assert ref.digest[:12] in said
    assert not await two.wants.blobs.has(ref)
    assert size_of(two.wants.part(ref.digest)) == 0


@pytest.mark.asyncio
async def test_a_peer_that_wants_without_end_fills_nothing(putting: Two) -> None:
    two = putting
    ref = await two.offer(os.urandom(MIB))
    for number in range(1000):
        wanted = blobs.BlobWanted(digest=f"{number:064x}", size=5)
        two.dials.exchange.hear(two.answers.device, wanted)
    conversation = two.dials.streams._live[two.answers.device]  # pyright: ignore[reportPrivateUsage]

    assert len(conversation._ephemeral) <= 4 * MAX_TRANSFERS  # pyright: ignore[reportPrivateUsage]
    await two.fetch(ref)
