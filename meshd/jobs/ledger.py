"""The ledger of this device's own jobs: an event goes in, the job's next state is on disk, its effects follow.

Every change of a job passes through `happen`, one at a time, inside the writer's transaction; so no two
attempts can both end a job, whatever arrives together.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshd.jobs.lifecycle import JobEffect, JobEvent, Keep, Started, Step, step
from meshd.jobs.model import Job, Traits, attempt_values, changes, job_from_rows
from meshd.net.streams import Transaction
from meshd.store import jobs as rows
from meshd.store.database import Row
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
    earlier: Callable[[JobId], Sequence[JobEvent]] = lambda _: (),
) -> Change | None:
    """Let `event` happen to a job and return what changed; None when nothing did.

    `sender` is the peer that reports it: about another device's attempt it is not believed. `result` is kept
    if, and only if, the job completes by this event. What `earlier` gives happens first.
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
    steps: list[tuple[float, Step]] = []
    after = job
    for each in (*earlier(job_id), event):
        at = each.at if isinstance(each, Started) and each.at is not None else transaction.now
        steps.append((at, step(after, each, transaction.now, traits(job))))
        after = steps[-1][1].job
    return _keep(transaction, row, job, after, steps, result)


def _keep(
    transaction: Transaction, row: Row, before: Job, after: Job, steps: Sequence[tuple[float, Step]], result: bytes
) -> Change | None:
    effects = tuple(effect for _, taken in steps for effect in taken.effects)
    if after is before and not any(taken.story for _, taken in steps):
        return None
    changed = changes(before, after)
    if any(isinstance(effect, Keep) for effect in effects):
        changed["result"] = result
    rows.update(transaction.connection, before.id, changed)
    known = {attempt.number: attempt for attempt in before.attempts}
    for attempt in after.attempts:
        if known.get(attempt.number) != attempt:
            rows.put_attempt(transaction.connection, attempt_values(before.id, attempt))
    for at, taken in steps:
        rows.add_transitions(transaction.connection, before.id, at, taken.story)
    return Change(after, effects, row["resolved"])
