"""The ledger of this device's own jobs: an event goes in, the job's next state is on disk, its effects follow.

Every change of a job passes through `Ledger.happen`, one at a time, inside the writer's transaction; so no two
attempts can both end a job, whatever arrives together.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from msgspec import Struct

from meshd.jobs.lifecycle import JobEffect, JobEvent, Keep, Placed, Started, Step, step
from meshd.jobs.manifest import Ending, manifest
from meshd.jobs.model import Job, Traits, attempt_changes, attempt_values, changes, job_from_rows, job_values
from meshd.net.streams import Transaction
from meshd.store import jobs as rows
from meshd.store.database import Connection
from meshd_protocol.ids import DeviceId, JobId

log = logging.getLogger(__name__)

SMALL_BYTES = 2048
"""A resolved spec up to this size is kept in memory beside its open job; a salary file has a hundred thousand."""


class Entry(Struct, frozen=True):
    """An open job as it is on disk."""

    number: int
    job: Job
    small: bytes | None
    """Its resolved spec, unless that is large."""

    def resolved(self, connection: Connection) -> bytes:
        """Return its resolved spec."""
        return rows.resolved(connection, self.number) if self.small is None else self.small


class Change(Struct, frozen=True):
    """What an event has done to a job."""

    entry: Entry
    """The job as it is now."""

    effects: tuple[JobEffect, ...]

    @property
    def job(self) -> Job:
        """Return the job as it is now."""
        return self.entry.job


class Ledger:
    """Changes jobs, and remembers the open ones as they are on disk, so that most changes need not read first."""

    def __init__(
        self, *, traits: Callable[[Job], Traits], earlier: Callable[[Transaction, JobId], Sequence[JobEvent]]
    ) -> None:
        """What `earlier` gives has happened to a job before, and is stored with the next event."""
        self._traits = traits
        self._earlier = earlier
        self._entries: dict[JobId, Entry] = {}
        """Those of which it is certain. The writer's thread takes them out, the event loop puts them in again."""

        self._marks: dict[JobId, object] = {}
        """Of jobs that were changed in a transaction which is not known to be on disk: who has changed it last."""

        self._lock = threading.Lock()

    def entry(self, job: JobId) -> Entry | None:
        """Return an open job as it is on disk, where that is known without a look."""
        return self._entries.get(job)

    def enter(
        self, transaction: Transaction, job: Job, spec: bytes, resolved: bytes, *, key: str | None, story: Step
    ) -> Change:
        """Store a new job, to which `story` has happened already."""
        after = story.job
        number = rows.insert(
            transaction.connection,
            {**job_values(after), "idempotency_key": key},
            {"spec": spec, "resolved": resolved},
        )
        for attempt in after.attempts:
            rows.add_attempt(transaction.connection, attempt_values(job.id, attempt))
        told = ((None, "queued", "submitted"), *story.story)
        rows.add_transitions(
            transaction.connection,
            [(job.id, attempt, state, transaction.now, cause) for attempt, state, cause in told],
        )
        entry = Entry(number, after, resolved if len(resolved) <= SMALL_BYTES else None)
        self._changed(transaction, entry)
        return Change(entry, story.effects)

    def touch(self, job: JobId) -> None:
        """Look at a job again before it changes the next time: its rows are being changed otherwise."""
        with self._lock:
            self._entries.pop(job, None)
            self._marks[job] = object()

    def happen(
        self,
        transaction: Transaction,
        job_id: JobId,
        event: JobEvent | None,
        *,
        sender: DeviceId | None = None,
        attempt: int | None = None,
        result: bytes = b"",
        ending: Ending | None = None,
    ) -> Change | None:
        """Let `event` happen to a job and return what changed; None when nothing did.

        Without an event, that happens which has waited for one.
        `sender` is the peer that reports it: about another device's attempt it is not believed. `result` is kept
        if, and only if, the job completes by this event, and a manifest if it ends by the attempt of `ending`.
        """
        found = self._entries.get(job_id) or _read(transaction.connection, job_id)
        if found is None:
            return None
        job = found.job
        if sender is not None and attempt is not None:
            tried = job.attempt(attempt)
            if tried is None or tried.device != sender:
                log.warning("a peer reported another device's attempt", extra={"peer": sender, "job": job_id})
                return None
        traits = self._traits(job)
        steps: list[tuple[float, Step]] = []
        after = job
        for each in (*self._earlier(transaction, job_id), *(() if event is None else (event,))):
            taken = step(after, each, transaction.now, traits)
            at = each.at if isinstance(each, Placed | Started) and each.at is not None else transaction.now
            steps.append((at, taken))
            after = taken.job
        story = [(job_id, number, state, at, cause) for at, taken in steps for number, state, cause in taken.story]
        if after is job and not story:
            return None
        # What has happened before has had its effects.
        effects = () if event is None else steps[-1][1].effects
        is_kept = any(isinstance(each, Keep) for each in effects)
        self._store(transaction, found, after, result if is_kept else None, ending)
        rows.add_transitions(transaction.connection, story)
        entry = Entry(found.number, after, found.small)
        self._changed(transaction, entry)
        return Change(entry, effects)

    def _store(
        self, transaction: Transaction, before: Entry, after: Job, result: bytes | None, ending: Ending | None
    ) -> None:
        connection, job = transaction.connection, before.job
        changed = changes(job, after)
        if result is not None:
            changed["result"] = result
        if ending is not None and after.has_ended and not job.has_ended:
            tried = after.attempt(ending.attempt)
            if tried is not None and tried.state in {"succeeded", "failed"}:
                changed["manifest"] = manifest(connection, after, tried, ending, before.resolved(connection))
        rows.update(connection, before.number, changed)
        known = {attempt.number: attempt for attempt in job.attempts}
        for attempt in after.attempts:
            earlier = known.get(attempt.number)
            if earlier is None:
                rows.add_attempt(connection, attempt_values(job.id, attempt))
            elif earlier != attempt:
                rows.change_attempt(connection, job.id, attempt.number, attempt_changes(earlier, attempt))

    def _changed(self, transaction: Transaction, entry: Entry) -> None:
        """Remember a job as it is now once this is on disk, unless it has changed again by then."""
        job, mark = entry.job.id, object()
        with self._lock:
            self._entries.pop(job, None)
            self._marks[job] = mark

        def settle(*, is_stored: bool) -> None:
            with self._lock:
                if self._marks.get(job) is mark:
                    del self._marks[job]
                    if is_stored and not entry.job.has_ended:
                        self._entries[job] = entry

        transaction.after(lambda: settle(is_stored=True))
        transaction.otherwise(lambda: settle(is_stored=False))


def _read(connection: Connection, job: JobId) -> Entry | None:
    found = rows.rows(connection, job)
    if found is None:
        return None
    row, attempts = found
    resolved: bytes = row["resolved"]
    return Entry(row["number"], job_from_rows(row, attempts), resolved if len(resolved) <= SMALL_BYTES else None)
