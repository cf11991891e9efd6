"""Which units of a job are done: disjoint spans on a fixed grid. Pure.

The covered set plus the partials behind it *is* the checkpoint. A span enters it once: a partial that overlaps
what another attempt has covered is refused, so that no unit is ever counted twice.
"""

from collections.abc import Sequence

from meshd_protocol.messages.jobs import PartialRef

Spans = Sequence[tuple[int, PartialRef]]
"""(attempt, span): what is covered, and by whom."""


def admits(covered: Spans, attempt: int, new: PartialRef) -> bool:
    """Return whether `new` may enter: it is well-formed, and overlaps only what it replaces.

    An attempt replaces its own span of the same phase and start by one that goes further.
    """
    if not 0 <= new.start < new.stop <= new.units:
        return False
    for owner, old in covered:
        if old.phase != new.phase:
            continue
        if old.units != new.units:
            # The grid of a phase is fixed: this is another job's, or another version's.
            return False
        replaces = owner == attempt and old.start == new.start and old.stop <= new.stop
        if not replaces and _overlap(old, new):
            return False
    return True


def hinders(covered: Spans, attempt: int, new: PartialRef) -> bool:
    """Return whether a span that `attempt` does not replace overlaps `new`: it would be refused for ever."""
    return any(
        old.phase == new.phase and _overlap(old, new) and (owner, old.start) != (attempt, new.start)
        for owner, old in covered
    )


def _overlap(one: PartialRef, other: PartialRef) -> bool:
    return one.start < other.stop and other.start < one.stop


def enter(covered: Spans, attempt: int, new: PartialRef) -> list[tuple[int, PartialRef]]:
    """Return what is covered once `new`, which must be admitted, has entered."""
    kept = [(owner, old) for owner, old in covered if (old.phase, old.start) != (new.phase, new.start)]
    return sorted([*kept, (attempt, new)], key=lambda entry: (entry[1].phase, entry[1].start))
