"""How many attempts a device has ended lately: so many more it will have ended by the time that others arrive.

A device tells of a free slot up to 0.2 s late. One whose attempts take milliseconds would idle for nearly all of its
time if it were sent no more than it has told to have room for.
"""

from collections import defaultdict, deque

from meshd.clock import Clock
from meshd.jobs.model import Job
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId

AHEAD_S = 0.1
"""Of work that a device is sent before it has room for it: what is sent is bound to it, though others be idle."""

MAX_AHEAD = 200
"""Attempts that are sent ahead: two thousand a second for so long."""

_Sort = tuple[DeviceId, str]


class Pace:
    """Counts this device's own attempts on each device, by kind."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._open: defaultdict[_Sort, set[tuple[JobId, AttemptNumber]]] = defaultdict(set)
        self._ended: defaultdict[_Sort, deque[float]] = defaultdict(lambda: deque(maxlen=MAX_AHEAD))

    def tracked(self, job: Job, previous: Job | None) -> None:
        """Take note of a job's new state."""
        before = () if previous is None else previous.open_attempts
        for attempt in before:
            now = job.attempt(attempt.number)
            if now is None or not now.is_open:
                sort = (attempt.device, job.kind)
                self._open[sort].discard((job.id, attempt.number))
                if now is not None and now.state in {"succeeded", "failed"}:
                    self._ended[sort].append(self._clock.boot())
        for attempt in job.open_attempts:
            self._open[attempt.device, job.kind].add((job.id, attempt.number))

    def room(self, device: DeviceId, kind: str) -> int:
        """Return how many attempts of a kind a device can be sent beyond those that it has of this one."""
        ended = self._ended.get((device, kind))
        if not ended:
            return 0
        since = self._clock.boot() - AHEAD_S
        while ended and ended[0] < since:
            ended.popleft()
        return max(0, len(ended) - len(self._open.get((device, kind), ())))
