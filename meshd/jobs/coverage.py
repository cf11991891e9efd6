"""Which units of a job are done: disjoint spans on a fixed grid. Pure.

The covered set plus the partials behind it *is* the checkpoint. Its spans never overlap, so that no unit is ever
counted twice; a partial that would lose a unit by entering, or that brings none, is refused.
"""

from collections.abc import Sequence

from meshd_protocol.messages.jobs import PartialRef

Spans = Sequence[tuple[int, PartialRef]]
"""(attempt, span): what is covered, and by whom."""


def admits(covered: Spans, new: PartialRef) -> bool:
    """Return whether `new` may enter: it is well-formed, has units that nobody has covered, and loses none.

    What lies wholly inside it is replaced, whoever computed that: an attempt's own span by one that goes further, and
    a slow part's by that of whoever has computed its units as well.
    """
    if not 0 <= new.start < new.stop <= new.units:
        return False
    # The grid of a phase is fixed: another one is another job's, or another version's.
    if any(old.phase == new.phase and old.units != new.units for _, old in covered):
        return False
    return _brings_units(covered, new) and all(is_inside(old, new) for old in _overlapping(covered, new))


def enter(covered: Spans, attempt: int, new: PartialRef) -> list[tuple[int, PartialRef]]:
    """Return what is covered once `new`, which must be admitted, has entered."""
    kept = [(owner, old) for owner, old in covered if not is_inside(old, new)]
    return sorted([*kept, (attempt, new)], key=lambda entry: (entry[1].phase, entry[1].start))


def is_inside(old: PartialRef, new: PartialRef) -> bool:
    """Return whether all units of one span are in another."""
    return old.phase == new.phase and new.start <= old.start and old.stop <= new.stop


def _overlapping(covered: Spans, new: PartialRef) -> list[PartialRef]:
    return [old for _, old in covered if old.phase == new.phase and old.start < new.stop and new.start < old.stop]


def _brings_units(covered: Spans, new: PartialRef) -> bool:
    known = sum(min(old.stop, new.stop) - max(old.start, new.start) for old in _overlapping(covered, new))
    return known < new.stop - new.start
