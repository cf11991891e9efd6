"""Ended jobs are kept as long as their user has set: for ever, unless he has."""

import asyncio
import logging
from collections.abc import Sequence

from meshd.clock import Clock
from meshd.store import jobs as rows
from meshd.store.database import Store

log = logging.getLogger(__name__)

DAY_S = 86400.0

BATCH = 100
"""Jobs in one command of the writer: about 5 ms, or 0.2 s when each has a salary file in its spec; whoever else
writes waits no longer than that."""


class Retention:
    """Deletes jobs that ended too long ago, and those beyond the newest so many; never one that has not ended."""

    def __init__(self, *, store: Store, clock: Clock, keep_days: float, keep_jobs: int) -> None:
        self._store = store
        self._clock = clock
        self._keep_days = keep_days
        self._keep_jobs = keep_jobs

    async def run(self) -> None:
        """Apply it now and every day, for ever; return at once when nothing was set."""
        while self._keep_days or self._keep_jobs:
            deleted = await self.apply()
            if deleted:
                log.info("deleted old jobs", extra={"jobs": deleted})
            await asyncio.sleep(DAY_S)

    async def apply(self) -> int:
        """Delete what has to go, in batches; return how many jobs it were."""
        old: set[int] = set()
        if self._keep_days:
            old.update(await rows.ended_before(self._store, self._clock.wall() - self._keep_days * DAY_S))
        if self._keep_jobs:
            old.update(await rows.ended_beyond(self._store, self._keep_jobs))
        return await delete_jobs(self._store, sorted(old))


async def delete_jobs(store: Store, numbers: Sequence[int]) -> int:
    """Delete those of these jobs that have ended, in batches; return how many it were."""
    deleted = 0
    for batch in (numbers[begin : begin + BATCH] for begin in range(0, len(numbers), BATCH)):
        deleted += await store.write(lambda connection, batch=batch: rows.delete(connection, batch))
    return deleted
