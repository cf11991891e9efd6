"""Events that are only news: they are on disk soon, or together with the next event of their job.

That an attempt waits for a slot or runs must be on disk first only where running it twice could do harm. For all
others it would cost a wait for the disk and a transaction, of which a job of a millisecond has no time to profit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from meshd.clock import Clock
from meshd.jobs.lifecycle import Accepted, Started
from meshd.tasks import TaskSet
from meshd_protocol.ids import AttemptNumber, JobId

NEWS_S = 0.05
"""Until news is stored: a screen shows it as soon as a person could see it."""

NewsEvent = Accepted | Started


class News:
    """Keeps the newest of each attempt. What is lost with this process, its executor tells again or never had."""

    def __init__(self, *, tasks: TaskSet, clock: Clock, store: Callable[[Sequence[JobId]], Awaitable[None]]) -> None:
        """`store` lets what has waited happen to these jobs, by `take`."""
        self._tasks = tasks
        self._clock = clock
        self._store = store
        self._waiting: dict[JobId, dict[AttemptNumber, NewsEvent]] = {}
        self._is_due = False

    def note(self, job: JobId, event: NewsEvent) -> None:
        """Let `event` happen to a job soon, as of now."""
        if isinstance(event, Started) and event.at is None:
            event = replace(event, at=self._clock.wall())
        known = self._waiting.setdefault(job, {})
        # What is heard again has begun when it was heard first.
        if not isinstance(known.get(event.attempt), Started):
            known[event.attempt] = event
        if not self._is_due:
            self._is_due = True
            self._tasks.start("news", self._flush())

    def take(self, job: JobId) -> Sequence[NewsEvent]:
        """Return what has waited to happen to a job; for the writer's thread, too."""
        # One step, so that no event is taken twice.
        waiting = self._waiting.pop(job, None)
        return () if waiting is None else tuple(waiting.values())

    async def _flush(self) -> None:
        await asyncio.sleep(NEWS_S)
        self._is_due = False
        if self._waiting:
            await self._store(tuple(self._waiting))
