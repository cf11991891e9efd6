"""What no search can answer: rules that contradict each other, told before any work, with the figures that show it."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import comb
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.lineups.input.players import Player


def refuse_contradictions(
    players: Sequence[Player], constraints: Mapping[str, object], count: int, who: str = "drivers"
) -> None:
    """Refuse rules of which no lineup, or not so many, can keep all; what takes a search to see is left to the worker.

    `who` is what players of the sport are called.

    Raises:
        BadInput: the sentence names the rules.
    """
    size = cast("int", constraints["roster_size"])
    for player in players:
        _refuse_marks(player)
    locked = [player for player in players if player.locked]
    usable = [player for player in players if not player.excluded and not player.withdrawn]
    if len(locked) > size:
        raise BadInput(
            f"{len(locked)} {who} are locked; a lineup has {size}.", field="locked", hint=f"Lock fewer {who}."
        )
    if len(usable) < size:
        raise BadInput(
            f"The slate has {len(usable)} {who} to choose from; a lineup needs {size}.",
            field=who,
            hint=f"Send the whole slate, or exclude fewer {who}.",
        )
    _refuse_salaries(usable, locked, constraints, size, who)
    lineups = comb(len(usable) - len(locked), size - len(locked))
    if count > lineups:
        raise BadInput(
            f"{count:,} lineups were asked for; {len(usable)} {who}"
            + (f", {len(locked)} of them locked," if locked else "")
            + f" make only {lineups:,}.",
            field="lineup_count",
            hint=f"Ask for at most {lineups:,}.",
        )
    _refuse_groups(usable, constraints)
    _refuse_teams(usable, constraints, who)
    _refuse_exposures(usable, constraints, count, size)


def uses(share: float, lineups: int, *, at_least: bool) -> int:
    """Return a share of so many lineups as a number of lineups: rounded up where it is the least, else down.

    35% of 150 are 52, and 29% of 100 are 29: shares are read as they are written, not as binary fractions.
    """
    exact = Decimal(repr(share)) * lineups
    return int(exact.to_integral_value(ROUND_CEILING if at_least else ROUND_FLOOR))


def most_uses(player: Player, constraints: Mapping[str, object], lineups: int) -> int:
    """Return in how many lineups a player may be at most. A lock is stronger than the bound for everybody."""
    share = player.exposure[1]
    if not player.locked:
        share = min(share, cast("float", constraints["global_exposure_max"]))
    return uses(share, lineups, at_least=False)


def least_uses(player: Player, constraints: Mapping[str, object], lineups: int) -> int:
    """Return in how many lineups a player must be at least; the bound for everybody is no match for an exclusion."""
    if player.excluded or player.withdrawn:
        return 0
    share = max(player.exposure[0], cast("float", constraints["global_exposure_min"]))
    return uses(share, lineups, at_least=True)


def _refuse_marks(player: Player) -> None:
    low, high = player.exposure
    marks = [mark for mark in ("locked", "excluded", "withdrawn") if getattr(player, mark)]
    if player.locked and len(marks) > 1:
        raise BadInput(
            f"{player.name} is both locked and {marks[1]}.", field="locked", hint=f"Drop the lock of {player.name}."
        )
    if player.locked and high < 1:
        raise BadInput(
            f"{player.name} is locked, and may be in {high:.0%} of the lineups at most.",
            field="exposure",
            hint="Drop the lock, or the exposure.",
        )
    if low > 0 and len(marks) > 0 and not player.locked:
        raise BadInput(
            f"{player.name} is {marks[0]}, and must be in at least {low:.0%} of the lineups.",
            field="exposure",
            hint="Drop the exposure.",
        )


def _refuse_salaries(
    usable: Sequence[Player], locked: Sequence[Player], constraints: Mapping[str, object], size: int, players: str
) -> None:
    cap, floor = cast("int", constraints["salary_cap"]), cast("int", constraints["salary_min"])
    if floor > cap:
        raise BadInput(
            f"salary_min ({floor:,}) is above salary_cap ({cap:,}).", field="salary_min", hint="Lower salary_min."
        )
    fixed = sum(player.salary for player in locked)
    free = sorted(player.salary for player in usable if not player.locked)
    places = size - len(locked)
    cheapest, dearest = fixed + sum(free[:places]), fixed + sum(free[len(free) - places :])
    who = f"the {size} {{}} {players}" if not locked else f"the locked {players} and the {places} {{}} others"
    if cheapest > cap:
        raise BadInput(
            f"No lineup fits: {who.format('cheapest')} cost {cheapest:,}, the cap is {cap:,}.",
            field="salary_cap",
            hint=f"Raise salary_cap to at least {cheapest:,}.",
        )
    if dearest < floor:
        raise BadInput(
            f"No lineup fits: {who.format('dearest')} cost {dearest:,}, salary_min is {floor:,}.",
            field="salary_min",
            hint=f"Lower salary_min to at most {dearest:,}.",
        )


def _refuse_groups(usable: Sequence[Player], constraints: Mapping[str, object]) -> None:
    can = {player.id for player in usable}
    locked = {player.id for player in usable if player.locked}
    groups = cast("list[dict[str, object]]", constraints["groups"])
    for at, group in enumerate(groups, start=1):
        ids = set(cast("list[str]", group["ids"]))
        least, most, when = cast("int", group["min"]), cast("int | None", group["max"]), group["if"]
        if when is not None and when not in locked:
            continue
        if len(ids & can) < least:
            raise BadInput(
                f"Group {at} wants at least {least} of its players; {len(ids & can)} of them can be chosen.",
                field="groups",
                hint="Lower its min, or exclude fewer of them.",
            )
        if most is not None and len(ids & locked) > most:
            raise BadInput(
                f"Group {at} wants at most {most} of its players; {len(ids & locked)} of them are locked.",
                field="groups",
                hint="Raise its max, or lock fewer of them.",
            )


def _refuse_teams(usable: Sequence[Player], constraints: Mapping[str, object], who: str) -> None:
    least, most = cast("int | None", constraints["min_from_team"]), cast("int | None", constraints["max_from_team"])
    if least is None and most is None:
        return
    teams = [player.team for player in usable if player.team]
    if not teams:
        raise BadInput(
            f"A rule about teams needs teams, and no {who.removesuffix('s')} has one.",
            field="max_from_team" if least is None else "min_from_team",
            hint=f"Give the {who} teams, for example in the projections file.",
        )
    if least is not None and most is not None and least > most:
        raise BadInput(
            f"min_from_team ({least}) is above max_from_team ({most}).",
            field="min_from_team",
            hint="Lower min_from_team.",
        )
    largest = max(teams.count(team) for team in set(teams))
    if least is not None and largest < least:
        raise BadInput(
            f"min_from_team is {least}; no team has more than {largest} {who} to choose from.",
            field="min_from_team",
            hint=f"Lower it to {largest}.",
        )


def _refuse_exposures(usable: Sequence[Player], constraints: Mapping[str, object], count: int, size: int) -> None:
    whole = count + len(cast("list[object]", constraints["existing_lineups"]))
    least = sum(least_uses(player, constraints, whole) for player in usable)
    most = sum(most_uses(player, constraints, whole) for player in usable)
    if least > whole * size:
        raise BadInput(
            f"The least exposures add up to {least:,} places; {whole:,} lineups have {whole * size:,}.",
            field="exposure",
            hint="Lower them: all together may be at most the number of places in a lineup.",
        )
    if most < whole * size:
        raise BadInput(
            f"The most exposures leave {most:,} places; {whole:,} lineups have {whole * size:,} to fill.",
            field="exposure",
            hint="Raise them, or global_exposure_max.",
        )
    for player in usable:
        low, high = least_uses(player, constraints, whole), most_uses(player, constraints, whole)
        if low > high:
            raise BadInput(
                f"{player.name} must be in at least {low} of {whole:,} lineups, and may be in {high} at most.",
                field="exposure",
                hint="The bounds contradict each other, or leave no whole number between them; ask for more lineups.",
            )
