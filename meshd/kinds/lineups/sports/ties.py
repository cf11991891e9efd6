"""Ties: stacks of a resolved spec in rows of its players, as the engines take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from meshd.kinds.lineups.engine.rules import Group, Stack
from meshd.kinds.lineups.sports.entrants import Entrant


@dataclass(frozen=True, slots=True)
class Tie:
    """A stack with an anchor, in rows: whoever is an anchor needs so many others with his key."""

    anchors: tuple[int, ...]
    """The key of each player who is one; -1 for the others."""

    counted: tuple[int, ...]
    """The key of each player who is counted; -2 for the others."""

    least: int

    def groups(self) -> tuple[Group, ...]:
        """Return the same as a group for each anchor."""
        return tuple(
            Group(
                tuple(other for other, its in enumerate(self.counted) if its == key and other != row),
                least=self.least,
                when=row,
            )
            for row, key in enumerate(self.anchors)
            if key >= 0
        )


def stack_of(stack: Mapping[str, object], players: Sequence[Entrant]) -> Tie | Stack:
    """Return a stack of a resolved spec, in rows of the players."""
    anchors, of = (set(cast("list[str]", stack[name])) for name in ("with", "of"))
    least, source = cast("int", stack["min"]), str(stack["from"])
    keys: dict[tuple[str, str], int] = {}
    rivals: dict[str, set[str]] = {}
    for player in players:
        rivals.setdefault(player.game, set()).add(player.team)

    def key(player: Entrant, *, anchor: bool) -> int | None:
        match source:
            case "team":
                name = "", player.team
            case "game":
                name = player.game, ""
            case _:
                others = rivals[player.game] - {player.team}
                rival = min(others) if len(others) == 1 else ""
                name = (player.game, rival if anchor else player.team) if player.game and rival else ("", "")
        return keys.setdefault(name, len(keys)) if any(name) else None

    counted = [key(player, anchor=False) if not of or of & set(player.positions) else None for player in players]
    if not anchors:
        sets: dict[int, list[int]] = {}
        for row, its in enumerate(counted):
            if its is not None:
                sets.setdefault(its, []).append(row)
        return Stack(tuple(tuple(rows) for rows in sets.values()), least)
    # An anchor of whom neither team nor game is known cannot be stacked with anybody: a key of his own.
    alone = len(players) + len(keys) + 1_000
    held = [
        (alone + row if (its := key(player, anchor=True)) is None else its) if anchors & set(player.positions) else -1
        for row, player in enumerate(players)
    ]
    return Tie(tuple(held), tuple(-2 if its is None else its for its in counted), least)
