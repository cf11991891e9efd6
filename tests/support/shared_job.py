"""One job on two devices: each computes some of its units, as tests say when."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from meshd.execution.outcome import ProgressReport
from meshd.kinds.base import PackedPartial, Part, Phase
from meshd_protocol.ids import DeviceId, JobId
from tests.support.desk import Desk, PlainKind, Run, joined, open_desk
from tests.support.eventually import eventually
from tests.support.memory_exchange import MemoryExchange

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")
KIND = PlainKind(divisible=True)
PHASE = Phase(0, 100, "counting", 0.9, {"a": 1})


def a_partial(start: int, stop: int) -> PackedPartial:
    return PackedPartial(0, 100, start, stop, f"{start}-{stop}".encode())


def covered(desk: Desk, job: str) -> set[tuple[int, int]]:
    return {(ref.start, ref.stop) for ref in desk.origin.resumption.refs(JobId(job))}


async def two_desks(
    stack: AsyncExitStack, folder: Path, exchanges: dict[DeviceId, MemoryExchange] | None = None
) -> tuple[Desk, Desk]:
    """Start a laptop and a pc that know each other, and are not joined yet."""
    exchanges = {} if exchanges is None else exchanges
    desks = [
        await stack.enter_async_context(
            open_desk(folder / name, device, {other: other_name}, kind=KIND, exchanges=exchanges)
        )
        for name, device, other, other_name in (("laptop", LAPTOP, PC, "pc"), ("pc", PC, LAPTOP, "laptop"))
    ]
    return desks[0], desks[1]


class SharedJob(NamedTuple):
    """A job of the laptop: units 0 to 60 are computed by one device, 60 to 100 by the other."""

    laptop: Desk
    pc: Desk
    job: JobId
    whole: Run
    part: Run


@asynccontextmanager
async def a_shared_job(
    folder: Path, placement: str = "local", exchanges: dict[DeviceId, MemoryExchange] | None = None
) -> AsyncGenerator[SharedJob]:
    """Run a job whose attempt has given units to the other device, which has begun; the devices stay joined."""
    async with AsyncExitStack() as stack:
        laptop, pc = await two_desks(stack, folder, exchanges)
        await stack.enter_async_context(joined(laptop, pc))
        yield await shared(laptop, pc, placement)


async def shared(laptop: Desk, pc: Desk, placement: str = "local") -> SharedJob:
    """Start a job, and let its attempt give units 60 to 100 to the other device."""
    job = await laptop.submit(placement, spread=True)
    runs, helps = (laptop, pc) if placement == "local" else (pc, laptop)
    await eventually(lambda: len(runs.pool.runs) == 1)
    whole = runs.pool.runs[0]
    whole.on_progress(ProgressReport(0.1, "", "", 60.0))
    await eventually(lambda: whole.told == ["shrink 0.50"])
    whole.on_shrunk(Part(PHASE, 60, 100))
    await eventually(lambda: len(helps.pool.runs) == 1)
    return SharedJob(laptop, pc, job, whole, helps.pool.runs[0])


async def once_it_waits(whole: Run, holds: Callable[[], bool]) -> None:
    """Wait until something holds, while an attempt tells again and again that it lacks what it gave away."""

    def look() -> bool:
        whole.on_waiting(0, 100, [(60, 100)])
        return holds()

    await eventually(look)


async def ended_as(desk: Desk, job: str, number: int, state: str) -> bool:
    attempts = (await desk.history.job(job)).attempts
    return any(attempt.number == number and attempt.state == state for attempt in attempts)


async def is_state(desk: Desk, job: str, state: str) -> bool:
    return (await desk.history.job(job)).state == state


async def nothing_left(*desks: Desk) -> bool:
    for desk in desks:
        for table in ("held", "outbox", "partial"):
            if await desk.store.fetch(f"SELECT * FROM {table}"):  # noqa: S608
                return False
    return not any(desk.pool.runs for desk in desks)
