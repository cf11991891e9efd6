"""Time, as a parameter: whoever needs it is handed a `Clock`."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings for two purposes; never mix them."""

    def boot(self) -> float:
        """Return seconds since the machine booted, sleep included: for leases, deadlines and durations."""
        ...

    def wall(self) -> float:
        """Return seconds since the epoch (UTC): for people. It may jump either way."""
        ...


class SystemClock:
    """This machine's clocks."""

    def boot(self) -> float:
        """Return boot time; Python's monotonic clock stands still during sleep on Linux, this one does not."""
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.monotonic()

    def wall(self) -> float:
        """Return the time of day."""
        return time.time()
