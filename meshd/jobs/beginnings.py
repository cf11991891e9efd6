"""Attempts of own jobs on this device that begin before it is on disk that they were placed.

Where running a job twice does no harm, its placing is news like its start: all of it is stored with the end of a short
job, in one transaction. After a crash such a job waits as if nobody had looked at it.
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
from meshd_protocol import codec
from meshd_protocol.ids import AttemptNumber, DeviceId


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
        track: Callable[[Job], None],
    ) -> None:
        """`track` takes note of an attempt that is not on disk, and tells nobody of it."""
        self._device = device
        self._ledger = ledger
        self._news = news
        self._executor = executor
        self._owner = owner
        self._find_kind = find_kind
        self._traits = traits
        self._clock = clock
        self._track = track

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
        now = self._clock.wall()
        # By what is on disk: there it has to fit, too.
        placed = Placed(self._device, why, entry.job.next_number, now)
        after = step(job, placed, now, self._traits(job)).job
        if after is job:
            return False
        self._news.note(job.id, placed)
        self._track(after)
        assignment = self.assignment(job, entry.job.next_number, entry.small, None)
        self._executor.take(assignment, self._owner, may_start=True)
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
