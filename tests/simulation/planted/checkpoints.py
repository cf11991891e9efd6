"""Mistakes in checkpoints: what is in them, where their blobs are, and what becomes of those that are no good."""
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Iterable, Sequence

from meshd.errors import MeshdError
from meshd.execution import computation
from meshd.jobs import coverage, resumption
from meshd.jobs.checkpoints import blob_of
from meshd.jobs.coverage import Spans, admits, enter, is_inside
from meshd.jobs.executor import Assignment
from meshd.jobs.holdings import FETCH_AGAIN_S, Holdings
from meshd.jobs.pins import Pins
from meshd.jobs.resumption import Resumption
from meshd.net.streams import Transaction
from meshd.store import jobs as job_rows
from meshd.store import partials as rows
from meshd.store.blobs import BlobRef
from meshd.store.database import Connection
from meshd_protocol.ids import JobId
from meshd_protocol.messages.jobs import PartialRef
from tests.simulation.planted.bug import Bug


def _admit_everything(covered: Spans, new: PartialRef) -> bool:
    return True


def _is_open_for_ever(connection: Connection, job: str, attempt: int) -> bool:
    return True


def _compute_all_again(units: int, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(0, units)]


async def _release_when_cancelled(self: Resumption, job: JobId, attempt: int, ref: PartialRef) -> None:
    def apply(transaction: Transaction) -> bool:
        connection = transaction.connection
        self._touch(transaction, job)
        covered = rows.of_job(connection, job)
        if not job_rows.is_open(connection, job, attempt) or not admits(covered, ref):
            return False
        replaced = [old for _, old in covered if is_inside(old, ref)]
        self._stored.add(job)
        rows.put(connection, job, attempt, ref)
        transaction.after(lambda: self._entered(job, enter(covered, attempt, ref), replaced))
        return True

    entered = False
    try:
        entered = await self._streams.write(apply)
    finally:
        if not entered:
            self._checkpoints.release([ref])


def _drop_at_the_end_only(self: Resumption, transaction: Transaction, job: JobId, *, is_over: bool = False) -> None:
    if is_over:
        rows.remove(transaction.connection, job)
        transaction.after(lambda: self._release(job, is_over=True))


async def _remove_nothing(self: Pins, digests: list[str]) -> None:
    pass


def _release_all(self: Resumption, job: JobId, covered: resumption.Covered, replaced: list[PartialRef]) -> None:
    self._covered[job] = covered
    self._checkpoints.release([*replaced, *(ref for _, ref in covered[:-1])])


async def _fetch_for_ever(
    self: Holdings, assignment: Assignment, refs: Sequence[PartialRef], inputs: Sequence[BlobRef]
) -> None:
    assert not inputs, "what is simulated works with no files"
    key = assignment.key
    for ref in refs:
        while key in self._held:
            try:
                await self._exchange.fetch(key.origin, blob_of(ref))
            except MeshdError:
                await asyncio.sleep(FETCH_AGAIN_S)
            else:
                break
    holding = self._held.get(key)
    if holding is None:
        self._checkpoints.pin(refs)
        self._checkpoints.release(refs)
        return
    self._executor.take(assignment, self, may_start=holding.permitted)


BUGS = {
    "a span is applied twice": Bug("A", coverage, "admits", _admit_everything),
    "a partial of a superseded attempt is merged": Bug("B", job_rows, "is_open", _is_open_for_ever),
    "what a checkpoint holds is computed and counted again": Bug("A", computation, "gaps", _compute_all_again),
    "a write that goes on alone loses its blob": Bug("B", Resumption, "_apply", _release_when_cancelled),
    "a span's blob goes when the next span enters": Bug("B", Resumption, "_entered", _release_all),
    "a bad checkpoint is given again": Bug("B", Resumption, "drop", _drop_at_the_end_only),
    "the blobs of ended jobs stay": Bug("B", Pins, "_remove", _remove_nothing),
    "a checkpoint that is lost is waited for": Bug("B", Holdings, "_fetch", _fetch_for_ever),
}
