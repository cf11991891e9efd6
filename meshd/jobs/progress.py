"""How far the open jobs of this device are: told at once, and on disk now and then, because it is news, not state."""

import contextlib
from collections.abc import Callable
from dataclasses import replace

from meshd.clock import Clock
from meshd.errors import Degraded
from meshd.jobs.views import Live
from meshd.net.streams import Streams
from meshd.net.transaction import Transaction
from meshd.store import jobs as rows
from meshd.tasks import TaskSet
from meshd_protocol.ids import AttemptNumber, JobId

STORE_S = 5.0
STORE_SHARE = 0.10
"""Progress goes to disk at most this often."""


class Progress:
    """The newest of each job."""

    def __init__(
        self,
        *,
        streams: Streams,
        tasks: TaskSet,
        clock: Clock,
        touch: Callable[[Transaction, JobId], None],
        stored: Callable[[JobId, AttemptNumber, Live], None],
    ) -> None:
        """`touch` is called before rows of a job change, and `stored` once they have."""
        self._streams = streams
        self._tasks = tasks
        self._clock = clock
        self._touch = touch
        self._on_stored = stored
        self._live: dict[JobId, Live] = {}
        self._stored: dict[JobId, tuple[float, float]] = {}
        """What is on disk, and since when."""

    def of(self, job: JobId) -> Live | None:
        """Return how far the newest attempt of a job is; None: it has said nothing."""
        return self._live.get(job)

    def note(self, job: JobId, number: AttemptNumber, live: Live) -> None:
        """Take how far an attempt is; of a job, it never falls."""
        known = self._live.get(job)
        live = live if known is None or known.share <= live.share else replace(live, share=known.share)
        self._live[job] = live
        now = self._clock.boot()
        share, at = self._stored.get(job, (0.0, now))
        if live.share - share >= STORE_SHARE or now - at >= STORE_S:
            self._stored[job] = (live.share, now)
            self._tasks.start(f"progress {job}", self._store(job, number, live))
        self._stored.setdefault(job, (share, at))

    def reset(self, job: JobId) -> None:
        """Begin anew: the attempt is over."""
        self._live.pop(job, None)

    def forget(self, job: JobId) -> None:
        """Forget a job that has ended."""
        self._live.pop(job, None)
        self._stored.pop(job, None)

    async def _store(self, job: JobId, number: AttemptNumber, live: Live) -> None:
        def store(transaction: Transaction) -> None:
            self._touch(transaction, job)
            rows.store_progress(transaction.connection, job, number, live.share, live.best)

        # The next report brings it again.
        with contextlib.suppress(Degraded):
            await self._streams.write(store)
        self._on_stored(job, number, live)
