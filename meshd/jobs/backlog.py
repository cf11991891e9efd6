"""Own jobs that wait for a device, in lines of equals: what holds up the first of a line holds up the others.

A look at ten thousand jobs must not cost more than one at ten, for there is one whenever a job ends.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from meshd.jobs.model import Job
from meshd_protocol.ids import JobId

Turn = tuple[int, int]
"""Who is first: the highest priority, then who came first. The smallest is."""


@dataclass(slots=True, eq=False)
class Line:
    """Jobs of one kind and placement, which have all been tried before, or none of them.

    Of those that have not, each waits for the same; of the others, each for what its own attempts have left open to it.
    """

    is_fresh: bool
    jobs: dict[int, dict[JobId, tuple[Turn, Job]]] = field(default_factory=dict[int, dict[JobId, tuple[Turn, Job]]])
    """By priority, each in the order of arrival."""

    closed: bool = False
    """Whether nobody further behind is looked at in this round."""

    why: str = ""
    """What those wait for at whom nobody has looked."""

    def __iter__(self) -> Iterator[tuple[Turn, int, "Line", Job]]:
        for priority in sorted(self.jobs, reverse=True):
            for turn, job in self.jobs[priority].values():
                if self.closed:
                    return
                yield turn, 0, self, job


class Backlog:
    """The lines."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, bool], Line] = {}
        self._where: dict[JobId, tuple[tuple[str, str, bool], int]] = {}
        self._turns: dict[JobId, int] = {}
        self._arrivals = 0

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._where)

    def put(self, job: Job) -> None:
        """Let a job wait, or take its new state; its place in the line stays its own until it is forgotten."""
        key = (job.kind, job.placement, not job.attempts)
        known = self._where.get(job.id)
        if known is not None and known != (key, job.priority):
            self.remove(job.id)
        turn = self._turns.get(job.id)
        if turn is None:
            self._arrivals += 1
            turn = self._turns[job.id] = self._arrivals
        line = self._lines.setdefault(key, Line(is_fresh=not job.attempts))
        line.jobs.setdefault(job.priority, {})[job.id] = ((-job.priority, turn), job)
        self._where[job.id] = (key, job.priority)

    def remove(self, job: JobId) -> None:
        """Let a job wait no longer."""
        known = self._where.pop(job, None)
        if known is None:
            return
        key, priority = known
        line = self._lines[key]
        del line.jobs[priority][job]
        if not line.jobs[priority]:
            del line.jobs[priority]
        if not line.jobs:
            del self._lines[key]

    def forget(self, job: JobId) -> None:
        """Let go of a job that has ended."""
        self.remove(job)
        self._turns.pop(job, None)

    def why(self, job: JobId) -> str:
        """Return what a job waits for at which nobody has looked; empty: somebody has."""
        known = self._where.get(job)
        return "" if known is None else self._lines[known[0]].why

    def round(self) -> Iterator[tuple[Line, Job]]:
        """Yield those who wait, best first, of each line until it is closed; nobody may come or go meanwhile."""
        for line in self._lines.values():
            line.closed, line.why = False, ""
        for _, _, line, job in heapq.merge(*self._lines.values()):
            if not line.closed:
                yield line, job
