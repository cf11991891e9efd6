"""The ledger of this device's own jobs: an event goes in, the job's next state is on disk, its effects follow.

Every change of a job passes through `happen`, one at a time, inside the writer's transaction; so no two
attempts can both end a job, whatever arrives together.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from meshd.jobs.lifecycle import JobEffect, JobEvent, Keep, Step, step
from meshd.jobs.model import Job, Traits, attempt_values, job_from_rows, job_values
from meshd.net.streams import Transaction
from meshd.store import jobs as rows
from meshd.store.database import Row, Value
from meshd_protocol.ids import DeviceId, JobId

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What an event has done to a job."""

    job: Job
    effects: tuple[JobEffect, ...]
    resolved: bytes


def happen(
    transaction: Transaction,
    job_id: JobId,
    event: JobEvent,
    *,
    traits: Callable[[Job], Traits],
    sender: DeviceId | None = None,
    attempt: int | None = None,
    result: bytes = b"",
) -> Change | None:
    """Let `event` happen to a job and return what changed; None when nothing did.

    `sender` is the peer that reports it: about another device's attempt it is not believed. `result` is kept
    if, and only if, the job completes by this event.
    """
    found = rows.rows(transaction.connection, job_id)
    if found is None:
        return None
    row, attempts = found
    job = job_from_rows(row, attempts)
    if sender is not None and attempt is not None:
        tried = job.attempt(attempt)
        if tried is None or tried.device != sender:
            log.warning("a peer reported another device's attempt", extra={"peer": sender, "job": job_id})
            return None
    return _keep(transaction, row, job, step(job, event, transaction.now, traits(job)), result)


def _keep(transaction: Transaction, row: Row, before: Job, after: Step, result: bytes) -> Change | None:
    if after.job is before and not after.story:
        return None
    old = job_values(before)
    changed: dict[str, Value] = {
        column: value for column, value in job_values(after.job).items() if value != old[column]
    }
    if any(isinstance(effect, Keep) for effect in after.effects):
        changed["result"] = result
    rows.update(transaction.connection, before.id, changed)
    known = {attempt.number: attempt for attempt in before.attempts}
    for attempt in after.job.attempts:
        if known.get(attempt.number) != attempt:
            rows.put_attempt(transaction.connection, attempt_values(before.id, attempt))
    rows.add_transitions(transaction.connection, before.id, transaction.now, after.story)
    return Change(after.job, after.effects, row["resolved"])
