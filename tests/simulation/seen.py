"""What the monitor knows of jobs, their attempts and the workers that run them."""

from dataclasses import dataclass, field
from typing import Final

OPEN: Final = frozenset({"offered", "accepted", "running"})

AttemptName = tuple[str, str, int]
"""Origin, job, number."""


@dataclass(slots=True)
class SeenAttempt:
    """An attempt as its origin's disk tells it."""

    device: str
    state: str
    offered_at: float
    why: str = ""
    closed_at: float = 0.0
    began: bool = False
    is_part: bool = False
    """Whether it is to compute only some units of the job."""


@dataclass(slots=True)
class SeenJob:
    """A job as its origin's disk tells it."""

    origin: str
    kind: str
    deterministic: bool
    retry_safe: bool
    acknowledged: bool = False
    end: str | None = None
    completed_by: int | None = None
    attempts: dict[int, SeenAttempt] = field(default_factory=dict[int, SeenAttempt])
    early: int | None = None
    """The attempt that has begun on its origin, and is not on disk."""

    def may_begin_early(self, executor: str, number: int) -> bool:
        """Return whether an attempt may begin before it is on disk: see decision 0015."""
        return (
            executor == self.origin
            and (self.deterministic or self.retry_safe)
            and self.end is None
            and number == max(self.attempts, default=0) + 1
            and not any(attempt.state in OPEN for attempt in self.attempts.values())
        )


@dataclass(slots=True)
class SeenWorker:
    """A worker that runs an attempt."""

    kind: str
    began_at: float
    told: bool = False
