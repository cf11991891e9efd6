"""Specs with entries: how many lineups they take, which entries are kept, and whose games have begun."""

from collections.abc import Mapping, Sequence
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups.input.entries import (
    SWAPS,
    Entry,
    documents_of,
    has_entries,
    ids_of,
    read_documents,
    read_entries,
)
from meshd.kinds.lineups.input.fields import items, members, refuse_unknown
from meshd.kinds.lineups.input.players import Player, Roll
from meshd.kinds.lineups.input.salaries import read_salaries
from meshd.kinds.lineups.limits import MAX_COLUMNS, MAX_ROSTER
from meshd.kinds.lineups.sports.base import Sport

_OWN = ("entries", "entries_csv", "swap", "started")
"""Fields of a spec that are about entries, and that no sport knows."""

_SHORT = ("locked", "excluded", "withdrawn")

_BEGUN = ("in progress", "final")
"""What DraftKings writes in the place of a game's time once it has begun."""


def asks_for_entries(spec: Document) -> bool:
    """Return whether a spec is to fill entries: it says so, or its salary file lists some and it names no number."""
    if any(name in spec for name in _OWN):
        return True
    file = spec.get("slate_csv")
    return isinstance(file, str) and "lineup_count" not in spec and has_entries(file)


def resolve_with_entries(spec: Document, sport: Sport) -> dict[str, object]:
    """Return the resolved spec of a job that fills entries.

    Raises:
        BadInput: the spec or its entries make no sense, or nothing is to be done.
    """
    plain = {name: value for name, value in spec.items() if name not in _OWN}
    if "entries" in spec:
        return _resolved_again(plain, spec["entries"], sport)
    rules = members(spec.get("constraints"), field="constraints")
    if rules.get("existing_lineups") is not None:
        raise BadInput(
            "Entries say which lineups are kept, and so does existing_lineups.",
            field="existing_lineups",
            hint="Drop one of them.",
        )
    known = sport.resolve(
        {**plain, "lineup_count": 1, "constraints": {name: rules[name] for name in _SHORT if name in rules}}
    )
    contest, listed = sport.contests[str(known["site"])], players_of(known)
    players = [Player(str(each["id"]), str(each["name"]), 0, team=str(each["team"])) for each in listed]
    started = _started(spec, players, listed)
    file = spec.get("entries_csv", spec.get("slate_csv"))
    if not isinstance(file, str):
        raise BadInput(
            "entries_csv must be the text of a file.", field="entries_csv", hint="Send DKEntries.csv, for example."
        )
    swap = spec.get("swap", SWAPS[0])
    told = read_entries(file, players, contest.titles, started)
    found: dict[str, object] = {
        "titles": list(told.titles),
        "rows": documents_of(told.entries),
        "swap": swap,
        "started": sorted(started),
    }
    _refuse_swap(swap)
    changing, kept = _parted(told.entries, str(swap), listed)
    if not changing:
        raise BadInput(
            f"Nothing is to be done: none of the {len(told.entries)} entries lacks a player or holds one who is out.",
            field="entries_csv",
            hint="Say who withdrew, or choose all free places anew with swap: all.",
        )
    count = spec.get("lineup_count", len(changing))
    if count != len(changing):
        raise BadInput(
            f"{count} lineups are asked for, and {len(changing)} entries are to be filled.",
            field="lineup_count",
            hint="Leave it out: the entries tell how many.",
        )
    if kept:
        plain["constraints"] = {**rules, "existing_lineups": kept}
    return {**sport.resolve({**plain, "lineup_count": len(changing)}), "entries": found}


def players_of(resolved: Document) -> list[Mapping[str, object]]:
    """Return the players of a resolved spec, whatever its sport calls them."""
    return cast("list[Mapping[str, object]]", resolved.get("drivers", resolved.get("players")))


def closed_in(players: Sequence[Mapping[str, object]]) -> frozenset[str]:
    """Return who is to be in no new lineup."""
    return frozenset(str(player["id"]) for player in players if player["excluded"] or player["withdrawn"])


def entries_in(resolved: Document, size: int) -> tuple[Entry, ...]:
    """Return the entries of a resolved spec."""
    return read_documents(cast("Mapping[str, object]", resolved["entries"])["rows"], size)


def _resolved_again(plain: Document, given: object, sport: Sport) -> dict[str, object]:
    resolved = sport.resolve(plain)
    told = members(given, field="entries")
    refuse_unknown(told, ("titles", "rows", "swap", "started"), " in entries")
    size = sport.contests[str(resolved["site"])].roster_size
    rows = read_documents(told.get("rows"), size)
    _refuse_swap(told.get("swap"))
    texts: dict[str, list[str]] = {}
    for name, most in (("titles", MAX_ROSTER), ("started", MAX_COLUMNS)):
        listed = items(told.get(name), field=name, most=most)
        texts[name] = [each for each in listed if isinstance(each, str)]
        if len(texts[name]) != len(listed):
            raise BadInput(f"{name} of the entries must be texts.", field="entries", hint="Send entries_csv instead.")
    known = {str(player["id"]) for player in players_of(resolved)}
    if len(texts["titles"]) != size or not {place.id for row in rows for place in row.places if place.id} <= known:
        raise BadInput("The entries are of another slate.", field="entries", hint="Send entries_csv instead.")
    if len(_parted(rows, str(told["swap"]), players_of(resolved))[0]) != resolved["lineup_count"]:
        raise BadInput("The entries are not as many as the lineups.", field="entries", hint="Send entries_csv instead.")
    found = {"titles": texts["titles"], "rows": documents_of(rows), "swap": told["swap"], "started": texts["started"]}
    return {**resolved, "entries": found}


def _parted(
    entries: Sequence[Entry], swap: str, listed: Sequence[Mapping[str, object]]
) -> tuple[list[Entry], list[list[str]]]:
    """Return the entries that get another lineup, and the lineups of the others that new ones can be compared with."""
    closed = closed_in(listed)
    changing = [entry for entry in entries if entry.is_to_change(swap, closed)]
    kept: list[list[str]] = []
    for entry in entries:
        ids = ids_of(entry)
        if entry not in changing and len(set(ids)) == len(entry.places) and not closed & set(ids) and ids not in kept:
            kept.append(ids)
    return changing, kept


def _refuse_swap(swap: object) -> None:
    if swap not in SWAPS:
        raise BadInput(
            f"swap is {str(swap)[:40]!r}; it is one of {', '.join(SWAPS)}.",
            field="swap",
            hint="broken changes the entries that need it, all chooses every free place anew.",
        )


def _started(spec: Document, players: Sequence[Player], listed: Sequence[Mapping[str, object]]) -> frozenset[str]:
    """Return whose games have begun: as the salary file tells, and as the spec does by player, team or game."""
    found: set[str] = set()
    file = spec.get("slate_csv")
    if isinstance(file, str):
        slate = read_salaries(file)
        for player, row in zip(slate.players, slate.rows, strict=True):
            if row.get("Game Info").casefold().startswith(_BEGUN):
                found.add(player.id)
    roll = Roll(players)
    for who in items(spec.get("started"), field="started", most=MAX_COLUMNS):
        name = str(who).casefold().strip()
        own = {
            str(each["id"])
            for each in listed
            if name and name in {str(each["team"]).casefold(), str(each.get("game", "")).casefold()}
        }
        found |= own or {roll.named(who, "started")}
    return frozenset(found)
