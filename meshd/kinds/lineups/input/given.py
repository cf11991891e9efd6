"""Lineups that come from outside, to be kept or never to come back: as lists of players, or as an upload file."""

import re
from collections.abc import Mapping, Sequence
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.lineups.input.fields import items
from meshd.kinds.lineups.input.players import Player, Roll
from meshd.kinds.lineups.input.table import Source, read_cells
from meshd.kinds.lineups.limits import MAX_GIVEN_LINEUPS


def read_lineups(
    given: object, players: Sequence[Player], titles: Sequence[str], *, field: str, ordered: bool = False
) -> list[list[str]]:
    """Return lineups as sorted lists of ids, each once, in the order given.

    Where it matters who stands in which place (`ordered`), the ids of a lineup stay in their order.

    Raises:
        BadInput: one is no lineup of this slate.
    """
    if isinstance(given, str):
        lineups = _from_file(given, titles, field)
    else:
        lineups = [
            items(lineup, field=f"{field}, lineup {at}", most=20)
            for at, lineup in enumerate(items(given, field=field, most=MAX_GIVEN_LINEUPS), start=1)
        ]
    roll = Roll(players)
    found: list[list[str]] = []
    for at, lineup in enumerate(lineups, start=1):
        ids = list(dict.fromkeys(_identity(who, roll, field) for who in lineup))
        if not ordered:
            ids.sort()
        if len(ids) != len(titles):
            raise BadInput(
                f"Lineup {at} of {field} has {len(ids)} players; it needs {len(titles)}.",
                field=field,
                hint="Give whole lineups.",
            )
        if ids not in found:
            found.append(ids)
    return found


def still_whole(constraints: Mapping[str, object], players: Sequence[Player]) -> tuple[list[list[str]], int, list[str]]:
    """Return the existing lineups that are kept, how many are not, and why not."""
    lineups = cast("list[list[str]]", constraints["existing_lineups"])
    out = {player.id: player.name for player in players if player.withdrawn}
    kept = [lineup for lineup in lineups if not out.keys() & set(lineup)]
    lost = sorted({name for lineup in lineups for identity, name in out.items() if identity in lineup})
    if not lost:
        return kept, 0, []
    broken = len(lineups) - len(kept)
    which = "1 existing lineup holds" if broken == 1 else f"{broken} existing lineups hold"
    return kept, broken, [f"{which} {', '.join(lost)}, who withdrew: to be replaced."]


def _from_file(text: str, titles: Sequence[str], field: str) -> list[list[object]]:
    """Read an upload file, or the entries that a site exports: the columns of its titles, or all of them."""
    cells = read_cells(text, Source(f"The file of {field}", field, "Send the file that was uploaded to the site."))
    columns = [at for at, title in enumerate(cells[0]) if title in titles]
    if columns:
        # DraftKings writes other tables to the right of the entries, and below them.
        columns, cells = columns[: len(titles)], cells[1:]
    else:
        columns = list(range(len(titles)))
    lineups = [[line[at] for at in columns if at < len(line) and line[at]] for line in cells]
    whole = [cast("list[object]", lineup) for lineup in lineups if lineup]
    if len(whole) > MAX_GIVEN_LINEUPS:
        raise BadInput(
            f"{field} has {len(whole):,} lineups; at most {MAX_GIVEN_LINEUPS:,} are taken.", field=field, hint="Cut it."
        )
    return whole


def identity_in(text: str, roll: Roll) -> str | None:
    """Return the id of a player, written as id, name, `name (id)` or `id:name`; None of somebody else."""
    known = roll.find(text)
    for pattern in (r".*\(([^()]+)\)\s*", r"([^:]+):.*"):
        inside = re.fullmatch(pattern, text)
        if known is None and inside:
            known = roll.find(inside[1])
    return known


def _identity(who: object, roll: Roll, field: str) -> str:
    return (isinstance(who, str) and identity_in(who, roll)) or roll.named(who, field)
