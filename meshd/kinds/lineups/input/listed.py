"""Players that a spec lists one by one, and how a resolved spec lists them again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import cast

import msgspec

from meshd.errors import BadInput
from meshd.kinds.lineups.input.fields import items, members, number, refuse_unknown, text, whole_number
from meshd.kinds.lineups.input.players import Player
from meshd.kinds.lineups.limits import MAX_DRIVERS, MAX_NAME_CHARACTERS, MAX_POINTS, MAX_SALARY

FIELD = "drivers"

_FIELDS = tuple(field.name for field in fields(Player))

_MOST_LISTED = 20_000
"""So many are counted before they are refused as too many."""

_FIGURES: Mapping[str, tuple[float, float]] = {
    "mean": (-MAX_POINTS, MAX_POINTS),
    "sd": (0, MAX_POINTS),
    "skill": (-10, 10),
    "ownership": (0, 1),
}


def listed_players(listed: object, who: str = "driver") -> list[Player]:
    """Return the players of a spec's list; `who` is what one of them is called.

    Raises:
        BadInput: one lacks a field, or has a wrong one.
    """
    return [
        _player(at, entry, who) for at, entry in enumerate(items(listed, field=f"{who}s", most=_MOST_LISTED), start=1)
    ]


def documents_of(players: Sequence[Player]) -> list[dict[str, object]]:
    """Return the players as a resolved spec lists them: every field filled in."""
    return [{**asdict(player), "exposure": list(player.exposure)} for player in players]


def read_documents(documents: object) -> tuple[Player, ...]:
    """Return the players of a resolved spec, which has been checked."""
    return msgspec.convert(documents, tuple[Player, ...])


def refuse_bad_figures(players: Sequence[Player]) -> None:
    """Refuse names that fit on no line, and figures that no slate has."""
    for player in players:
        if max(len(player.id), len(player.name), len(player.team), len(player.manufacturer)) > MAX_NAME_CHARACTERS:
            raise BadInput(
                f"The name or id {player.name[:40]!r}… has more than {MAX_NAME_CHARACTERS} characters.",
                field=FIELD,
                hint="Shorten it.",
            )
        if player.salary > MAX_SALARY or abs(player.avg_points) > MAX_POINTS:
            raise BadInput(
                f"The figures of {player.name} are out of range: salary {player.salary:,}, "
                f"average points {player.avg_points:g}.",
                field=FIELD,
                hint="Check the file; salaries are about 2,000 to 15,000.",
            )


def _player(at: int, entry: object, who: str) -> Player:
    if not isinstance(entry, dict):
        raise BadInput(
            f"{who.capitalize()} {at} is not an object.", field=f"{who}s", hint='Write {"id", "name", "salary"}.'
        )
    given = members(cast("dict[str, object]", entry), field=f"{who}s")
    refuse_unknown(given, _FIELDS, f" in {who} {at}")
    identity, name = _words(given, "id", at, who), _words(given, "name", at, who)
    figures = {
        key: number(given[key], low, high, field=key, what=f"The {key} of {name}")
        for key, (low, high) in _FIGURES.items()
        if given.get(key) is not None
    }
    start = given.get("start_position")
    average = given.get("avg_points")
    return Player(
        id=identity,
        name=name,
        salary=whole_number(given.get("salary"), 0, MAX_SALARY, field="salary", what=f"The salary of {name}"),
        avg_points=0.0
        if average is None
        else number(average, -MAX_POINTS, MAX_POINTS, field="avg_points", what=f"The avg_points of {name}"),
        team=text(given, "team", ""),
        manufacturer=text(given, "manufacturer", ""),
        start_position=None
        if start is None
        else whole_number(start, 1, MAX_DRIVERS, field="start_position", what=f"The start_position of {name}"),
        mean=figures.get("mean"),
        sd=figures.get("sd"),
        skill=figures.get("skill"),
        ownership=figures.get("ownership"),
        locked=_flag(given, "locked", name),
        excluded=_flag(given, "excluded", name),
        withdrawn=_flag(given, "withdrawn", name),
        exposure=exposure_of(given.get("exposure"), name),
    )


def exposure_of(given: object, name: str) -> tuple[float, float]:
    """Return the least and the most share of lineups; a number alone is the most.

    Raises:
        BadInput: they are no shares, or contradict each other.
    """
    if given is None:
        return 0.0, 1.0
    bounds = [0, given] if isinstance(given, int | float) else items(given, field="exposure", most=2)
    if len(bounds) != 2:
        raise BadInput(
            f"The exposure of {name} is not two shares.", field="exposure", hint="Write [least, most], from 0 to 1."
        )
    low, high = (number(share, 0, 1, field="exposure", what=f"The exposure of {name}") for share in bounds)
    if low > high:
        raise BadInput(
            f"The exposure of {name} is at least {low:g} and at most {high:g}, which contradict each other.",
            field="exposure",
            hint="Write the smaller share first.",
        )
    return low, high


def _words(given: Mapping[str, object], key: str, at: int, who: str) -> str:
    value = given.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_NAME_CHARACTERS:
        raise BadInput(
            f"{who.capitalize()} {at} has no {key}.",
            field=f"{who}s",
            hint=f"Give each {who} a {key} of at most {MAX_NAME_CHARACTERS} characters.",
        )
    return value.strip()


def _flag(given: Mapping[str, object], key: str, name: str) -> bool:
    value = given.get(key, False)
    if not isinstance(value, bool):
        raise BadInput(
            f"{key} of {name} is {value!r}, not true or false.", field=key, hint="Write true, or leave it out."
        )
    return value
