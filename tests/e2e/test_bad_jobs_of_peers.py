"""What a peer offers may be bad in every way, too: it is declined with one reason, and other work goes on."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshd import kinds
from meshd.execution.outcome import Failed
from meshd.kinds.base import Document, PackedPartial
from meshd.net.streams import Transaction
from meshd_protocol.codec import DurableMessage
from meshd_protocol.ids import DeviceId
from meshd_protocol.limits import MAX_DEPTH
from meshd_protocol.messages import jobs as wire
from tests.support.desk import Desk, PlainKind, Run, joined, open_desk
from tests.support.eventually import eventually
from tests.support.memory_blobs import MemoryBlobs
from tests.support.memory_exchange import MemoryExchange

pytestmark = pytest.mark.asyncio

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")
JOB = "aaaaaaaaaaaa"
NOWHERE = "0" * 64
GOOD = {"a": 1}


@dataclass(frozen=True, slots=True)
class Strict(PlainKind):
    """A kind that takes what desks submit and what `echo` takes, and breaks over one spec."""

    def validate(self, spec: Document) -> dict[str, object]:
        if spec.get("text") == "breaks the check":
            raise ZeroDivisionError("the check is broken")
        return dict(spec) if spec == GOOD else kinds.find("echo").validate(spec)


@dataclass
class Mailbox:
    """What a desk is told durably, beside its courier."""

    heard: list[DurableMessage] = field(default_factory=list[DurableMessage])

    def open_at(self, desk: Desk) -> None:
        """Read along from now on."""
        apply = desk.courier.apply

        def read_along(transaction: Transaction, peer: DeviceId, message: DurableMessage, answered: int) -> None:
            self.heard.append(message)
            apply(transaction, peer, message, answered)

        desk.courier.apply = read_along


def offer(resolved: bytes, **changes: object) -> wire.Offer:
    fields: dict[str, object] = {
        "job": JOB,
        "attempt": 1,
        "kind": "plain",
        "name": "bad",
        "resolved": resolved,
        "priority": 0,
        "timeout_s": 0.0,
    }
    return wire.Offer(**(fields | changes))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        pytest.param(offer(b"{", kind="bitcoin"), "bitcoin jobs of this device are not allowed", id="an unknown kind"),
        pytest.param(offer(b"{'a': 1}"), "not a JSON object", id="what is not JSON"),
        pytest.param(offer(b"[1]"), "not a JSON object", id="a list"),
        pytest.param(offer(b'{"text": NaN}'), "not a JSON object", id="what is not a number"),
        pytest.param(offer(b'{"text": "\xff"}'), "not a JSON object", id="bytes that are no text"),
        pytest.param(offer(b'{"text": 5}'), "Expected `str`, got `int`", id="a wrong type"),
        pytest.param(offer(b'{"sleep_s": -1}'), "Expected `float` >= 0.0", id="less than no time"),
        pytest.param(offer(b'{"size_bytes": 1000000000}'), "<= 268435456", id="a result of 1 GB"),
        pytest.param(offer(b'{"deep": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"), "128 lists", id="a deep spec"),
        pytest.param(offer(b'{"deep": ' + b"[" * 10**5 + b"]" * 10**5 + b"}"), "recursion", id="a very deep spec"),
        pytest.param(offer(b'{"text": "breaks the check"}'), "ZeroDivisionError", id="what breaks its kind's check"),
    ],
)
async def test_a_peer_hears_one_reason_when_it_offers(tmp_path: Path, bad: wire.Offer, says: str) -> None:
    mailbox = Mailbox()
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}))
        pc = await stack.enter_async_context(open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}, kind=Strict()))
        mailbox.open_at(laptop)
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: pc.streams.is_open(LAPTOP))
        await laptop.streams.write(lambda transaction: transaction.post(PC, bad))
        await eventually(lambda: any(isinstance(message, wire.Declined) for message in mailbox.heard))
        await runs_through(laptop, pc)

        (declined,) = mailbox.heard[:1]
        assert isinstance(declined, wire.Declined)
        assert (declined.job, declined.code) == (JOB, "refused")
        assert says in declined.reason
        assert declined.reason.isprintable()
        assert not await pc.store.fetch("SELECT * FROM held WHERE job = ?", (JOB,))


async def test_an_offer_that_no_database_can_hold_is_rejected_and_what_follows_is_taken(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await Pair(tmp_path).open(stack)
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: pc.streams.is_open(LAPTOP))
        bad = offer(b"{}", priority=2**64 - 1)
        await laptop.streams.write(lambda transaction: transaction.post(PC, bad))
        await runs_through(laptop, pc)

        assert not await pc.store.fetch("SELECT * FROM held WHERE job = ?", (JOB,))


async def runs_through(laptop: Desk, pc: Desk) -> None:
    """Let another job of one run on the other."""
    job = await laptop.submit("pc")
    (await only_run(pc)).succeed()
    await eventually(lambda: is_state(laptop, job, "completed"))


async def only_run(desk: Desk) -> Run:
    await eventually(lambda: len(desk.pool.runs) == 1)
    return desk.pool.runs[0]


async def is_state(desk: Desk, job: str, state: str) -> bool:
    return (await desk.history.job(job)).state == state


@dataclass
class Pair:
    """The blobs of two devices, and the way between them."""

    folder: Path
    slots: int = 2
    exchanges: dict[DeviceId, MemoryExchange] = field(default_factory=dict[DeviceId, MemoryExchange])
    blobs: dict[DeviceId, MemoryBlobs] = field(default_factory=lambda: {LAPTOP: MemoryBlobs(), PC: MemoryBlobs()})

    async def open(self, stack: AsyncExitStack) -> tuple[Desk, Desk]:
        await asyncio.to_thread(self.folder.mkdir, exist_ok=True)
        laptop = open_desk(
            self.folder / "laptop",
            LAPTOP,
            {PC: "pc"},
            slots=self.slots,
            blobs=self.blobs[LAPTOP],
            exchanges=self.exchanges,
        )
        pc = open_desk(self.folder / "pc", PC, {LAPTOP: "laptop"}, blobs=self.blobs[PC], exchanges=self.exchanges)
        return await stack.enter_async_context(laptop), await stack.enter_async_context(pc)


def partial(start: int, stop: int, *, units: int = 20, phase: int = 0) -> PackedPartial:
    return PackedPartial(phase, units, start, stop, f"{start} to {stop}".encode())


async def units(desk: Desk, job: str) -> int:
    rows = await desk.store.fetch("SELECT sum(stop - start) AS n FROM partial WHERE job = ?", (job,))
    return rows[0]["n"] or 0


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(partial(5, 12), id="overlaps what is known"),
        pytest.param(partial(10, 20, units=40), id="is of another grid"),
        pytest.param(partial(0, 5), id="goes back"),
    ],
)
async def test_a_peers_checkpoint_is_left_out_and_its_job_goes_on_when_it(tmp_path: Path, bad: PackedPartial) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await Pair(tmp_path).open(stack)
        await stack.enter_async_context(joined(laptop, pc))
        job = await laptop.submit("pc")
        run = await only_run(pc)
        run.on_partial(partial(0, 10))
        await eventually(lambda: covers(laptop, job, 10))
        run.on_partial(bad)
        run.on_partial(partial(15, 20))
        await eventually(lambda: covers(laptop, job, 15))
        run.succeed()
        await eventually(lambda: is_state(laptop, job, "completed"))


async def covers(desk: Desk, job: str, wanted: int) -> bool:
    return await units(desk, job) == wanted


async def test_a_checkpoint_that_is_damaged_at_the_peer_is_left_out(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with AsyncExitStack() as stack:
        laptop, pc = await pair.open(stack)
        async with joined(laptop, pc):
            job = await laptop.submit("pc")
            run = await only_run(pc)
        run.on_partial(partial(0, 10))
        await eventually(lambda: len(pair.blobs[PC].blobs) == 1)
        for digest in pair.blobs[PC].blobs:
            pair.blobs[PC].blobs[digest] = b"rotten!"
        async with joined(laptop, pc):
            run.on_partial(partial(10, 20))
            await eventually(lambda: covers(laptop, job, 10))
            run.succeed()
            await eventually(lambda: is_state(laptop, job, "completed"))


@pytest.mark.parametrize("is_there", [True, False], ids=["damaged", "gone"])
async def test_a_job_whose_checkpoint_no_longer_exists_begins_anew_on_a_peer(tmp_path: Path, *, is_there: bool) -> None:
    pair = Pair(tmp_path, slots=1)
    async with AsyncExitStack() as stack:
        laptop, pc = await pair.open(stack)
        job = await laptop.submit("auto")
        here = await only_run(laptop)
        here.on_partial(partial(0, 10))
        await eventually(lambda: covers(laptop, job, 10))
        urgent = await laptop.submit("local", priority=10)
        for digest in list(pair.blobs[LAPTOP].blobs):
            if is_there:
                pair.blobs[LAPTOP].blobs[digest] = b"0 to X?"
            else:
                del pair.blobs[LAPTOP].blobs[digest]
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: pc.streams.is_open(LAPTOP))
        here.end.set_result(Failed("lost", "its worker was killed"))
        there = await only_run(pc)

        assert list(there.partials) == []
        there.succeed()
        await eventually(lambda: is_state(laptop, job, "completed"))
        (await only_run(laptop)).succeed()
        await eventually(lambda: is_state(laptop, urgent, "completed"))


async def test_an_offer_whose_checkpoint_is_larger_than_any_blob_runs_without_it(tmp_path: Path) -> None:
    huge = wire.PartialRef(phase=0, units=20, start=0, stop=10, digest=NOWHERE, size=2**52)
    async with AsyncExitStack() as stack:
        laptop, pc = await Pair(tmp_path).open(stack)
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: pc.streams.is_open(LAPTOP))
        await laptop.streams.write(lambda transaction: transaction.post(PC, offer(b"{}", partials=(huge,))))
        await runs_through(laptop, pc)
