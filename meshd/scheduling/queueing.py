"""How long until a slot is free, when each takes the next attempt as soon as it has done with one."""

import heapq
from collections.abc import Iterable

UNKNOWN_S = 10.0
"""What an attempt of unknown length is taken for before it has run: longer than what is worth no thought, and short
enough that a job waits for it rather than going to a device ten times as slow."""


OVERDUE = 0.1
"""Of its time so far, what is late is taken to need still: it is not about to end for being late."""


def wait_s(slots: int, running: Iterable[float], queued: Iterable[float]) -> float:
    """Return when an attempt that comes now would start; `running` and `queued` are the seconds that others need."""
    free_at = [max(0.0, remaining) for remaining in running]
    free_at += [0.0] * (slots - len(free_at))
    heapq.heapify(free_at)
    for needs in queued:
        heapq.heapreplace(free_at, free_at[0] + max(0.0, needs))
    # More may run than there are slots: their number was lowered meanwhile.
    return sorted(free_at)[len(free_at) - slots]


def remaining_s(expected_s: float | None, elapsed_s: float, share: float) -> float:
    """Return how long an attempt will still run: by what was expected of it, by its progress, or by its age.

    What has run for so long without a word will, as a rule, run for as long again.
    """
    if expected_s is not None and share <= 0.0:
        return max(expected_s - elapsed_s, OVERDUE * elapsed_s)
    if share > 0.0:
        by_progress = elapsed_s * (1.0 - share) / share
        if expected_s is None:
            return by_progress
        # The further it is, the more its own pace says.
        return share * by_progress + (1.0 - share) * expected_s * (1.0 - share)
    return max(UNKNOWN_S, elapsed_s)
