"""The GPUs of this device that attempts can use: listed by the driver, and each confirmed by a worker.

The driver lists what is there. Whether JAX computes on it is known once a worker has done so, in its own process.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from meshd.capability.gauge import Gauge
from meshd.capability.reading import Gpu, Reading
from meshd.clock import Clock
from meshd.errors import Degraded
from meshd.kinds.needs import JAX

log = logging.getLogger(__name__)

AGAIN_S = 600.0
"""How long a GPU that did not work is left alone: its memory may have been full, or its driver just upgraded."""


class Pool(Protocol):
    """The workers, as this module needs them."""

    async def inspect(self, gpu: str) -> None:
        """Return when a worker has found that JAX computes on this GPU; raise `Degraded` when it does not."""
        ...

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        """Return whether a worker waits for such an attempt."""
        ...


class Accelerators:
    """See `meshd.jobs.slots.Surroundings`."""

    def __init__(self, *, gauge: Gauge, pool: Pool, clock: Clock, wanted: bool) -> None:
        """`wanted` says whether there is anything here that could compute on a GPU."""
        self._gauge = gauge
        self._pool = pool
        self._clock = clock
        self._wanted = wanted
        self._usable: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._news = asyncio.Event()
        self._on_usable: Callable[[Gpu], None] = lambda _: None

    def watch(self, on_usable: Callable[[Gpu], None]) -> None:
        """Call `on_usable` for each GPU on which JAX was found to compute."""
        self._on_usable = on_usable

    @property
    def reading(self) -> Reading:
        """What the newest look at the machine has shown."""
        return self._gauge.reading

    @property
    def looks(self) -> int:
        """How often it was looked at."""
        return self._gauge.looks

    def gpus(self) -> Sequence[Gpu]:
        """Return the GPUs that attempts can use now."""
        return [gpu for gpu in self.reading.gpus if gpu.uuid in self._usable]

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        """Return whether a worker waits for such an attempt."""
        return self._pool.is_warm(accelerated=accelerated, gpu=gpu)

    def look(self) -> None:
        """Look whether there is a GPU that nobody has tried yet."""
        if self._wanted and self._untried():
            self._news.set()

    async def run(self) -> None:
        """Try each new GPU, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            for gpu in self._untried():
                await self._try(gpu)

    def _untried(self) -> list[Gpu]:
        now = self._clock.boot()
        return [
            gpu
            for gpu in self.reading.gpus
            if gpu.uuid not in self._usable
            and self._not_before.get(gpu.uuid, now) <= now
            # Those who use all of it come first; without room, trying would only fail.
            and (gpu.free_bytes is None or gpu.free_bytes >= JAX.gpu_memory_bytes)
        ]

    async def _try(self, gpu: Gpu) -> None:
        try:
            await self._pool.inspect(gpu.uuid)
        except Degraded as error:
            log.info("a GPU is not used: %s", error.message, extra={"gpu": gpu.name, "uuid": gpu.uuid})
            self._not_before[gpu.uuid] = self._clock.boot() + AGAIN_S
            return
        log.info("a GPU is used", extra={"gpu": gpu.name, "uuid": gpu.uuid})
        self._usable.add(gpu.uuid)
        self._on_usable(gpu)
