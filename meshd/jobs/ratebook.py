"""How fast this device is: declared by its owner, calibrated at first start, then learnt from its own runs."""

import logging
from collections.abc import Callable, Mapping

from meshd.clock import Clock
from meshd.scheduling.rates import KindRate, learn
from meshd.store import rates as rows
from meshd.store.database import Store

log = logging.getLogger(__name__)


class RateBook:
    """The rates of this device, by kind; every change is on disk before it counts."""

    def __init__(self, *, store: Store, clock: Clock, declared: Mapping[str, float]) -> None:
        self._store = store
        self._clock = clock
        self._rates = {kind: KindRate(rate, "declared") for kind, rate in declared.items()}
        self._on_change: Callable[[], None] = lambda: None

    async def load(self) -> None:
        """Read what earlier runs of this daemon have learnt."""
        for stored in await self._store.write(rows.all_rates):
            source = "measured" if stored.source == "measured" else "calibrated"
            self._rates.setdefault(stored.kind, KindRate(stored.rate, source, stored.samples))

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever a rate changes."""
        self._on_change = on_change

    def get(self, kind: str) -> KindRate | None:
        """Return the rate of one kind, or None when nobody knows it yet."""
        return self._rates.get(kind)

    def all(self) -> Mapping[str, KindRate]:
        """Return every known rate."""
        return self._rates

    async def calibrated(self, kind: str, rate: float) -> None:
        """Keep what a calibration measured."""
        if kind not in self._rates:
            await self._keep(kind, KindRate(rate, "calibrated"))

    async def ran(self, kind: str, cost: float | None, duration_s: float) -> None:
        """Learn from a run that has succeeded here."""
        known = self._rates.get(kind)
        learnt = learn(known, cost or 0.0, duration_s)
        if learnt is not None and learnt != known:
            await self._keep(kind, learnt)

    async def _keep(self, kind: str, rate: KindRate) -> None:
        stored = rows.StoredRate(kind, rate.source, rate.rate, rate.samples)
        now = self._clock.wall()
        await self._store.write(lambda connection: rows.save(connection, stored, now))
        self._rates[kind] = rate
        self._on_change()
