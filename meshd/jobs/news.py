"""Events that are only news: they are on disk soon, or together with the next event of their job.

That an attempt was placed on this device, waits for a slot or runs must be on disk first only where running it twice
could do harm. For all others it would cost a wait for the disk and a transaction, of which a job of a millisecond has
no time to profit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from meshd.clock import Clock
from meshd.jobs.lifecycle import Accepted, Placed, Started
from meshd.tasks import TaskSet
from meshd_protocol.ids import JobId

NEWS_S = 0.05
"""Until news is stored: a screen shows it as soon as a person could see it."""

NewsEvent = Placed | Accepted | Started


class News:
    """Keeps what has happened to jobs until it is on disk.

    What is lost with this process, its executor tells again, or it was one of this process.
    """

    def __init__(self, *, tasks: TaskSet, clock: Clock, store: Callable[[Sequence[JobId]], Awaitable[None]]) -> None:
        """`store` lets what has waited happen to these jobs, and says so by `stored`."""
        self._tasks = tasks
        self._clock = clock
        self._store = store
        self._waiting: dict[JobId, tuple[NewsEvent, ...]] = {}
        """In their order, and those jobs first that have waited longest."""

        self._since: dict[JobId, float] = {}
        """From when on, on the clock that counts sleep."""

        self._is_due = False

    def note(self, job: JobId, event: NewsEvent) -> None:
        """Let `event` happen to a job soon, as of now."""
        if isinstance(event, Placed | Started) and event.at is None:
            event = replace(event, at=self._clock.wall())
        known = self._waiting.get(job, ())
        if isinstance(event, Accepted | Started):
            about = [each for each in known if not isinstance(each, Placed) and each.attempt == event.attempt]
            # What is heard again has begun when it was heard first.
            if any(isinstance(each, Started) for each in about):
                return
            known = tuple(each for each in known if each not in about)
        self._waiting[job] = (*known, event)
        self._since.setdefault(job, self._clock.boot())
        if not self._is_due:
            self._is_due = True
            self._tasks.start("news", self._flush())

    def of(self, job: JobId) -> tuple[NewsEvent, ...]:
        """Return what has happened to a job and is not on disk; for the writer's thread, too."""
        return self._waiting.get(job, ())

    def stored(self, job: JobId, events: Sequence[NewsEvent]) -> None:
        """Forget what is on disk by now, or has become old."""
        left = tuple(each for each in self._waiting.get(job, ()) if each not in events)
        if left:
            self._waiting[job] = left
        else:
            self._waiting.pop(job, None)
            self._since.pop(job, None)

    def forget(self, job: JobId) -> None:
        """Forget a job that has ended: nothing happens to it any more."""
        self._waiting.pop(job, None)
        self._since.pop(job, None)

    async def _flush(self) -> None:
        """Store what has waited long enough; what is younger may end before it would be on disk."""
        while self._waiting:
            await asyncio.sleep(NEWS_S)
            old = self._clock.boot() - NEWS_S
            due = [job for job, since in self._since.items() if since <= old]
            if due:
                await self._store(due)
        self._is_due = False
