"""An attempt as it is offered to a peer."""

from collections.abc import Sequence

from meshd.jobs.model import Job
from meshd.jobs.parts import to_wire
from meshd.kinds.base import Part
from meshd_protocol.ids import AttemptNumber
from meshd_protocol.messages import jobs as wire


def offer_of(
    job: Job, number: AttemptNumber, resolved: bytes, partials: Sequence[wire.PartialRef], part: Part | None
) -> wire.Offer:
    """Return the offer of an attempt, which goes on from `partials`, or computes a part."""
    return wire.Offer(
        job=job.id,
        attempt=number,
        kind=job.kind,
        name=job.name,
        resolved=resolved,
        priority=job.priority,
        timeout_s=job.timeout_s,
        partials=tuple(partials),
        part=None if part is None else to_wire(part),
    )
