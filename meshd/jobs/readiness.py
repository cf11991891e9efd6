"""Whether this device takes jobs: its user may pause it, and on battery it works for itself first."""

from collections.abc import Callable

from meshd.capability.reading import Reading
from meshd.clock import Clock
from meshd.store import pauses
from meshd.store.database import Store
from meshd_protocol.ids import DeviceId

PAUSED = "paused by its user"


class Readiness:
    """What this device says to whoever wants something done here. A pause is on disk before it counts."""

    def __init__(
        self,
        *,
        device: DeviceId,
        store: Store,
        clock: Clock,
        reading: Callable[[], Reading],
        min_battery_percent: float,
    ) -> None:
        """On battery, the jobs of others are taken only from `min_battery_percent` of charge on."""
        self._device = device
        self._store = store
        self._clock = clock
        self._reading = reading
        self._min_battery_percent = min_battery_percent
        self._on_change: Callable[[], None] = lambda: None
        self._was = (False, False)
        self.paused_since: float | None = None
        """In epoch seconds; None: nothing new is kept from starting."""

    async def load(self) -> None:
        """Take up a pause that an earlier run of this daemon was told."""
        self.paused_since = await self._store.write(pauses.since)
        self._was = self._stance()

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` when this device begins or ceases to take jobs."""
        self._on_change = on_change

    @property
    def is_paused(self) -> bool:
        """Whether nothing new may start here."""
        return self.paused_since is not None

    @property
    def reluctance(self) -> str:
        """Why the jobs of others are not taken, although those of this device are; empty: they are."""
        battery = self._reading().battery
        if battery is None or battery.plugged or 100 * battery.share >= self._min_battery_percent:
            return ""
        return f"on battery at {battery.share:.0%}"

    def refusal(self, origin: DeviceId) -> str:
        """Return why nothing new of an origin, this device or a peer, starts here now; empty: it does."""
        if self.is_paused:
            return PAUSED
        return "" if origin == self._device else self.reluctance

    async def pause(self) -> None:
        """Let nothing new start here, until `resume`; what runs goes on."""
        now = self._clock.wall()
        self.paused_since = await self._store.write(lambda connection: pauses.pause(connection, now))
        self.look()

    async def resume(self) -> None:
        """Take jobs again."""
        await self._store.write(pauses.resume)
        self.paused_since = None
        self.look()

    def look(self) -> None:
        """Notice what has changed with the battery."""
        was, self._was = self._was, self._stance()
        # That the charge falls further is told with the next status; it moves no job.
        if was != self._was:
            self._on_change()

    def _stance(self) -> tuple[bool, bool]:
        return self.is_paused, bool(self.reluctance)
