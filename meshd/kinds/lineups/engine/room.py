"""How much memory there is for the tables of a pass, and how many scenarios' tables fit into it.

Counts add up over any pieces of a chunk, so that what is kept at once decides nothing but time.
"""

import psutil

from meshd.kinds.lineups.limits import CHUNK_SCENARIOS

LEAST_AT_ONCE = 64
"""Scenarios: with fewer, handing them over takes longer than counting."""

_BYTES_A_SUM = 2

_BYTES_A_LINEUP = 40
"""What planning takes later, while the tables are still there."""

_SHARE = 2
"""One part in so many of what is free: the user's other programs want some, too."""


def at_once(width: int, room: int | None) -> tuple[int, bool]:
    """Return how many scenarios to keep tables of, each `width` sums, and whether to fill others meanwhile."""
    if room is None or 2 * CHUNK_SCENARIOS * width * _BYTES_A_SUM <= room:
        return CHUNK_SCENARIOS, True
    scenarios = CHUNK_SCENARIOS
    while scenarios > LEAST_AT_ONCE and scenarios * width * _BYTES_A_SUM > room:
        scenarios //= 2
    return scenarios, False


def room_here(lineups: int, limit: int | None) -> int:
    """Return how many bytes the tables of a pass over so many lineups may take in this process, perhaps none.

    Half of what the device has free; and where the job has a `limit` in bytes, what that leaves besides.
    """
    free = psutil.virtual_memory().available // _SHARE
    if limit is not None:
        free = min(free, limit - psutil.Process().memory_info().rss - _BYTES_A_LINEUP * lineups)
    return max(0, free)
