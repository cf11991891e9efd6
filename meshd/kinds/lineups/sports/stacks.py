"""Stacks: players who go up and down together, asked for by position, team and game.

A stack with an anchor binds whoever has one of its positions: `{"with": ["QB"], "min": 2, "of": ["WR", "TE"]}` puts two
of his receivers beside each quarterback that is chosen. One without says that some team, or game, gives so many.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.lineups.input.fields import items, members, refuse_unknown, whole
from meshd.kinds.lineups.sports.entrants import Entrant
from meshd.kinds.lineups.sports.roster import Roster

FIELD = "stacks"

_MOST = 20
"""Stacks of one spec: sites' slates have a dozen games."""

_SOURCES = ("team", "opponent", "game")


def read_stacks(given: object, players: Sequence[Entrant], roster: Roster) -> list[dict[str, object]]:
    """Return stacks with every field filled in.

    Raises:
        BadInput: one asks for what the slate does not have.
    """
    found: list[dict[str, object]] = []
    for number, entry in enumerate(items(given, field=FIELD, most=_MOST), start=1):
        stack = members(entry, field=f"{FIELD}, entry {number}")
        refuse_unknown(stack, ("with", "of", "min", "from"), f" in stack {number}")
        anchors, of = (_positions(stack, name, number, players) for name in ("with", "of"))
        source = stack.get("from") or "team"
        if not (isinstance(source, str) and source in _SOURCES):
            raise BadInput(
                f"Stack {number} takes players from {str(source)[:40]!r}.",
                field=FIELD,
                hint=f"Write one of: {', '.join(_SOURCES)}.",
            )
        if source == "opponent" and not anchors:
            raise BadInput(
                f"Stack {number} takes opponents of nobody.", field=FIELD, hint='Say whose, for example "with": ["QB"].'
            )
        least = whole(stack, "min", 1, roster.size - bool(anchors), 1, what=f"The min of stack {number}")
        if not any(player.team if source == "team" else player.game for player in players):
            raise BadInput(
                f"Stack {number} needs {'teams' if source == 'team' else 'games'}, and no player has one.",
                field=FIELD,
                hint="Use the site's own file, or give the players teams and games.",
            )
        found.append({"with": anchors, "of": of, "min": least, "from": source})
    return found


def _positions(stack: Mapping[str, object], name: str, number: int, players: Sequence[Entrant]) -> list[str]:
    known = {position for player in players for position in player.positions}
    wanted = [str(entry) for entry in items(stack.get(name), field=FIELD, most=20)]
    for position in wanted:
        if position not in known:
            raise BadInput(
                f"Stack {number} names the position {position[:20]!r}, which nobody plays.",
                field=FIELD,
                hint=f"The slate has {', '.join(sorted(known)[:12])}.",
            )
    return wanted


def told_stack(number: int, stack: Mapping[str, object]) -> str:
    """Return a stack as a person knows it."""
    anchors, of = (cast("list[str]", stack[name]) for name in ("with", "of"))
    beside = f"with {', '.join(anchors)}: " if anchors else ""
    among = f" of {', '.join(of)}" if of else ""
    return f"stack {number} ({beside}{stack['min']}{among} from the {stack['from']})"
