"""How fast peers were seen to be, by what this device's own jobs took there. It counts for more than what they say."""

import logging
from collections.abc import Callable

from meshd.clock import Clock
from meshd.errors import Degraded
from meshd.jobs.model import Attempt, Job
from meshd.jobs.ratebook import source_of
from meshd.scheduling.rates import KindRate, learn
from meshd.scheduling.snapshot import KindSnapshot
from meshd.store import rates as rows
from meshd.store.database import Store
from meshd.tasks import TaskSet
from meshd_protocol.ids import DeviceId

log = logging.getLogger(__name__)


class Experience:
    """The rates of peers, by kind and accelerator, on mains and on battery."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._rates: dict[tuple[str, str, str, bool], KindRate] = {}
        self._on_change: Callable[[], None] = lambda: None
        self._tasks = TaskSet()

    async def close(self) -> None:
        """Stop what is under way."""
        await self._tasks.close()

    async def load(self) -> None:
        """Read what earlier runs of this daemon have seen."""
        for stored in await self._store.write(rows.all_rates):
            if stored.device != rows.HERE:
                key = (stored.device, stored.kind, stored.accelerator, stored.on_battery)
                self._rates[key] = KindRate(stored.rate, source_of(stored.source), stored.samples)

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever something was learnt."""
        self._on_change = on_change

    def get(self, peer: DeviceId, kind: str, accelerator: str, *, on_battery: bool) -> KindRate | None:
        """Return how fast a peer was seen to be as things are there now; None when it has not been seen."""
        return self._rates.get((peer, kind, accelerator, on_battery))

    def saw(self, job: Job, attempt: Attempt, where: KindSnapshot, *, on_battery: bool) -> None:
        """Learn from a job that one attempt of a peer has done, on the accelerator for which it was placed there."""
        if attempt.state != "succeeded" or job.cost is None or attempt.started_at is None or attempt.ended_at is None:
            return
        took_s = attempt.ended_at - attempt.started_at
        self._tasks.start(
            f"learn from {job.id}",
            self._learn(
                attempt.device,
                job.kind,
                where.accelerator,
                on_battery=on_battery,
                cost=job.cost,
                # The peer said that a worker had to start first; it may say so of half the time at most.
                duration_s=max(took_s - where.start_s, took_s / 2),
            ),
        )

    async def _learn(
        self, peer: DeviceId, kind: str, accelerator: str, *, on_battery: bool, cost: float, duration_s: float
    ) -> None:
        try:
            await self.ran(peer, kind, accelerator, on_battery=on_battery, cost=cost, duration_s=duration_s)
        except Degraded as error:
            # The next job teaches it as well.
            log.warning("a rate that was seen was not kept: %s", error.message, extra={"peer": peer})

    async def ran(
        self, peer: DeviceId, kind: str, accelerator: str, *, on_battery: bool, cost: float, duration_s: float
    ) -> None:
        """Learn from an attempt that has succeeded there."""
        key = (peer, kind, accelerator, on_battery)
        known = self._rates.get(key)
        learnt = learn(known, cost, duration_s)
        if learnt is None or learnt == known:
            return
        stored = rows.StoredRate(kind, learnt.source, learnt.rate, learnt.samples, peer, accelerator, on_battery)
        now = self._clock.wall()
        await self._store.write(lambda connection: rows.save(connection, stored, now))
        self._rates[key] = learnt
        self._on_change()

    def forget(self, peer: DeviceId) -> None:
        """Forget a device that is no longer paired; its rows have gone with it."""
        for key in [key for key in self._rates if key[0] == peer]:
            del self._rates[key]
