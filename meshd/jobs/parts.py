"""Parts of jobs as they travel."""

import msgspec

from meshd.errors import BadInput
from meshd.kinds.base import Part, Phase
from meshd_protocol.messages import jobs as wire


def to_wire(part: Part) -> wire.Part:
    """Return a part as it travels."""
    phase = part.phase
    return wire.Part(
        phase=phase.number, units=phase.units, start=part.start, stop=part.stop, plan=msgspec.json.encode(phase)
    )


def from_wire(part: wire.Part) -> Part:
    """Read a part that a peer has sent.

    Raises:
        BadInput: it is none.
    """
    try:
        phase = msgspec.json.decode(part.plan, type=Phase)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadInput(f"what the peer calls a phase is none: {error}") from error
    fits = (phase.number, phase.units) == (part.phase, part.units) and 0 <= part.start < part.stop <= part.units
    if not fits or not 0 <= phase.weight <= 1:
        raise BadInput(f"units {part.start} to {part.stop} do not fit the phase {phase.label[:80]!r}")
    return Part(phase, part.start, part.stop)


def cost_of(part: Part, whole: float | None) -> float | None:
    """Return the work in a part of a job that costs `whole`, in the same units."""
    return None if whole is None else whole * part.phase.weight * (part.stop - part.start) / part.phase.units
