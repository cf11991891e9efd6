"""Mistakes in how a job is shared."""

from collections.abc import Sequence

from meshd.jobs import lifecycle
from meshd.jobs.lifecycle import JobEffect
from meshd.jobs.model import Attempt, Job
from meshd.jobs.origin import Origin
from meshd.jobs.spread import Spread
from meshd_protocol.ids import AttemptNumber, JobId
from tests.simulation.planted.bug import Bug


def _somebody_computes(
    self: Spread, parts: Sequence[Attempt], phase: int, first: int, last: int, asked: object
) -> bool:
    return False


def _leave_parts(job: Job, now: float) -> tuple[Job, tuple[JobEffect, ...], tuple[tuple[AttemptNumber, str, str], ...]]:
    return job, (), ()


def _no_answer(
    self: Spread, job_id: JobId, number: AttemptNumber, phase: int, units: int, missing: Sequence[tuple[int, int]]
) -> None:
    pass


async def _wait_for_the_damaged(self: Origin, job: JobId) -> None:
    pass


BUGS = {
    "units that nobody computes are waited for": Bug("B", Spread, "_nobody_computes", _somebody_computes),
    "parts go on without the whole": Bug("B", lifecycle, "_without_parts", _leave_parts),
    "an attempt that waits for others gets no answer": Bug("B", Spread, "waiting", _no_answer),
    "units whose blob is damaged are waited for": Bug("B", Origin, "_forget_checkpoint", _wait_for_the_damaged),
}
