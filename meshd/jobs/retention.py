"""Ended jobs are kept as long as their user has set: for ever, unless he has."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from meshd.clock import Clock
from meshd.store import files
from meshd.store import jobs as rows
from meshd.store.database import Connection, Store
from meshd_protocol.ids import JobId

log = logging.getLogger(__name__)

DAY_S = 86400.0

BATCH = 100
"""Jobs in one command of the writer: about 5 ms, or 0.2 s when each has a salary file in its spec; whoever else
writes waits no longer than that."""


Forget: TypeAlias = Callable[[Iterable[tuple[JobId, str | None]]], None]
"""Hears of deleted jobs: their ids, once for each of their files with its digest, or once with None."""


class Retention:
    """Deletes jobs that ended too long ago, and those beyond the newest so many; never one that has not ended."""

    def __init__(self, *, store: Store, clock: Clock, keep_days: float, keep_jobs: int, forget: Forget) -> None:
        self._store = store
        self._forget = forget
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
        return await delete_jobs(self._store, sorted(old), forget=self._forget)


async def delete_jobs(store: Store, numbers: Sequence[int], *, forget: Forget) -> int:
    """Delete those of these jobs that have ended, in batches; return how many it were.

    `forget` hears which are gone, with the digests of the files that they had.
    """
    deleted = 0
    for batch in (numbers[begin : begin + BATCH] for begin in range(0, len(numbers), BATCH)):
        gone, count = await store.write(lambda connection, batch=batch: _delete(connection, batch))
        forget(gone)
        deleted += count
    return deleted


def _delete(connection: Connection, numbers: Sequence[int]) -> tuple[list[tuple[JobId, str | None]], int]:
    gone = [(JobId(row["job"]), row["digest"]) for row in files.of_jobs(connection, numbers)]
    return gone, rows.delete(connection, numbers)
