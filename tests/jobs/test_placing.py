"""Jobs go where a device says that it can take them, as far as it is to be believed."""

import math
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from meshd.errors import Conflict, NotFound, PeerRefused
from meshd.execution.outcome import ErrorKind, Failed
from meshd.jobs import pace
from meshd.jobs.model import Attempt, Job
from meshd.scheduling.placement import Run, decide
from meshd.scheduling.rates import MAX_ADVANTAGE, TOLERANCE
from meshd.scheduling.work import Work
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from tests.support.desk import Desk, PlainKind, is_running, joined, open_desk
from tests.support.eventually import eventually
from tests.support.manual_machine import ManualMachine, a_gpu, a_machine

LAPTOP, PC, BOX = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc"), DeviceId("boxboxboxboxboxb")
HEAVY = PlainKind(accelerated=True, units=1e10)
pytestmark = pytest.mark.asyncio


async def two_desks(
    stack: AsyncExitStack,
    folder: Path,
    *,
    kind: PlainKind = HEAVY,
    machine: ManualMachine | None = None,
    here: dict[str, float] | None = None,
    there: dict[str, float] | None = None,
    permitted: bool = True,
) -> tuple[Desk, Desk]:
    """Return a laptop and a pc that know each other; `here` and `there` are their declared rates."""
    laptop = await stack.enter_async_context(
        open_desk(folder / "laptop", LAPTOP, {PC: "pc"}, kind=kind, declared=here or {"plain": 1e9})
    )
    pc = await stack.enter_async_context(
        open_desk(
            folder / "pc",
            PC,
            {LAPTOP: "laptop"},
            kind=kind,
            declared=there or {"plain/cpu": 1e9, "plain/gpu": 1e12, "plain": 1e9},
            machine=machine,
            may=lambda peer, wanted: permitted,
        )
    )
    await stack.enter_async_context(joined(laptop, pc))
    await pc.gauge.look()
    await laptop.gauge.look()
    if machine is not None:
        await eventually(lambda: len(pc.accelerators.gpus()) == len(machine.reading.gpus))
        await eventually(lambda: gpus_of_pc(laptop) == len(machine.reading.gpus))
    await eventually(lambda: laptop.roster.heard_at(PC) > 0)
    return laptop, pc


def gpus_of_pc(laptop: Desk) -> int:
    status = laptop.roster.impression(PC).status
    return 0 if status is None else sum(gpu.usable for gpu in status.gpus)


async def is_state(desk: Desk, job: str, state: str) -> bool:
    return (await desk.history.job(job)).state == state


# GPUs


@pytest.mark.parametrize("placement", ["gpu", "auto", "pc"])
async def test_a_long_job_runs_on_the_gpu_of_a_peer(tmp_path: Path, placement: str) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path, machine=ManualMachine(a_machine(a_gpu())))
        job = await laptop.submit(placement)
        await eventually(lambda: len(pc.pool.runs) == 1)
        assert pc.pool.runs[0].gpu == a_gpu().uuid
        if placement == "gpu":
            assert (await laptop.view(job)).attempts[0].reason == "fastest GPU: GPU A on pc (0.0 s)"


async def test_jobs_use_every_gpu_and_then_the_processors(tmp_path: Path) -> None:
    machine = ManualMachine(a_machine(a_gpu(1), a_gpu(2, name="GPU B")))
    async with AsyncExitStack() as stack:
        there = {"plain/cpu": 0.9e9, "plain/gpu": 1e9}
        laptop, pc = await two_desks(stack, tmp_path, machine=machine, there=there, here={"plain": 1.0})
        for _ in range(3):
            await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 3)
        assert {run.gpu for run in pc.pool.runs} == {"GPU-00000001", "GPU-00000002", None}


async def test_gpu_runs_here_at_once_when_there_is_none_and_says_so(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}, kind=HEAVY, declared={"plain": 1e9}) as laptop:
        job = await laptop.submit("gpu")
        await eventually(lambda: len(laptop.pool.runs) == 1)
        await eventually(lambda: is_running(laptop, job))
        reason = (await laptop.view(job)).attempts[0].reason
        assert reason == "no GPU for plain jobs can be had; earliest finish on here (10.0 s); pc is offline"


async def test_a_gpu_that_its_peer_lists_but_cannot_use_is_not_counted_on(tmp_path: Path) -> None:
    machine = ManualMachine(a_machine(a_gpu()))
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path, there={"plain": 1.0})
        pc.pool.broken.add(a_gpu().uuid)
        pc.machine.reading = machine.reading
        await pc.gauge.look()
        await eventually(lambda: listed_of_pc(laptop) == 1)
        assert gpus_of_pc(laptop) == 0
        job = await laptop.submit("gpu")
        await eventually(lambda: is_running(laptop, job))
        assert (await laptop.view(job)).attempts[0].reason.startswith("no GPU for plain jobs can be had")


def listed_of_pc(laptop: Desk) -> int:
    status = laptop.roster.impression(PC).status
    return 0 if status is None else len(status.gpus)


# Memory


async def test_a_job_waits_for_memory_with_the_reason_and_starts_when_there_is_some(tmp_path: Path) -> None:
    machine = ManualMachine(a_machine(free_gib=0.25))
    async with open_desk(tmp_path / "laptop", LAPTOP, {}, kind=HEAVY, machine=machine) as laptop:
        laptop.pool.cold = True
        await laptop.gauge.look()
        job = await laptop.submit()
        await eventually(lambda: reason_is(laptop, job, "here: 0.3 GB of memory are free, 0.8 GB are needed"))
        assert laptop.pool.runs == []
        machine.reading = a_machine(free_gib=4)
        await laptop.gauge.look()
        await eventually(lambda: len(laptop.pool.runs) == 1)


async def reason_is(desk: Desk, job: str, reason: str) -> bool:
    return (await desk.history.job(job)).reason == reason


async def test_memory_that_went_while_an_attempt_was_on_its_way_makes_it_wait_there(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        pc.pool.cold = True
        laptop.roster.hear = lambda peer, message: None
        pc.machine.reading = a_machine(free_gib=0.25)
        await pc.gauge.look()
        await laptop.submit("pc")
        await eventually(lambda: pc.executor.queued == 1)
        assert pc.pool.runs == []
        pc.machine.reading = a_machine(free_gib=4)
        await pc.gauge.look()
        await eventually(lambda: len(pc.pool.runs) == 1)


# Rights


async def test_a_peer_is_told_what_it_may_have_done_and_asks_for_nothing_else(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path, permitted=False)
        await eventually(lambda: rights_at_pc(laptop) == [False])
        with pytest.raises(PeerRefused, match="pc does not let this device run plain jobs") as refused:
            await laptop.submit("pc")
        assert "meshd allow" in refused.value.hint
        assert [line.permitted for line in pc.roster.own_status().kinds] == [True]
        assert pc.pool.runs == []


async def test_what_a_peer_refused_before_it_went_away_is_asked_for_when_it_is_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, _ = await two_desks(stack, tmp_path, permitted=False)
        await eventually(lambda: rights_at_pc(laptop) == [False])
        assert laptop.roster.forbids(PC, "plain")
        laptop.roster.closed(PC)
        assert not laptop.roster.forbids(PC, "plain")


async def test_a_peer_is_told_at_once_when_its_rights_change(tmp_path: Path) -> None:
    rights: set[str] = set()
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}))
        pc = await stack.enter_async_context(
            open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}, may=lambda peer, wanted: wanted in rights)
        )
        await stack.enter_async_context(joined(laptop, pc))
        await eventually(lambda: rights_at_pc(laptop) == [False])
        rights.add("plain")
        pc.courier.peers_changed()
        await eventually(lambda: rights_at_pc(laptop) == [True])
        await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 1)


def rights_at_pc(laptop: Desk) -> list[bool]:
    """Return what the pc has told of its kinds of jobs: whether the laptop may have them done there."""
    return [each.permitted for pc in laptop.roster.snapshot({}).called("pc") for each in pc.options("plain")]


async def test_a_name_that_several_devices_have_or_none_is_refused_at_submission(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "vm", BOX: "VM"}) as laptop:
        with pytest.raises(Conflict, match=f"VM [(]{BOX}[)]"):
            await laptop.submit("vm")
        with pytest.raises(NotFound, match="no device is called 'nas'"):
            await laptop.submit("nas")
        job = await laptop.submit(BOX)
        assert (await laptop.view(job)).placement == BOX


# What a peer claims


def rate_of_pc(laptop: Desk) -> float | None:
    [pc] = laptop.roster.snapshot({}).called("pc")
    return pc.kinds["plain"].rate


async def test_a_boundless_claim_is_bounded_by_what_a_device_can_be(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, _ = await two_desks(stack, tmp_path, there={"plain": 1e18})
        assert rate_of_pc(laptop) == 1e9 * MAX_ADVANTAGE


async def test_after_real_runs_what_was_measured_of_a_peer_wins_over_what_it_claims(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, _ = await two_desks(stack, tmp_path, there={"plain": 1e18})
        work = Work("plain", "auto", 10e9, may_fall_back=False)
        decision = decide(work, laptop.roster.snapshot({}))
        assert isinstance(decision, Run)
        assert decision.device == PC

        # It needs twice as long as this device would.
        took = Attempt(AttemptNumber(1), PC, "succeeded", offered_at=0.0, started_at=100.0, ended_at=120.0)
        done = Job(
            JobId("j"), "plain", "", "completed", "auto", 0, 0.0, 0, 30.0, 10e9, 0.0, ended_at=120.0, attempts=(took,)
        )
        laptop.roster.counted_on(done.id, decision.where)
        laptop.roster.tracked(done)
        await eventually(lambda: rate_of_pc(laptop) != 1e9 * MAX_ADVANTAGE)
        rate = rate_of_pc(laptop)
        assert rate is not None
        assert math.isclose(rate, 0.5e9 * TOLERANCE)
        decision = decide(work, laptop.roster.snapshot({}))
        assert isinstance(decision, Run)
        assert decision.device == LAPTOP


async def test_a_job_of_several_attempts_says_nothing_about_any_one_device(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop, _ = await two_desks(stack, tmp_path)
        lost = Attempt(AttemptNumber(1), PC, "lost", offered_at=0.0, started_at=100.0, ended_at=110.0)
        last = structs.replace(lost, number=AttemptNumber(2), state="succeeded", ended_at=200.0)
        done = Job(
            JobId("j"),
            "plain",
            "",
            "completed",
            "auto",
            0,
            0.0,
            0,
            30.0,
            10e9,
            0.0,
            ended_at=1.0,
            attempts=(lost, last),
        )
        where = laptop.roster.snapshot({}).local.kinds["plain"]
        laptop.roster.counted_on(done.id, where)
        laptop.roster.tracked(done)
        one = structs.replace(last, number=AttemptNumber(1))
        laptop.roster.counted_on(JobId("k"), structs.replace(where, accelerator="GPU A"))
        laptop.roster.tracked(structs.replace(done, id=JobId("k"), attempts=(one,)))
        await eventually(lambda: laptop.experience.get(PC, "plain", "GPU A", on_battery=False) is not None)
        assert [row["accelerator"] for row in await laptop.store.fetch("SELECT * FROM rate")] == ["GPU A"]


@pytest.mark.parametrize("error_kind", ["crashed", "out_of_memory", "disk_full"])
async def test_what_fails_on_a_peer_is_tried_elsewhere_once(tmp_path: Path, error_kind: ErrorKind) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path)
        job = await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].end.set_result(Failed(error_kind, "the GPU is not what it seemed"))
        await eventually(lambda: len(laptop.pool.runs) == 1)
        assert (await laptop.view(job)).reason == "it failed on pc: the GPU is not what it seemed"
        laptop.pool.runs[0].end.set_result(Failed(error_kind, "it fails here, too"))
        await eventually(lambda: is_state(laptop, job, "failed"))
        view = await laptop.view(job)
        assert [(attempt.device, attempt.state) for attempt in view.attempts] == [("pc", "lost"), ("here", "failed")]


async def test_what_fails_on_two_peers_is_not_sent_to_a_third(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(
            open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc", BOX: "box"}, kind=HEAVY)
        )
        await laptop.readiness.pause()
        peers: list[Desk] = []
        for peer in (PC, BOX):
            desk = await stack.enter_async_context(open_desk(tmp_path / peer, peer, {LAPTOP: "laptop"}, kind=HEAVY))
            await stack.enter_async_context(joined(laptop, desk))
            peers.append(desk)
        job = await laptop.submit()
        for _ in peers:
            await eventually(lambda: any(desk.pool.runs for desk in peers))
            runs = [run for desk in peers for run in desk.pool.runs]
            runs[0].end.set_result(Failed("crashed", "it broke"))
            await eventually(lambda run=runs[0]: all(run not in desk.pool.runs for desk in peers))
        await eventually(lambda: is_state(laptop, job, "failed"))
        assert [attempt.state for attempt in (await laptop.view(job)).attempts] == ["lost", "failed"]


@pytest.mark.parametrize(
    ("kind", "error_kind"), [(HEAVY, "bad_input"), (HEAVY, "timeout"), (replace(HEAVY, deterministic=False), "crashed")]
)
async def test_what_is_the_jobs_own_doing_or_may_have_had_effects_fails_at_once(
    tmp_path: Path, kind: PlainKind, error_kind: ErrorKind
) -> None:
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path, kind=kind)
        job = await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 1)
        pc.pool.runs[0].end.set_result(Failed(error_kind, "no"))
        await eventually(lambda: is_state(laptop, job, "failed"))
        assert laptop.pool.runs == []


# How many


async def test_a_peer_is_never_sent_more_than_it_has_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # However soon one ends here, each stands for one that takes longer than what is sent ahead.
    monkeypatch.setattr(pace, "AHEAD_S", 0.0)
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, tmp_path, kind=PlainKind())
        for _ in range(6):
            await laptop.submit("pc")
        await eventually(lambda: len(pc.pool.runs) == 2)
        for left in (5, 4, 3):
            assert pc.executor.queued == 0
            pc.pool.runs[0].succeed()
            await eventually(lambda left=left: open_jobs(laptop, left))
            await eventually(lambda: len(pc.pool.runs) == 2)


async def open_jobs(desk: Desk, number: int) -> bool:
    return len(await desk.store.fetch("SELECT id FROM job WHERE ended_at IS NULL")) == number
