"""A pool with real workers that can also run the programs of the tests."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from meshd.clock import SystemClock
from meshd.execution.attendance import Patience
from meshd.execution.outcome import Outcome, ProgressReport
from meshd.execution.pool import Pool, open_pool
from meshd.execution.spawner import ARGV, ReaperSpawner, open_spawner
from meshd.kinds.base import Document

ROOT = Path(__file__).resolve().parents[2]

TEST_ARGV = (
    *ARGV[:2],
    "-c",
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from meshd.execution.worker import main; main()",
)
"""A worker that finds the tests' programs, too: its environment does not tell it where modules are."""


@dataclass
class PlainKind:
    """A kind whose program is one of the tests'."""

    name: str = "mischief"
    program: str = "tests.execution.programs"
    accelerated: bool = False
    divisible: bool = False
    deterministic: bool = True
    retry_safe: bool = True
    may_be_killed: bool = False

    def validate(self, spec: Document) -> dict[str, object]:
        return dict(spec)

    def cost(self, resolved: Document) -> float | None:
        return None

    def default_name(self, resolved: Document) -> str:
        return self.name


MISCHIEF = PlainKind()
COUNTING = PlainKind("counting", "tests.execution.counting")
MISDEEDS = PlainKind("misdeeds", "tests.execution.misdeeds")


@dataclass
class Workshop:
    """A pool, its spawner, and what its attempts reported."""

    pool: Pool
    spawner: ReaperSpawner
    folder: Path
    reports: list[ProgressReport]

    async def do(
        self, what: str, *, job: str = "job", timeout_s: float = 30, kind: PlainKind = MISCHIEF, **spec: object
    ) -> Outcome:
        """Let a worker run the method `what` of a kind's program."""
        return await self.pool.run(
            job=job,
            attempt=1,
            kind=kind,
            resolved={"do": what, "job": job, **spec},
            timeout_s=timeout_s,
            on_progress=self.reports.append,
        )

    def pids(self) -> set[int]:
        """Return the processes of all workers."""
        return {worker.pid for worker in self.pool.load().workers}


@asynccontextmanager
async def open_workshop(
    folder: Path,
    *,
    slots: int = 2,
    patience: Patience | None = None,
    memory_limit_bytes: int | None = None,
    environment: dict[str, str] | None = None,
) -> AsyncGenerator[Workshop]:
    async with (
        open_spawner(folder=folder, argv=TEST_ARGV) as spawner,
        open_pool(
            spawner=spawner,
            clock=SystemClock(),
            folder=folder,
            slots=slots,
            patience=patience,
            memory_limit_bytes=memory_limit_bytes,
            environment=dict(os.environ) if environment is None else environment,
        ) as pool,
    ):
        yield Workshop(pool, spawner, folder, [])


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family(reports: list[ProgressReport]) -> set[int]:
    """Return the processes that `Mischief.family` has started, as it reported them."""
    return {int(pid) for report in reports for pid in report.note.split()}
