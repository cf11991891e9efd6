"""The executor starts what the machine has room for, and lets nobody hold up those who need less."""

# pyright: reportPrivateUsage=false

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshd.capability.reading import Gpu, Reading
from meshd.execution.outcome import Outcome, ProgressReport, Succeeded
from meshd.jobs import executor as module
from meshd.jobs.executor import PASSED_OVER, Assignment, AttemptKey, Executor
from meshd.jobs.ratebook import RateBook
from meshd.kinds.base import PackedPartial, Part, Phase
from meshd.kinds.needs import Needs
from meshd.store.database import open_store
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from tests.support.desk import ManualPool, PlainKind
from tests.support.eventually import eventually
from tests.support.manual_clock import ManualClock
from tests.support.manual_machine import a_machine

LAPTOP = DeviceId("laptoplaptoplapt")
pytestmark = pytest.mark.asyncio


class Owner:
    """Lets everything start."""

    async def starting(self, key: AttemptKey) -> Sequence[PackedPartial] | None:
        return ()

    def started(self, key: AttemptKey) -> None: ...
    def progressed(self, key: AttemptKey, report: ProgressReport) -> None: ...
    def kept(self, key: AttemptKey, partial: PackedPartial) -> None: ...
    def shrunk(self, key: AttemptKey, part: Part | None) -> None: ...
    def waiting(self, key: AttemptKey, phase: int, units: int, missing: Sequence[tuple[int, int]]) -> None: ...
    async def ended(self, key: AttemptKey, outcome: Outcome) -> None: ...
    def returned(self, key: AttemptKey, reason: str) -> None: ...


@dataclass
class Machine:
    reading: Reading = field(default_factory=lambda: a_machine(free_gib=1))
    looks: int = 5

    def gpus(self) -> tuple[Gpu, ...]:
        return ()

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        return False


class Greedy(PlainKind):
    needs = Needs(memory_bytes=1 << 40)


async def test_attempts_that_wait_for_memory_hold_up_nobody_who_needs_less(tmp_path: Path) -> None:
    clock, pool = ManualClock(), ManualPool()
    async with open_store(tmp_path / "mesh.db") as store:
        rates = RateBook(store=store, clock=clock, declared={})
        executor = Executor(pool=pool, rates=rates, clock=clock, slots=1, machine=Machine())

        def take(number: int, kind: PlainKind, priority: int) -> None:
            key = AttemptKey(LAPTOP, JobId(f"job{number}"), AttemptNumber(1))
            executor.take(Assignment(key, kind, {}, None, priority, 0.0), Owner(), may_start=True)

        for number in range(2 * PASSED_OVER):
            take(number, Greedy(), 10)
        take(999, PlainKind(), 0)
        await eventually(lambda: len(pool.runs) == 1)
        assert pool.runs[0].job.startswith("job999@")
        await executor.close()


@pytest.mark.parametrize("gives", [True, False])
async def test_only_what_has_given_units_away_says_nothing_about_the_rate(tmp_path: Path, *, gives: bool) -> None:
    clock, pool, kind = ManualClock(), ManualPool(), PlainKind(units=100.0, divisible=True)
    async with open_store(tmp_path / "mesh.db") as store:
        rates = RateBook(store=store, clock=clock, declared={})
        executor = Executor(pool=pool, rates=rates, clock=clock, slots=1)
        key = AttemptKey(LAPTOP, JobId("job"), AttemptNumber(1))
        executor.take(Assignment(key, kind, {}, 100.0, 0, 0.0), Owner(), may_start=True)
        await eventually(lambda: len(pool.runs) == 1)
        run = pool.runs[0]
        executor.shrink(key, 0.5)
        assert run.told == ["shrink 0.50"]
        run.on_shrunk(Part(Phase(0, 10, "", 1.0, {}), 5, 10) if gives else None)
        run.end.set_result(Succeeded(b"{}", 10.0))
        await eventually(lambda: key not in executor._entries)
        assert bool(await store.fetch("SELECT * FROM rate")) == (not gives)
        await executor.close()


@dataclass
class Listener(Owner):
    """Notes which ends are told."""

    told: list[JobId] = field(default_factory=list[JobId])

    async def ended(self, key: AttemptKey, outcome: Outcome) -> None:
        self.told.append(key.job)


def plain(number: int) -> Assignment:
    key = AttemptKey(LAPTOP, JobId(f"job-{number}"), AttemptNumber(1))
    return Assignment(key, PlainKind(), {}, None, 0, 0.0)


@asynccontextmanager
async def an_executor(folder: Path, pool: ManualPool, *, slots: int) -> AsyncGenerator[Executor]:
    async with open_store(folder / "mesh.db") as store:
        rates = RateBook(store=store, clock=ManualClock(), declared={})
        yield Executor(pool=pool, rates=rates, clock=ManualClock(), slots=slots)


async def test_ends_are_told_together_while_others_wait_and_the_last_ones_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, owner = ManualPool(), Listener()
    async with an_executor(tmp_path, pool, slots=2) as executor:
        for number in range(4):
            executor.take(plain(number), owner, may_start=True)
        await eventually(lambda: len(pool.runs) == 2)
        monkeypatch.setattr(module, "GATHER_S", 3600.0)
        pool.runs[0].succeed()
        await eventually(lambda: [run.job for run in pool.runs] == [f"job-1@{LAPTOP}", f"job-2@{LAPTOP}"])
        assert not owner.told
        # The last one that waited has a slot now.
        pool.runs[0].succeed()
        await eventually(lambda: sorted(owner.told) == ["job-0", "job-1"])
        for run in tuple(pool.runs):
            run.succeed()
        await eventually(lambda: len(owner.told) == 4)
        await executor.close()


async def test_an_end_that_waits_for_others_is_told_when_the_executor_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_S", 3600.0)
    pool, owner = ManualPool(), Listener()
    async with an_executor(tmp_path, pool, slots=1) as executor:
        for number in range(3):
            executor.take(plain(number), owner, may_start=True)
        await eventually(lambda: len(pool.runs) == 1)
        pool.runs[0].succeed()
        await eventually(lambda: [run.job for run in pool.runs] == [f"job-1@{LAPTOP}"])
        assert not owner.told
        await executor.close()
        assert owner.told == ["job-0"]


async def test_an_attempt_that_is_here_already_is_not_taken_again_and_stops_nobody(tmp_path: Path) -> None:
    pool, owner = ManualPool(), Listener()
    async with an_executor(tmp_path, pool, slots=1) as executor:
        executor.take(plain(0), owner, may_start=True)
        await eventually(lambda: len(pool.runs) == 1)
        executor.take(plain(1), owner, may_start=True)
        executor.take(plain(1), owner, may_start=True)
        executor.take(plain(2), owner, may_start=True)
        for number in range(3):
            await eventually(lambda number=number: [run.job for run in pool.runs] == [f"job-{number}@{LAPTOP}"])
            pool.runs[0].succeed()
        await eventually(lambda: owner.told == ["job-0", "job-1", "job-2"])
        await executor.close()
