"""One job on several devices: units change hands, come together once, and nothing that is lost is missing."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meshd.execution.outcome import Cancelled, Failed, ProgressReport
from meshd.jobs import spread
from meshd.jobs.spread import ANSWER_S
from meshd.kinds.base import Part
from meshd.net.blob_stream import Stalled
from meshd.store.blobs import BlobRef
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.messages import jobs as wire
from tests.support.desk import Desk, joined
from tests.support.eventually import eventually
from tests.support.memory_exchange import MemoryExchange
from tests.support.shared_job import (
    LAPTOP,
    PC,
    PHASE,
    a_partial,
    a_shared_job,
    covered,
    ended_as,
    is_state,
    nothing_left,
    once_it_waits,
    shared,
    two_desks,
)


@pytest.mark.asyncio
@pytest.mark.parametrize("placement", ["local", "pc"])
async def test_an_idle_device_computes_a_part_and_the_whole_attempt_goes_on_with_it(
    tmp_path: Path, placement: str
) -> None:
    async with a_shared_job(tmp_path, placement) as (laptop, pc, job, whole, part):
        assert part.part == Part(PHASE, 60, 100)
        assert part.partials == ()
        whole.on_partial(a_partial(0, 60))
        whole.on_waiting(0, 100, [(60, 100)])
        part.on_partial(a_partial(60, 100))
        part.succeed(b"{}")
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))
        await once_it_waits(whole, lambda: bool(whole.joined))
        assert [partial.data for partial in whole.joined] == [b"60-100"]
        whole.succeed()
        await eventually(lambda: is_state(laptop, job, "completed"))
        await eventually(lambda: nothing_left(laptop, pc))


@pytest.mark.asyncio
async def test_units_of_a_part_that_fails_come_back_and_the_job_is_none_the_worse(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (laptop, _, job, whole, part):
        part.end.set_result(Failed("out_of_memory", "there was not enough memory"))
        await eventually(lambda: ended_as(laptop, job, 2, "lost"))
        await once_it_waits(whole, lambda: "extend 0 60-100" in whole.told)
        assert await is_state(laptop, job, "running")


@pytest.mark.asyncio
async def test_what_a_lost_part_had_kept_is_not_computed_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        async with joined(laptop, pc):
            _, _, job, whole, part = await shared(laptop, pc)
            part.on_partial(a_partial(60, 75))
            await eventually(lambda: covers(laptop, 15))
        await eventually(lambda: ended_as(laptop, job, 2, "lost"), within_s=15)
        await once_it_waits(whole, lambda: "extend 0 75-100" in whole.told)
        assert await is_state(laptop, job, "running")


async def covers(desk: Desk, units: int) -> bool:
    found = await desk.store.fetch("SELECT coalesce(sum(stop - start), 0) AS units FROM partial")
    return found[0]["units"] == units


@pytest.mark.asyncio
async def test_a_device_that_has_done_its_own_takes_over_from_a_slow_part_even_if_it_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshd.jobs.spread.ANSWER_S", ANSWER_S / 10)
    async with a_shared_job(tmp_path) as (_, _, _, whole, part):
        part.on_progress(ProgressReport(0.1, "", "", 30.0))
        await once_it_waits(whole, lambda: any(word.startswith("shrink") for word in part.told))
        assert not any(word.startswith("extend") for word in whole.told)
        await once_it_waits(whole, lambda: "extend 0 60-100" in whole.told)
        part.on_shrunk(Part(PHASE, 80, 100))
        await eventually(lambda: "extend 0 80-100" in whole.told)


@pytest.mark.asyncio
async def test_whoever_waits_for_a_part_goes_on_when_it_comes_without_asking_again(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (_, _, _, whole, part):
        # What it has computed itself is not needed here for that.
        whole.on_waiting(0, 100, [(60, 100)])
        part.on_partial(a_partial(60, 100))
        await eventually(lambda: len(whole.joined) == 1)


@pytest.mark.asyncio
async def test_a_part_of_which_nothing_is_heard_is_computed_by_whoever_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshd.jobs.spread.OVERDUE_S", 0.1)
    async with a_shared_job(tmp_path) as (_, _, _, whole, _):
        whole.on_partial(a_partial(0, 60))
        whole.on_waiting(0, 100, [(60, 100)])
        assert not any(word.startswith("extend") for word in whole.told)
        await once_it_waits(whole, lambda: "extend 0 60-100" in whole.told)


@pytest.mark.asyncio
async def test_units_that_are_given_back_unasked_go_to_whoever_is_idle(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(
            lambda: any(device.kinds for device in laptop.roster.snapshot({}).devices if device.name == "pc")
        )
        await laptop.submit("local", spread=True)
        await eventually(lambda: len(laptop.pool.runs) == 1)
        whole = laptop.pool.runs[0]
        whole.on_shrunk(Part(PHASE, 70, 100))
        await eventually(lambda: len(pc.pool.runs) == 1)
        part = pc.pool.runs[0].part
        assert part is not None
        assert (part.start, part.stop) == (70, 100)
        # Nobody is idle any more: it keeps them.
        whole.on_shrunk(Part(PHASE, 60, 70))
        await eventually(lambda: "extend 0 60-70" in whole.told)


@pytest.mark.asyncio
async def test_units_whose_blob_is_damaged_are_computed_again_by_whoever_waits_for_them(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (laptop, _, job, whole, part):
        whole.on_partial(a_partial(0, 60))
        part.on_partial(a_partial(60, 100))
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))
        for digest in laptop.blobs.blobs:
            laptop.blobs.blobs[digest] = b"rotten"
        await once_it_waits(whole, lambda: "extend 0 60-100" in whole.told)
        assert not whole.joined


@pytest.mark.asyncio
async def test_an_attempt_whose_own_units_cross_a_span_that_is_kept_computes_what_it_lacks_and_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "STUCK_S", 0.0)
    async with a_shared_job(tmp_path) as (laptop, _, job, whole, part):
        # As if it had begun without this, because it could not read it.
        whole.on_partial(a_partial(50, 70))
        await eventually(lambda: covered(laptop, job) == {(50, 70)})
        whole.on_partial(a_partial(0, 60))
        part.on_partial(a_partial(70, 100))
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))
        assert covered(laptop, job) == {(50, 70), (70, 100)}
        await once_it_waits(whole, lambda: "extend 0 60-100" in whole.told)
        assert covered(laptop, job) == {(50, 70), (70, 100)}


@pytest.mark.asyncio
async def test_whoever_has_computed_a_slow_parts_units_as_well_goes_on_with_his_own(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (laptop, _, job, whole, part):
        whole.on_partial(a_partial(0, 60))
        part.on_partial(a_partial(60, 75))
        await eventually(lambda: covered(laptop, job) == {(0, 60), (60, 75)})
        # The part is lost with the rest of its units, or they come too late.
        whole.on_partial(a_partial(60, 100))
        whole.on_waiting(0, 100, [])
        await eventually(lambda: [partial.data for partial in whole.joined] == [b"0-60", b"60-100"])
        await eventually(lambda: len(laptop.blobs.blobs) == 2)
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))


@pytest.mark.asyncio
async def test_an_attempt_goes_on_with_what_it_lacks_although_its_own_units_are_kept_out(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (laptop, _, job, whole, part):
        whole.on_partial(a_partial(0, 20))
        await eventually(lambda: covered(laptop, job) == {(0, 20)})
        whole.on_partial(a_partial(10, 60))
        part.on_partial(a_partial(60, 100))
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))
        assert covered(laptop, job) == {(0, 20), (60, 100)}
        whole.on_waiting(0, 100, [(60, 100)])
        await eventually(lambda: bool(whole.joined))
        assert [partial.data for partial in whole.joined] == [b"60-100"]


@pytest.mark.asyncio
async def test_nothing_is_computed_twice_while_an_attempts_own_units_are_on_their_way(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (laptop, _, job, whole, part):
        whole.on_partial(a_partial(50, 100))
        part.on_partial(a_partial(60, 100))
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))
        whole.on_waiting(0, 100, [(60, 100)])
        whole.on_waiting(0, 100, [(60, 100)])
        whole.on_partial(a_partial(0, 50))
        await once_it_waits(whole, lambda: bool(whole.joined))
        assert [partial.data for partial in whole.joined] == [b"0-50", b"50-100"]
        assert not any(told.startswith("extend") for told in whole.told)


@pytest.mark.asyncio
async def test_of_partials_that_come_only_in_part_none_stays(tmp_path: Path) -> None:
    exchanges: dict[DeviceId, MemoryExchange] = {}
    async with a_shared_job(tmp_path, "pc", exchanges) as (laptop, pc, job, whole, part):
        part.on_partial(a_partial(60, 75))
        part.on_partial(a_partial(75, 100))
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))
        pc.blobs.blobs.clear()
        failed, goes_on = asyncio.Event(), asyncio.Event()

        async def carry(_: DeviceId, __: BlobRef, piece: bytes) -> bytes:
            if piece == b"60-75":
                failed.set()
                raise Stalled("nothing comes")
            await goes_on.wait()
            return piece

        exchanges[PC].carry = carry
        whole.on_waiting(0, 100, [(60, 100)])
        await failed.wait()
        await laptop.origin.cancel(JobId(job), reason="cancelled by the user")
        whole.end.set_result(Cancelled())
        await eventually(lambda: nothing_left(laptop, pc))
        goes_on.set()
        await eventually(lambda: len(exchanges[PC].fetched) == 1)
        await eventually(lambda: not pc.blobs.blobs)
        assert not whole.joined


@pytest.mark.asyncio
async def test_what_an_attempt_that_is_over_gave_back_is_nobodys(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (laptop, _, job, whole, part):
        part.on_partial(a_partial(60, 100))
        await eventually(lambda: ended_as(laptop, job, 2, "succeeded"))
        told = list(whole.told)
        # Whoever runs the job now computes them: placed as a part, they would be in its way.
        laptop.origin.spread.given_back(JobId(job), AttemptNumber(2), Part(PHASE, 70, 80))
        await laptop.origin.cancel(JobId(job), reason="enough")
        await eventually(lambda: not laptop.pool.runs)
        assert [word for word in whole.told if word not in told and word.startswith("extend")] == []
        assert len((await laptop.view(JobId(job))).attempts) == 2


@pytest.mark.asyncio
async def test_the_share_of_the_job_counts_what_its_parts_have_done(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (laptop, _, job, _, part):
        part.on_progress(ProgressReport(0.5, "", "", 10.0))
        await eventually(lambda: share_is(laptop, job, 0.1 + 0.9 * 0.4 * 0.5))
        assert laptop.pool.runs


async def share_is(desk: Desk, job: str, share: float) -> bool:
    return abs((await desk.history.job(job)).progress - share) < 1e-6


@pytest.mark.asyncio
async def test_a_cancelled_job_ends_its_parts(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (laptop, pc, job, _, _):
        await laptop.history.cancel(job, reason="enough")
        await eventually(lambda: nothing_left(laptop, pc))


@pytest.mark.asyncio
async def test_a_job_that_its_user_placed_is_not_shared_unless_he_says_so(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        await stack.enter_async_context(joined(laptop, pc))
        await laptop.submit("local")
        await eventually(lambda: len(laptop.pool.runs) == 1)
        run = laptop.pool.runs[0]
        run.on_progress(ProgressReport(0.1, "", "", 60.0))
        other = await laptop.submit("auto")
        await eventually(lambda: len(laptop.pool.runs) == 2)
        laptop.pool.runs[1].on_progress(ProgressReport(0.1, "", "", 60.0))
        await eventually(lambda: laptop.pool.runs[1].told == ["shrink 0.50"])
        assert laptop.pool.runs[1].job.startswith(other)
        assert run.told == []


@pytest.mark.asyncio
async def test_a_peer_cannot_give_back_what_is_not_its_own(tmp_path: Path) -> None:
    async with a_shared_job(tmp_path) as (_, pc, job, whole, _):
        told = list(whole.told)
        message = wire.Shrunk(job=job, attempt=1)
        await pc.streams.write(lambda transaction: transaction.post(LAPTOP, message))
        await eventually(lambda: outbox_is_empty(pc))
        assert whole.told == told


async def outbox_is_empty(desk: Desk) -> bool:
    return not await desk.store.fetch("SELECT * FROM outbox")
