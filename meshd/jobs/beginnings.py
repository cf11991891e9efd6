"""Attempts of own jobs on this device that begin before it is on disk that they were placed.

Where running a job twice does no harm, its placing is news like its start: all of it is stored with the end of a short
job, in one transaction. After a crash such a job waits as if nobody had looked at it. The first attempt begins while
the job itself goes to disk, if there is room for it: should the disk refuse the job, its attempt is stopped.
"""

from collections.abc import Callable

from meshd.clock import Clock
from meshd.jobs.executor import Assignment, AttemptKey, Executor, KindFinder, Owner
from meshd.jobs.ledger import Ledger
from meshd.jobs.lifecycle import Placed, step
from meshd.jobs.model import Job, Traits
from meshd.jobs.news import News
from meshd.jobs.parts import cost_of
from meshd.kinds.base import Part
from meshd.net.streams import Transaction
from meshd_protocol import codec
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId


class Beginnings:
    """Hands attempts to this device's executor at once."""

    def __init__(
        self,
        *,
        device: DeviceId,
        ledger: Ledger,
        news: News,
        executor: Executor,
        owner: Owner,
        find_kind: KindFinder,
        traits: Callable[[Job], Traits],
        clock: Clock,
        track: Callable[[Job, Job], None],
        enter: Callable[[Job], None],
        leave: Callable[[Job], None],
    ) -> None:
        """`track` takes note of a job that has gone on from how it was told last, and tells nobody.

        `enter` tells of a job that is on disk now, `leave` forgets one that will not be, and whose attempt is over.
        """
        self._device = device
        self._ledger = ledger
        self._news = news
        self._executor = executor
        self._owner = owner
        self._find_kind = find_kind
        self._traits = traits
        self._clock = clock
        self._track = track
        self._enter = enter
        self._leave = leave
        self._unstored: set[JobId] = set()
        """Jobs whose first attempt has begun, and that are not on disk."""

        self._refused: set[JobId] = set()
        """Jobs that the disk has refused, while their first attempt is being stopped."""

    def may(self, job: Job, device: DeviceId) -> bool:
        """Return whether an attempt there may begin before it is on disk."""
        if device != self._device:
            return False
        traits = self._traits(job)
        return traits.deterministic or traits.retry_safe

    def begin(self, job: Job, device: DeviceId, why: str) -> bool:
        """Begin the next attempt of a job, which is on disk; False: it has to be placed there first."""
        entry = self._ledger.entry(job.id)
        if entry is None or entry.small is None or not self.may(job, device):
            return False
        # By what is on disk: there it has to fit, too.
        return self._begin(job, entry.job.next_number, why, entry.small)

    def begin_unstored(self, transaction: Transaction, job: Job, why: str, resolved: bytes) -> None:
        """Begin the first attempt of a job at once; the job is on disk when this transaction is."""
        transaction.at_once(lambda: self._begin_first(job, why, resolved))
        transaction.after(lambda: self._has_come(job))
        transaction.otherwise(lambda: self._has_not_come(job))

    def _begin_first(self, job: Job, why: str, resolved: bytes) -> None:
        if job.id not in self._unstored:
            self._unstored.add(job.id)
            self._begin(job, job.next_number, why, resolved)

    def _has_come(self, job: Job) -> None:
        self._unstored.discard(job.id)
        self._enter(job)

    def _has_not_come(self, job: Job) -> None:
        if job.id in self._unstored:
            self._unstored.discard(job.id)
            key = AttemptKey(self._device, job.id, job.next_number)
            if self._executor.has_begun(key):
                self._refused.add(job.id)
            self._executor.stop(key)
            self._leave(job)

    def was_refused(self, job: JobId) -> bool:
        """Return whether an attempt that is over was of a job which the disk has refused: there is nothing to store."""
        if job not in self._refused:
            return False
        self._refused.remove(job)
        return True

    def _begin(self, job: Job, number: AttemptNumber, why: str, resolved: bytes) -> bool:
        now = self._clock.wall()
        placed = Placed(self._device, why, number, now)
        after = step(job, placed, now, self._traits(job)).job
        if after is job:
            return False
        self._news.note(job.id, placed)
        self._track(after, job)
        self._executor.take(self.assignment(job, number, resolved, None), self._owner, may_start=True)
        return True

    def assignment(self, job: Job, number: AttemptNumber, resolved: bytes, part: Part | None) -> Assignment:
        """Return what the executor needs to know of an attempt."""
        return Assignment(
            AttemptKey(self._device, job.id, number),
            self._find_kind(job.kind),
            codec.decode_document(resolved),
            job.cost if part is None else cost_of(part, job.cost),
            job.priority,
            job.timeout_s,
            part,
        )
