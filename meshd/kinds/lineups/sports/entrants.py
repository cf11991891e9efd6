"""Entrants: players of sports with rosters, each with the positions that he plays and the game that he plays in."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

import msgspec

from meshd.errors import BadInput
from meshd.kinds.lineups.input.fields import items, members, refuse_unknown, text
from meshd.kinds.lineups.input.listed import listed_players
from meshd.kinds.lineups.input.players import Player, folded
from meshd.kinds.lineups.input.salaries import Slate
from meshd.kinds.lineups.limits import MAX_COLUMNS, MAX_NAME_CHARACTERS
from meshd.kinds.lineups.sports.players import players_of
from meshd.kinds.lineups.sports.roster import PERCENT, Roster

FIELD = "players"

_ONLY_RACING = ("manufacturer", "start_position", "skill")
"""What is known of drivers alone."""

_MOST_LISTED = 20_000
"""So many are counted before they are refused as too many."""

_MOST_POSITIONS = 8
"""That one player fills: three are the most that a site lists."""


@dataclass(frozen=True, slots=True)
class Entrant(Player):
    """One row of a slate."""

    positions: tuple[str, ...] = ()
    game: str = ""
    """Both opponents, for example `LAL@PHO`; "" where nobody plays against each other."""

    @property
    def person(self) -> tuple[str, str]:
        """Equal for rows of one man: a site may list him once more as captain."""
        return folded(self.name), self.team


def entrants_of(slate: Slate, roster: Roster) -> list[Entrant]:
    """Return the players of a salary file.

    Raises:
        BadInput: they are not players of this sport.
    """
    rows = players_of(roster, [row.by_title for row in slate.rows])
    return [
        Entrant(
            id=player.id,
            name=player.name,
            salary=player.salary,
            avg_points=player.avg_points,
            team=player.team,
            withdrawn=player.withdrawn,
            positions=row.positions,
            game=row.game,
        )
        for player, row in zip(slate.players, rows, strict=True)
    ]


def listed_entrants(listed: object) -> list[Entrant]:
    """Return the players of a spec's list.

    Raises:
        BadInput: one lacks a field, or has a wrong one.
    """
    given = [_fields(at, entry) for at, entry in enumerate(items(listed, field=FIELD, most=_MOST_LISTED), start=1)]
    plain = listed_players(
        [{name: value for name, value in entry.items() if name not in {"positions", "game"}} for entry in given],
        "player",
    )
    return [_entrant(player, entry) for player, entry in zip(plain, given, strict=True)]


def _fields(at: int, entry: object) -> dict[str, object]:
    if not isinstance(entry, dict):
        raise BadInput(
            f"Player {at} is not an object.", field=FIELD, hint='Write {"id", "name", "positions", "salary"}.'
        )
    given = members(cast("dict[str, object]", entry), field=FIELD)
    refuse_unknown(given, [*document_of(_NOBODY)], f" in player {at}")
    return given


def _entrant(player: Player, given: Mapping[str, object]) -> Entrant:
    positions = items(given.get("positions"), field="positions", most=_MOST_POSITIONS)
    if not positions or not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS for name in positions):
        raise BadInput(f"{player.name} has no positions.", field="positions", hint='Write a list, like ["PG", "SG"].')
    return Entrant(**asdict(player), positions=tuple(map(str, positions)), game=text(given, "game", ""))


def without_copies(players: Sequence[Entrant]) -> tuple[list[Entrant], list[str]]:
    """Return each player once, and what was left out, in sentences; two men may have one name, not one id.

    Raises:
        BadInput: two entries of one id contradict each other.
    """
    kept: dict[str, Entrant] = {}
    notices: list[str] = []
    for player in players:
        twin = kept.setdefault(player.id, player)
        if twin is player:
            continue
        if twin != player:
            raise BadInput(
                f"{twin.name} ({twin.id}) and {player.name} are listed under one id.",
                field=FIELD,
                hint="Remove the wrong line.",
            )
        if f"{twin.name} is listed more than once, and counts once." not in notices:
            notices.append(f"{twin.name} is listed more than once, and counts once.")
    return list(kept.values()), notices


def refuse_too_many(players: Sequence[Entrant]) -> None:
    """Refuse a slate that is larger than any real one."""
    if len(players) > MAX_COLUMNS:
        raise BadInput(
            f"The slate has {len(players):,} players; {MAX_COLUMNS:,} is the most.",
            field=FIELD,
            hint="Use the file of one contest.",
        )


def main_rows(players: Sequence[Entrant], roster: Roster) -> list[Entrant]:
    """Return one row for each man: of a captain's two, the one in which he scores what he scores."""
    plain = {name for slot in roster.slots if slot.points_percent == PERCENT for name in slot.eligible}
    found: dict[tuple[str, str] | str, Entrant] = {}
    for player in sorted(players, key=lambda player: not plain & set(player.positions)):
        # Only a roster with captains lists a man twice; elsewhere two men may have one name.
        found.setdefault(player.person if has_captain(roster) else player.id, player)
    return list(found.values())


def has_captain(roster: Roster) -> bool:
    """Return whether one place of a lineup scores more than the others."""
    return any(slot.points_percent != PERCENT for slot in roster.slots)


def alike(players: Sequence[Entrant], roster: Roster) -> list[Entrant]:
    """Return the players with what is said of a man said of all his rows: a captain is the same man as the driver."""
    if not has_captain(roster):
        return list(players)
    told: dict[tuple[str, str], Entrant] = {player.person: player for player in main_rows(players, roster)}
    for player in players:
        own = told[player.person]
        told[player.person] = replace(
            own,
            locked=own.locked or player.locked,
            excluded=own.excluded or player.excluded,
            withdrawn=own.withdrawn or player.withdrawn,
            mean=player.mean if own.mean is None else own.mean,
            sd=player.sd if own.sd is None else own.sd,
            exposure=player.exposure if own.exposure == _ANY else own.exposure,
        )
    return [replace(player, **{name: getattr(told[player.person], name) for name in _OF_MEN}) for player in players]


_OF_MEN = ("locked", "excluded", "withdrawn", "mean", "sd", "exposure")
"""What is said of a man, in whatever row; ownership is told of the captain and of the driver apart."""

_ANY = (0.0, 1.0)


def document_of(player: Entrant) -> dict[str, object]:
    """Return a player as a resolved spec lists him: every field filled in."""
    told = {name: value for name, value in asdict(player).items() if name not in _ONLY_RACING}
    return {**told, "exposure": list(player.exposure), "positions": list(player.positions)}


def read_entrants(documents: object) -> tuple[Entrant, ...]:
    """Return the players of a resolved spec, which has been checked."""
    return msgspec.convert(documents, tuple[Entrant, ...])


_NOBODY = Entrant("", "", 0)
