"""Noticing that this machine has slept."""

import asyncio
from collections.abc import Callable

from meshd.clock import Clock

TICK_S = 5.0
ASLEEP_S = 10.0
"""A tick that took so much longer than it should means sleep; a busy machine is late by less."""


async def watch_for_resume(clock: Clock, resumed: Callable[[], None], *, tick_s: float = TICK_S) -> None:
    """Call `resumed` each time the machine has slept, until cancelled.

    Timers stand still during sleep on most systems, and the boot clock does not: whatever was about to happen
    in a minute should happen now.
    """
    while True:
        before = clock.boot()
        await asyncio.sleep(tick_s)
        if clock.boot() - before > tick_s + ASLEEP_S:
            resumed()
