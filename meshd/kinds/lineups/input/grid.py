"""The starting grid: who starts where, as names or ids with positions, or as a CSV file of both."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.lineups.input.fields import whole_number
from meshd.kinds.lineups.input.players import Player, Roll
from meshd.kinds.lineups.input.table import Source, read_cells
from meshd.kinds.lineups.limits import MAX_DRIVERS

SOURCE = Source("The grid", "grid", "Write a line name,position for each driver.")

MOST_ABSENT = 4
"""Drivers that a grid may lack, and who then do not start: real slates have had one or two of them."""


def with_grid(players: Sequence[Player], grid: object) -> tuple[list[Player], list[str]]:
    """Return the players with their starting positions, and what was handled, in sentences.

    A driver whom the grid lacks does not start.

    Raises:
        BadInput: it is not a grid, or not of this slate.
    """
    if grid is None:
        return _checked(list(players)), []
    if any(player.start_position is not None for player in players):
        raise BadInput(
            "Starting positions are given twice: in grid and with the drivers.", field="grid", hint="Drop one of them."
        )
    roll = Roll(players)
    places: dict[str, int] = {}
    for who, place in _pairs(grid):
        identity = roll.named(who, "grid")
        if identity in places:
            raise BadInput(f"The grid names {who!r} twice.", field="grid", hint="Give each driver one position.")
        places[identity] = whole_number(place, 1, MAX_DRIVERS, field="grid", what=f"The position of {who}")
    absent = [player for player in players if player.id not in places and not player.withdrawn]
    if len(absent) > MOST_ABSENT:
        raise BadInput(
            f"The grid lacks {len(absent)} of {len(players)} drivers: "
            f"{', '.join(player.name for player in absent[:3])}, …",
            field="grid",
            hint="Give all positions or none; leave drivers who do not start out of the slate.",
        )
    placed = [
        replace(player, start_position=places.get(player.id), withdrawn=player.withdrawn or player.id not in places)
        for player in players
    ]
    return _checked(placed), [f"{player.name} is not on the grid, and counts as withdrawn." for player in absent]


def _checked(players: list[Player]) -> list[Player]:
    """Refuse a grid that only some are on, or on which two share a place; the withdrawn are on none."""
    starters = [player for player in players if not player.withdrawn]
    without = [player.name for player in starters if player.start_position is None]
    if without and len(without) < len(starters):
        raise BadInput(
            f"The grid lacks {len(without)} of {len(starters)} drivers: {', '.join(without[:3])}"
            + (", …" if len(without) > 3 else "."),
            field="grid",
            hint="Give all positions or none; mark drivers who do not start as withdrawn.",
        )
    if starters and not without:
        place, times = Counter(player.start_position for player in starters).most_common(1)[0]
        if times > 1:
            raise BadInput(f"{times} drivers start {place}.", field="grid", hint="Give each driver another position.")
    return [replace(player, start_position=None) if player.withdrawn else player for player in players]


def _pairs(grid: object) -> list[tuple[str, object]]:
    if isinstance(grid, str):
        return _lines(grid)
    if isinstance(grid, dict):
        return [(str(who), place) for who, place in cast("dict[object, object]", grid).items()]
    raise BadInput(
        "grid must be an object from drivers to positions, or the text of a CSV file.",
        field="grid",
        hint='Write {"Driver Name": 1, …}.',
    )


def _lines(text: str) -> list[tuple[str, object]]:
    lines = read_cells(text, SOURCE)
    if len(lines[0]) > 1 and not lines[0][1].isdigit():
        lines = lines[1:]  # column titles
    pairs: list[tuple[str, object]] = []
    for line in lines:
        if len(line) < 2 or not (line[1].isascii() and line[1].isdigit()):
            raise SOURCE.refuse(f"The grid's line {','.join(line)[:60]!r} is not a name and a position.")
        pairs.append((line[0], int(line[1][:9])))
    return pairs
