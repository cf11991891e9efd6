"""Pins: a player whom nobody can move to another place any more plays that place's own position."""

import msgspec

from meshd.kinds.lineups.sports.roster import Roster, Slot

_PIN = "@"
"""No site's position begins so."""


def pinned(title: str) -> str:
    """Return the position that only the places of one title take."""
    return _PIN + title


def with_pins(roster: Roster) -> Roster:
    """Return the roster with the position of each slot's own; otherwise it is the same."""
    slots = tuple(_with_pin(slot) for slot in roster.slots)
    apart = set(roster.not_of_team)
    uncounted = tuple(pinned(slot.name) for slot in roster.slots if set(slot.eligible) <= apart)
    return msgspec.structs.replace(roster, slots=slots, not_of_team=(*roster.not_of_team, *uncounted))


def _with_pin(slot: Slot) -> Slot:
    return msgspec.structs.replace(slot, eligible=(*slot.eligible, pinned(slot.name)))
