"""What a resolved spec asks of lineups, said in the columns of its players; the same for every sport."""

from collections.abc import Mapping, Sequence
from typing import cast

from meshd.kinds.base import Document
from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.rules import Group
from meshd.kinds.lineups.input.contradictions import least_uses, most_uses
from meshd.kinds.lineups.input.players import Player


def in_columns(lineups: object, column: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
    """Return lineups that are given by ids, each in the order of its columns."""
    return tuple(tuple(sorted(column[who] for who in lineup)) for lineup in cast("list[list[str]]", lineups))


def teams_of(players: Sequence[Player]) -> tuple[tuple[int, ...], ...]:
    """Return the columns of each team's players; those without a team are in none."""
    names = sorted({player.team for player in players if player.team})
    return tuple(tuple(at for at, player in enumerate(players) if player.team == name) for name in names)


def groups_of(
    constraints: Mapping[str, object],
    column: Mapping[str, int],
    columns: Mapping[str, Sequence[int]] | None = None,
) -> tuple[Group, ...]:
    """Return the user's groups; `columns` tells who stands for a player where that is more than his own column."""
    standing = {who: (at,) for who, at in column.items()} if columns is None else columns
    return tuple(
        Group(
            tuple(sorted({at for who in cast("list[str]", group["ids"]) for at in standing[who]})),
            cast("int", group["min"]),
            cast("int | None", group["max"]),
            None if group["if"] is None else column[str(group["if"])],
        )
        for group in cast("list[dict[str, object]]", constraints["groups"])
    )


def diversity_of(
    resolved: Document, constraints: Mapping[str, object], players: Sequence[Player], column: Mapping[str, int]
) -> Diversity:
    """Return what is asked of the lineups together: how many, how different, and how often each player."""
    count = cast("int", resolved["lineup_count"])
    given = in_columns(constraints["existing_lineups"], column)
    # A job that fills entries chooses them a part at a time; shares are of all of them.
    lineups = cast("int", resolved.get("whole", count + len(given)))
    most = tuple(most_uses(player, constraints, lineups) for player in players)
    least = tuple(least_uses(player, constraints, lineups) for player in players)
    return Diversity(
        count,
        max_overlap=cast("int | None", constraints["max_overlap"]),
        # Empty where nothing is asked: lineups that only have to differ are chosen much faster.
        most=most if min(most) < lineups else (),
        least=least if max(least) > 0 else (),
        given=given,
    )
