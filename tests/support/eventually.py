"""Waiting for what must come, instead of sleeping and hoping."""

import asyncio
from collections.abc import Awaitable, Callable

DEADLINE_S = 20.0
"""Long enough for a noisy machine: only a failing test waits it out."""


async def eventually(condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = DEADLINE_S) -> None:
    """Return once `condition` holds; raise `TimeoutError` when it does not within the deadline."""
    async with asyncio.timeout(within_s):
        while True:
            outcome = condition()
            if outcome if isinstance(outcome, bool) else await outcome:
                return
            await asyncio.sleep(0.005)
