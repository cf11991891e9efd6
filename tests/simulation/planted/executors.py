"""Mistakes in what a device does with the attempts that it runs, and with its own jobs."""
# pyright: reportPrivateUsage=false

from collections.abc import Sequence

from msgspec.structs import replace

from meshd.execution.outcome import Outcome, Succeeded
from meshd.jobs import executor as executor_module
from meshd.jobs import lifecycle
from meshd.jobs.executor import AttemptKey, Executor
from meshd.jobs.holdings import Holdings
from meshd.jobs.model import Job
from meshd.jobs.origin import Origin
from meshd.jobs.placer import Placer
from meshd.jobs.slots import Place
from meshd.kinds.base import PackedPartial
from meshd.scheduling.work import Work
from meshd.store import held as held_rows
from meshd.store import jobs as job_rows
from meshd.store.database import Connection
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from tests.simulation.planted.bug import Bug


async def _rate_before_the_outcome(
    self: Executor, entry: executor_module._Entry, place: Place, outcome: Outcome
) -> None:
    if isinstance(outcome, Succeeded):
        await self._rates.ran(entry.kind.name, entry.assignment.cost, outcome.duration_s, place.accelerator)
    await entry.owner.ended(entry.key, outcome)


def _keep_all(connection: Connection, boot: str) -> list[tuple[DeviceId, JobId, AttemptNumber]]:
    return []


def _know_no_key(connection: Connection, idempotency_key: str) -> None:
    return None


async def _start_only_if_the_disk_takes_it(self: Holdings, key: AttemptKey) -> Sequence[PackedPartial] | None:
    holding = self._held.get(key)
    if holding is None:
        return None
    holding.running = True
    started = await self._streams.write(
        lambda transaction: held_rows.start(transaction.connection, key.origin, key.job, key.number)
    )
    return await self._checkpoints.read(holding.refs) if started else None


async def _start_before_it_is_on_disk(self: Origin, key: AttemptKey) -> Sequence[PackedPartial] | None:
    if not self._is_wanted(key):
        return None
    self._soon(key.job, lifecycle.Started(key.number, self._boot))
    return await self.resumption.read(key.job)


async def _close_and_go_on_starting(self: Executor) -> None:
    await self._tasks.close()


_work = Placer.work


def _avoid_by_the_wall_clock(self: Placer, job: Job) -> Work:
    now = self._clock.wall()
    trouble = {"lost", "declined", "superseded"}
    avoid = {
        attempt.device
        for attempt in job.attempts
        if attempt.state in trouble and attempt.device != self._device and now - (attempt.ended_at or now) < 60.0
    }
    return replace(_work(self, job), avoid=avoid)


BUGS = {
    "an outcome is lost with its rate": Bug("B", Executor, "_ended", _rate_before_the_outcome),
    "what an earlier run held is kept": Bug("B", held_rows, "drop_unfinished", _keep_all),
    "a start that the disk refuses is forgotten": Bug("B", Holdings, "starting", _start_only_if_the_disk_takes_it),
    "an own attempt runs before that is on disk": Bug("B", Origin, "starting", _start_before_it_is_on_disk),
    "a daemon that closes starts what waits": Bug("B", Executor, "close", _close_and_go_on_starting),
    "a device is avoided by the wall clock": Bug("B", Placer, "work", _avoid_by_the_wall_clock),
    "a request's key is ignored": Bug("B", job_rows, "id_of_key", _know_no_key),
}
