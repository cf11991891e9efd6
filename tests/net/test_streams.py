"""What is committed on one side takes effect once on the other, over lines that break and peers that misbehave."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meshd.net.streams import Transaction
from meshd.store import streams as rows
from meshd_protocol import codec
from meshd_protocol.errors import ProtocolError, RemoteError
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages import jobs, session, status
from meshd_protocol.messages.base import Message
from tests.support.desk import Desk, joined, open_desk
from tests.support.eventually import eventually
from tests.support.memory_session import MemorySession, session_pair

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")


def declined(number: int) -> jobs.Declined:
    return jobs.Declined(job="aaaaaaaaaaaa", attempt=number, code="refused", reason=f"number {number}")


async def desks(stack: AsyncExitStack, folder: Path) -> tuple[Desk, Desk, list[int]]:
    """Return two desks, and what the second one's origin hears."""
    laptop = await stack.enter_async_context(open_desk(folder / "laptop", LAPTOP, {PC: "pc"}))
    pc = await stack.enter_async_context(open_desk(folder / "pc", PC, {LAPTOP: "laptop"}))
    heard: list[int] = []
    pc.origin.declined = lambda transaction, peer, message: heard.append(message.attempt)  # pyright: ignore[reportAttributeAccessIssue]
    return laptop, pc, heard


async def post(desk: Desk, *numbers: int) -> None:
    def run(transaction: Transaction) -> None:
        for number in numbers:
            transaction.post(PC, declined(number))

    await desk.streams.write(run)


@pytest.mark.asyncio
async def test_messages_posted_before_during_and_after_sessions_arrive_once_and_in_order(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc, heard = await desks(stack, tmp_path)
        await post(laptop, 1, 2)
        async with joined(laptop, pc):
            await asyncio.gather(*(post(laptop, number) for number in range(3, 60)))
            await eventually(lambda: len(heard) >= 40)
        await post(laptop, 60, 61)
        async with joined(laptop, pc):
            await eventually(lambda: len(heard) == 61)
        assert heard == list(range(1, 62))
        assert not await laptop.store.fetch("SELECT * FROM outbox WHERE seq < 50")


@pytest.mark.asyncio
async def test_a_message_tells_what_its_sender_had_answered_in_this_session_when_it_wrote_it(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc, _ = await desks(stack, tmp_path)
        laptop.origin.holding = lambda peer, message: None  # pyright: ignore[reportAttributeAccessIssue]
        heard: dict[int, int] = {}
        pc.courier.apply = lambda transaction, peer, message, answered: heard.update({message.attempt: answered})  # pyright: ignore[reportAttributeAccessIssue]
        await post(laptop, 1)
        async with joined(laptop, pc):
            await eventually(lambda: len(heard) == 1)
            await post(laptop, 2)
            laptop.streams.tell(PC, jobs.Renewed(number=5, renewed=[], superseded=[]))
            await post(laptop, 3)
            await eventually(lambda: len(heard) == 3)
        await post(laptop, 4)
        async with joined(laptop, pc):
            await eventually(lambda: len(heard) == 4)
        assert heard == {1: 0, 2: 0, 3: 5, 4: 0}


@pytest.mark.asyncio
async def test_more_messages_than_a_window_all_arrive(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc, heard = await desks(stack, tmp_path)
        await post(laptop, *range(1, 1001))
        async with joined(laptop, pc):
            await eventually(lambda: len(heard) == 1000)
        assert heard == list(range(1, 1001))


@pytest.mark.asyncio
async def test_a_message_that_cannot_be_applied_is_rejected_and_does_not_hold_up_the_next(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc, heard = await desks(stack, tmp_path)

        def apply(transaction: Transaction, peer: DeviceId, message: jobs.Declined) -> None:
            if message.attempt == 2:
                raise KeyError("a bug")
            transaction.after(lambda: heard.append(message.attempt))

        pc.origin.declined = apply
        await post(laptop, 1, 2, 3)
        async with joined(laptop, pc):
            await eventually(lambda: heard == [1, 3])
            await eventually(lambda: outbox_is_empty(laptop))


async def outbox_is_empty(desk: Desk) -> bool:
    return not await desk.store.fetch("SELECT * FROM outbox")


@pytest.mark.asyncio
async def test_a_transaction_that_fails_posts_nothing(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, _, _ = await desks(stack, tmp_path)

        def fail(transaction: Transaction) -> None:
            transaction.post(PC, declined(1))
            raise ValueError("changed my mind")

        with pytest.raises(ValueError, match="changed"):
            await laptop.streams.write(fail)
        assert await outbox_is_empty(laptop)


@pytest.mark.asyncio
async def test_a_peer_with_a_wiped_database_gets_a_new_stream_with_all_that_waits(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop:
        async with AsyncExitStack() as stack:
            pc = await stack.enter_async_context(open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}))
            async with joined(laptop, pc):
                await post(laptop, 1, 2)
                await eventually(lambda: outbox_is_empty(laptop))
        await post(laptop, 3, 4)
        async with AsyncExitStack() as stack:
            pc = await stack.enter_async_context(open_desk(tmp_path / "wiped", PC, {LAPTOP: "laptop"}))
            heard: list[int] = []
            pc.origin.declined = lambda transaction, peer, message: heard.append(message.attempt)  # pyright: ignore[reportAttributeAccessIssue]
            async with joined(laptop, pc):
                await eventually(lambda: heard == [3, 4])


async def against(desk: Desk, script: list[Message]) -> Exception | None:
    """Let a peer say `script` to the desk; return how the desk's side of the session ended."""
    mine, theirs = session_pair(PC, desk.device)
    talk = asyncio.ensure_future(desk.streams.converse(theirs))  # noqa: TID251
    for message in script:
        mine.post(message)
    try:
        async with asyncio.timeout(5):
            await asyncio.wait([talk], timeout=1)
    finally:
        mine.cut()
    try:
        await talk
    except ProtocolError as error:
        return error
    return None


RESUME = session.Resume(stream="", received=0, digest=b"")
START = session.StreamStart(stream="aaaabbbbccccdddd", after=0)


@pytest.mark.parametrize(
    "script",
    [
        [session.Durable(seq=1, frames=[b"x"])],
        [session.Ack(seq=1)],
        [RESUME, session.Ack(seq=99)],
        [RESUME, RESUME],
        [RESUME, START, START],
        [RESUME, START, session.Durable(seq=2, frames=[b"x"])],
        [RESUME, session.StreamStart(stream="aaaabbbbccccdddd", after=5)],
        [session.Hello(version=1, nonce=b"x")],
        [session.Refusal(code="x")],
    ],
    ids=[
        "early",
        "early ack",
        "false ack",
        "resumed twice",
        "started twice",
        "gap",
        "unknown past",
        "hello",
        "refusal",
    ],
)
@pytest.mark.asyncio
async def test_a_peer_that_breaks_the_order_ends_its_session_and_nothing_else(
    tmp_path: Path, script: list[Message]
) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop:
        assert isinstance(await against(laptop, script), RemoteError)
        job = await laptop.submit("local")
        await eventually(lambda: len(laptop.pool.runs) == 1)
        laptop.pool.runs[0].succeed()
        await eventually(lambda: is_completed(laptop, job))


async def is_completed(desk: Desk, job: str) -> bool:
    return (await desk.history.job(job)).state == "completed"


@pytest.mark.asyncio
async def test_a_paired_peer_that_lies_changes_nothing_of_others(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop:
        job = await laptop.submit("local")
        await eventually(lambda: len(laptop.pool.runs) == 1)
        lies = [
            jobs.Finished(job=job, attempt=1, state="succeeded", duration_s=0.0, result=b'{"forged":true}'),
            jobs.Finished(job=job, attempt=7, state="succeeded", duration_s=0.0, result=b"{}"),
            jobs.Declined(job=job, attempt=1, code="x", reason="forged"),
            jobs.Cancel(job=job, attempt=1, reason="forged"),
            jobs.Offer(job=job, attempt=1, kind="plain", name="x", resolved=b"not json", priority=0, timeout_s=0.0),
        ]
        script: list[Message] = [RESUME, START]
        script += [session.Durable(seq=seq, frames=[codec.encode(lie)]) for seq, lie in enumerate(lies, start=1)]
        script += [
            session.Durable(seq=len(lies) + 1, frames=[b"garbage"]),
            jobs.Progress(job=job, attempt=1, share=0.99, best="forged"),
            jobs.Holding(
                boot="aaaabbbbcccc", number=1, attempts=[jobs.HeldAttempt(job=job, attempt=1, state="running")]
            ),
            jobs.Renewed(number=77, renewed=[jobs.AttemptKey(job=job, attempt=1)], superseded=[]),
            status.Pong(number=12),
        ]
        assert await against(laptop, script) is None
        view = await laptop.history.job(job)
        assert (view.state, view.progress, view.best) == ("running", 0.0, "")
        cursor = await laptop.store.write(lambda connection: rows.inbound(connection, PC))
        assert cursor is not None
        assert cursor.last == len(lies) + 1
        laptop.pool.runs[0].succeed()
        await eventually(lambda: is_completed(laptop, job))


@pytest.mark.asyncio
async def test_a_newer_session_replaces_the_older_without_silencing_it(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc, heard = await desks(stack, tmp_path)
        async with joined(laptop, pc) as first:
            await post(laptop, 1)
            await eventually(lambda: heard == [1])
            first.cut()
            async with joined(laptop, pc):
                await post(laptop, 2)
                await eventually(lambda: heard == [1, 2])


def test_the_memory_session_passes_frames_through_the_codec() -> None:
    async def run() -> Message:
        one, two = session_pair(LAPTOP, PC)
        one.post(status.Ping(number=3))
        assert isinstance(two, MemorySession)
        return await two.receive()

    assert asyncio.run(run()) == status.Ping(number=3)
