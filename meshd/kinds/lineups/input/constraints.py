"""Constraints: what a lineup may be, and how lineups must differ; short forms become players' own fields."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from meshd.errors import BadInput
from meshd.kinds.lineups.input.fields import items, members, number, refuse_unknown, whole, whole_number
from meshd.kinds.lineups.input.given import read_lineups
from meshd.kinds.lineups.input.listed import exposure_of
from meshd.kinds.lineups.input.players import Player, Roll
from meshd.kinds.lineups.limits import MAX_COLUMNS, MAX_GROUPS, MAX_SALARY
from meshd.kinds.lineups.sports.base import Contest

_SHORT = ("locked", "excluded", "withdrawn")

_KNOWN = (
    "salary_cap",
    "salary_min",
    "roster_size",
    "max_overlap",
    "global_exposure_min",
    "global_exposure_max",
    "groups",
    "max_from_team",
    "min_from_team",
    "exclude_lineups",
    "existing_lineups",
)


def with_short_forms(players: Sequence[Player], given: Mapping[str, object]) -> list[Player]:
    """Return the players with what `locked`, `excluded`, `withdrawn` and `exposure` of the constraints say of them.

    Raises:
        BadInput: somebody is named who is not on the slate.
    """
    roll = Roll(players)
    by_id = {player.id: player for player in players}
    for mark in _SHORT:
        for who in items(given.get(mark), field=mark, most=MAX_COLUMNS):
            identity = roll.named(who, mark)
            by_id[identity] = replace(by_id[identity], **{mark: True})
    for who, bounds in members(given.get("exposure"), field="exposure").items():
        identity = roll.named(who, "exposure")
        by_id[identity] = replace(by_id[identity], exposure=exposure_of(bounds, by_id[identity].name))
    return list(by_id.values())


def read_constraints(given: Mapping[str, object], players: Sequence[Player], contest: Contest) -> dict[str, object]:
    """Return the constraints with every field filled in; short forms are gone, players have them.

    Raises:
        BadInput: a field is not what it must be.
    """
    refuse_unknown(given, (*_KNOWN, *_SHORT, "exposure"), " in constraints")
    size = contest.roster_size
    if given.get("roster_size", size) != size or isinstance(given.get("roster_size"), bool | float):
        raise BadInput(
            f"roster_size is {given.get('roster_size')!r}; a lineup of {contest.site} has {size} players.",
            field="roster_size",
            hint="Leave it out.",
        )
    low, high = (
        number(given.get(name, default), 0, 1, field=name, what=name)
        for name, default in (("global_exposure_min", 0.0), ("global_exposure_max", 1.0))
    )
    if low > high:
        raise BadInput(
            f"global_exposure_min ({low:g}) is above global_exposure_max ({high:g}).",
            field="global_exposure_min",
            hint="Lower global_exposure_min.",
        )
    return {
        "salary_cap": whole(given, "salary_cap", 1, MAX_SALARY, contest.salary_cap),
        "salary_min": whole(given, "salary_min", 0, MAX_SALARY, 0),
        "roster_size": size,
        "max_overlap": _bound(given, "max_overlap", 0, size),
        "global_exposure_min": low,
        "global_exposure_max": high,
        "groups": _groups(given.get("groups"), Roll(players), size),
        "max_from_team": _bound(given, "max_from_team", 1, size),
        "min_from_team": _bound(given, "min_from_team", 2, size),
        **{
            name: read_lineups(given.get(name), players, contest.titles, field=name, ordered=contest.ordered)
            for name in ("exclude_lineups", "existing_lineups")
        },
    }


def _bound(given: Mapping[str, object], name: str, low: int, high: int) -> int | None:
    value = given.get(name)
    return None if value is None else whole_number(value, low, high, field=name, what=name)


def _groups(given: object, roll: Roll, size: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for at, entry in enumerate(items(given, field="groups", most=MAX_GROUPS), start=1):
        group = members(entry, field=f"groups, entry {at}")
        refuse_unknown(group, ("ids", "min", "max", "if"), f" in group {at}")
        ids = sorted({roll.named(who, f"group {at}") for who in items(group.get("ids"), field="ids", most=MAX_COLUMNS)})
        if not ids:
            raise BadInput(f"Group {at} has no players.", field="groups", hint="List them under ids.")
        least = whole(group, "min", 0, size, 0, what=f"The min of group {at}")
        most = group.get("max")
        most = None if most is None else whole_number(most, 0, size, field="groups", what=f"The max of group {at}")
        if most is not None and least > most:
            raise BadInput(
                f"Group {at} wants at least {least} and at most {most} of its players, which contradict each other.",
                field="groups",
                hint="Lower min, or raise max.",
            )
        if not least and most is None:
            raise BadInput(f"Group {at} has neither min nor max.", field="groups", hint="Say how many of them.")
        when = group.get("if")
        found.append(
            {"ids": ids, "min": least, "max": most, "if": None if when is None else roll.named(when, f"group {at}")}
        )
    return found
