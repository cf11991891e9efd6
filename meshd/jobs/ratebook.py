"""How fast this device is: declared by its owner, calibrated at first start, then learnt from its own runs."""

from collections.abc import Callable, Mapping

from meshd.clock import Clock
from meshd.scheduling.rates import KindRate, Source, carried_over, learn
from meshd.scheduling.snapshot import CPU, SLOTS, is_gpu
from meshd.store import rates as rows
from meshd.store.database import Store

GPU_SUFFIX, CPU_SUFFIX = "/gpu", "/cpu"
"""What may stand behind a kind in the settings: its rate on GPUs, or on all processors. Without one: on whatever."""


def never() -> bool:
    """Return False: what a device without a battery is on."""
    return False


class RateBook:
    """The rates of this device, by kind and accelerator; every change is on disk before it counts.

    On battery a laptop is another machine: its rates there are kept apart, and begin with those on mains.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        declared: Mapping[str, float],
        on_battery: Callable[[], bool] = never,
    ) -> None:
        self._store = store
        self._clock = clock
        self._declared = declared
        self._on_battery = on_battery
        self._rates: dict[tuple[str, str, bool], KindRate] = {}
        self._on_change: Callable[[], None] = lambda: None

    async def load(self) -> None:
        """Read what earlier runs of this daemon have learnt."""
        for stored in await self._store.write(rows.all_rates):
            if stored.device == rows.HERE:
                key = (stored.kind, stored.accelerator, stored.on_battery)
                self._rates[key] = KindRate(stored.rate, source_of(stored.source), stored.samples)

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever a rate changes."""
        self._on_change = on_change

    def get(self, kind: str, accelerator: str = SLOTS) -> KindRate | None:
        """Return the rate of one kind on one accelerator as things are, or None when nobody knows it yet."""
        suffix = GPU_SUFFIX if is_gpu(accelerator) else CPU_SUFFIX if accelerator == CPU else ""
        for name in (kind + suffix, kind):
            if name in self._declared:
                return KindRate(self._declared[name], "declared")
        on_battery = self._on_battery()
        known = self._rates.get((kind, accelerator, on_battery))
        if known is not None:
            return known
        return carried_over(self._rates.get((kind, accelerator, not on_battery)))

    async def calibrated(self, kind: str, rate: float, accelerator: str = SLOTS) -> None:
        """Keep what a calibration measured, where nothing better is known."""
        if self.get(kind, accelerator) is None:
            await self._keep(kind, accelerator, KindRate(rate, "calibrated"))

    async def ran(self, kind: str, cost: float | None, duration_s: float, accelerator: str = SLOTS) -> None:
        """Learn from a run that has succeeded here."""
        known = self.get(kind, accelerator)
        learnt = learn(known, cost or 0.0, duration_s)
        if learnt is not None and learnt != known:
            await self._keep(kind, accelerator, learnt)

    async def _keep(self, kind: str, accelerator: str, rate: KindRate) -> None:
        on_battery, now = self._on_battery(), self._clock.wall()
        stored = rows.StoredRate(
            kind, rate.source, rate.rate, rate.samples, accelerator=accelerator, on_battery=on_battery
        )
        await self._store.write(lambda connection: rows.save(connection, stored, now))
        self._rates[kind, accelerator, on_battery] = rate
        self._on_change()


def source_of(text: str) -> Source:
    """Return how a stored rate came about."""
    return "measured" if text == "measured" else "calibrated"
