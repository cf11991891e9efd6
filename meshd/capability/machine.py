"""The probe of a real machine: processors, memory and battery by psutil, GPUs by NVML."""

import logging
import os
from collections.abc import Callable
from typing import Protocol, cast

import psutil

from meshd.capability.reading import Battery, Gpu, Reading
from meshd.clock import Clock

log = logging.getLogger(__name__)

GPUS_ON_BATTERY_S = 60.0
"""Asking a laptop's second GPU wakes it up, and it stays awake for some seconds: on battery, that is done rarely."""


class Gpus(Protocol):
    """Lists GPUs."""

    def read(self) -> tuple[Gpu, ...]:
        """Return the GPUs as they are now. May block."""
        ...


class Machine:
    """See `meshd.capability.reading.Probe`."""

    def __init__(self, *, clock: Clock, gpus: Gpus) -> None:
        self._clock = clock
        self._gpus = gpus
        self._listed: tuple[Gpu, ...] = ()
        self._listed_at: float | None = None
        self._processors: tuple[float, float] | None = None

    def look(self) -> Reading:
        """Return how the machine is now. May block; what cannot be read is unknown."""
        battery = read_battery()
        memory = psutil.virtual_memory()
        return Reading(
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count() or 1,
            memory_bytes=memory.total,
            free_bytes=memory.available,
            cpu=self._busy(),
            gpus=self._list(on_battery=battery is not None and not battery.plugged),
            battery=battery,
        )

    def _list(self, *, on_battery: bool) -> tuple[Gpu, ...]:
        now = self._clock.boot()
        if on_battery and self._listed_at is not None and now - self._listed_at < GPUS_ON_BATTERY_S:
            return self._listed
        self._listed, self._listed_at = self._gpus.read(), now
        return self._listed

    def _busy(self) -> float | None:
        # Not `psutil.cpu_percent`, which remembers for each thread, and each look has one of its own.
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        before, self._processors = self._processors, (idle, total)
        if before is None or total <= before[1]:
            return None
        return min(max(1.0 - (idle - before[0]) / (total - before[1]), 0.0), 1.0)


class _Charge(Protocol):
    """What psutil tells of a battery."""

    percent: float
    power_plugged: bool | None


def read_battery() -> Battery | None:
    """Return the charge; None where there is no battery, or the system does not tell."""
    # Systems on which psutil knows no batteries lack the function.
    ask = cast("Callable[[], _Charge | None]", getattr(psutil, "sensors_battery", lambda: None))
    try:
        found = ask()
    except (OSError, ValueError, RuntimeError) as error:
        # The files of a battery that is just being taken out, or of a driver that is confused.
        log.debug("the battery does not tell", extra={"why": str(error)})
        return None
    if found is None:
        return None
    return Battery(min(max(found.percent / 100, 0.0), 1.0), found.power_plugged is not False)
