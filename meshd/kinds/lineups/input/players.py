"""Players: those whom a contest lets one choose from, whatever told of them."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from meshd.errors import BadInput


@dataclass(frozen=True, slots=True)
class Player:
    """One player. What is None is not known; shares are 0 to 1."""

    id: str
    name: str
    salary: int
    avg_points: float = 0.0
    """The site's average points; 0 when the player has none."""

    team: str = ""
    manufacturer: str = ""
    start_position: int | None = None
    mean: float | None = None
    """Expected points, by somebody's projection."""

    sd: float | None = None
    skill: float | None = None
    """In standard deviations above the field's mean."""

    ownership: float | None = None
    """The share of opponents that is expected to take the player."""

    locked: bool = False
    excluded: bool = False
    withdrawn: bool = False
    exposure: tuple[float, float] = (0.0, 1.0)
    """In which share of the lineups the player is at least, and at most."""


def folded(name: str) -> str:
    """Return a name as names are compared: neither case nor spaces count."""
    return " ".join(name.casefold().split())


class Roll:
    """Finds players by id or by name."""

    def __init__(self, players: Sequence[Player]) -> None:
        by_name: dict[str, Player] = {}
        self._shared: set[str] = set()
        for player in players:
            other = by_name.setdefault(folded(player.name), player)
            # A captain has two rows and one team; two men who share a name have two.
            if other.team != player.team:
                self._shared.add(folded(player.name))
            by_name[folded(player.name)] = player
        named = {name: player.id for name, player in by_name.items() if name not in self._shared}
        self._names = [player.name for player in players]
        self._ids = {**named, **{player.id: player.id for player in players}}

    def find(self, who: str) -> str | None:
        """Return the id of a player; None when the slate has none of that id or name."""
        return self._ids.get(who.strip()) or self._ids.get(folded(who))

    def named(self, who: object, field: str) -> str:
        """Return the id of a player that a field names.

        Raises:
            BadInput: nobody of that id or name is on the slate.
        """
        told = str(who) if isinstance(who, int) and not isinstance(who, bool) else who
        found = self.find(told) if isinstance(told, str) else None
        if found is None and isinstance(told, str) and folded(told) in self._shared:
            raise BadInput(
                f"{field} names {told[:60]!r}, and the slate has several of that name.",
                field=field,
                hint="Use the player's id.",
            )
        if found is None:
            raise BadInput(
                f"{field} names {str(who)[:60]!r}, who is not in the slate.",
                field=field,
                hint=self._closest(str(who)) or "Use the slate's names or ids.",
            )
        return found

    def _closest(self, who: str) -> str:
        close = difflib.get_close_matches(folded(who[:60]), map(folded, self._names), n=1, cutoff=0.75)
        return next((f"Did you mean {name}?" for name in self._names if close and folded(name) == close[0]), "")


def without_doubles(players: Iterable[Player], field: str) -> tuple[list[Player], list[str]]:
    """Return each player once, and what was left out, in sentences.

    Raises:
        BadInput: two entries of one player contradict each other.
    """
    kept: list[Player] = []
    notices: list[str] = []
    ids: dict[str, Player] = {}
    names: dict[str, Player] = {}
    for player in players:
        same_id, same_name = ids.get(player.id), names.get(folded(player.name))
        twin = same_id or same_name
        if twin is None:
            kept.append(player)
            ids[player.id] = names[folded(player.name)] = player
            continue
        label = "id" if same_id else "name"
        if twin.salary != player.salary or folded(twin.name) != folded(player.name):
            raise BadInput(
                f"{twin.name} is listed twice (same {label}): {_told(twin)} and {_told(player)}.",
                field=field,
                hint="Remove the wrong line; captain slates are not supported.",
            )
        if replace(player, id=twin.id, name=twin.name) != twin:
            notices.append(f"{twin.name} is listed twice; the first entry counts.")
        elif f"{twin.name} is listed more than once, and counts once." not in notices:
            notices.append(f"{twin.name} is listed more than once, and counts once.")
    return kept, notices


def _told(player: Player) -> str:
    return f"{player.name} ({player.id}) for {player.salary:,}"
