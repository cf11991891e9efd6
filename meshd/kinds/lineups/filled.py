"""The result of a job that fills entries: the lineups of all its tasks, and what became of each entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups import sports
from meshd.kinds.lineups.config_digest import digest
from meshd.kinds.lineups.input.entries import TITLES, Entry
from meshd.kinds.lineups.input.swap import entries_in, players_of
from meshd.kinds.lineups.seating import seated

MOST_TOLD = 5
"""Entries that are named in a sentence."""

_FIGURES = ("objective", "objective_se", "holdout_objective", "holdout_objective_se", "holdout_races", "what")

_ADDED_UP = ("lineups_evaluated", "lineups_feasible", "passes")


@dataclass(frozen=True, slots=True)
class Ending:
    """How one task has ended: with a result, or refused."""

    result: Document | None = None
    refused: BadInput | None = None

    @property
    def told(self) -> list[dict[str, object]]:
        """The lineups as its result tells them."""
        return [] if self.result is None else cast("list[dict[str, object]]", self.result["lineups"])

    @property
    def lineups(self) -> list[list[str]]:
        """Who is in each lineup, in the order of the contest's places."""
        return [cast("list[str]", lineup["ids"]) for lineup in self.told]

    @property
    def why(self) -> str:
        """Why it has fewer lineups than it was to have."""
        if self.refused is not None:
            return self.refused.in_full
        short = cast("Mapping[str, object]", (self.result or {}).get("infeasible", {}))
        return str(short.get("message", ""))


def filled_result(resolved: Document, groups: Sequence[Sequence[int]], endings: Sequence[Ending]) -> dict[str, object]:
    """Return the result: that of the tasks' own results, with the entries as they are now."""
    results = [ending.result for ending in endings if ending.result is not None and ending.told]
    given = {
        at: lineup
        for group, ending in zip(groups, endings, strict=True)
        for at, lineup in zip(group, ending.told, strict=False)
    }
    without = {at: ending.why for group, ending in zip(groups, endings, strict=True) for at in group if at not in given}
    contest = sports.find(resolved["sport"]).contests[str(resolved["site"])]
    entries = entries_in(resolved, contest.roster_size)
    own = cast("list[str]", cast("Mapping[str, object]", resolved["entries"])["titles"])
    names = {str(player["id"]): str(player["name"]) for player in players_of(resolved)}
    rows = [
        _row(entry, given.get(at), without.get(at), own, contest.titles, names, contest.site)
        for at, entry in enumerate(entries)
    ]
    lineups = [{**given[at], "entry_id": entries[at].id} for at in sorted(given)]
    short = _short(rows)
    return {
        **results[0],
        "status": "complete" if short is None else "fewer",
        **({} if short is None else {"infeasible": short}),
        "notices": _notices(results),
        "lineups": lineups,
        "entries": {"about": list(TITLES[contest.site]), "titles": own, "rows": rows},
        "portfolio": _portfolio(results, lineups),
        "certificate": _certificate(results),
        "convergence": _judged_as(results)["convergence"],
        "config_hash": digest(resolved),
        "duration_s": round(sum(cast("float", result["duration_s"]) for result in results), 3),
    }


def _row(
    entry: Entry,
    lineup: Mapping[str, object] | None,
    why: str | None,
    own: Sequence[str],
    titles: Sequence[str],
    names: Mapping[str, str],
    site: str,
) -> dict[str, object]:
    """Return what became of one entry, with its cells as the site takes them."""
    ids = [place.id for place in entry.places]
    cells = [place.text for place in entry.places]
    became = "kept" if why is None else "left"
    if lineup is not None:
        before, ids = ids, seated(entry, cast("list[str]", lineup["ids"]), own, titles)
        became = "filled" if not any(cells) else "kept" if ids == before else "changed"
        cells = [
            place.text if place.locked else cell_of(site, who, names[who])
            for who, place in zip(ids, entry.places, strict=True)
        ]
    elif why is None and not all(ids):
        strangers = ", ".join(place.text for place in entry.places if place.text and not place.id)
        why = f"The slate has no {strangers}." if strangers else "All of its places are locked."
        became = "left"
    about = {"id": entry.id, "contest": entry.contest, "contest_id": entry.contest_id, "fee": entry.fee}
    return {**about, "became": became, "why": why or "", "ids": ids, "cells": cells, "locked": list(entry.locked)}


def cell_of(site: str, identity: str, name: str) -> str:
    """Return a player as a site's upload names him."""
    return f"{identity}:{name}" if site == "fanduel" else f"{name} ({identity})"


def _short(rows: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
    """Return why some entries are as they were; None when none that was to be filled is."""
    left = [row for row in rows if row["became"] == "left"]
    if not left:
        return None
    shown = ", ".join(str(row["id"]) for row in left[:MOST_TOLD]) + (", …" if len(left) > MOST_TOLD else "")
    reasons = list(dict.fromkeys(str(row["why"]) for row in left if row["why"]))
    many = "1 entry is" if len(left) == 1 else f"{len(left):,} entries are"
    return {
        "binding": reasons[:MOST_TOLD],
        "message": f"{many} as before ({shown}): {' '.join(reasons[:MOST_TOLD])}".strip(),
        "hint": "",
    }


def _notices(results: Sequence[Document]) -> list[str]:
    """Return what all tasks say; what only some say is not so of all entries."""
    told = [cast("list[str]", result["notices"]) for result in results]
    return [notice for notice in told[0] if all(notice in each for each in told)]


def _judged_as(results: Sequence[Document]) -> Document:
    """Return the result that tells of the objective: of a portfolio the last, whose task counts all others' lineups."""
    together = bool(cast("Mapping[str, object]", results[0]["certificate"])["greedy"])
    return results[-1] if together else results[0]


def _portfolio(results: Sequence[Document], lineups: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return what the lineups are together."""
    if len(results) == 1:
        return cast("dict[str, object]", results[0]["portfolio"])
    figures = cast("Mapping[str, object]", _judged_as(results)["portfolio"])
    members = [set(cast("list[str]", lineup["ids"])) for lineup in lineups]
    used = sorted({who for ids in members for who in ids})
    return {
        **{name: figures[name] for name in _FIGURES if name in figures},
        "exposure": {who: sum(who in ids for ids in members) / len(members) for who in used},
        "pair_matrix": {
            "ids": used,
            "lineups": [[sum({one, other} <= ids for ids in members) for other in used] for one in used],
        },
        "max_overlap": max((len(one & other) for one, other in combinations(members, 2)), default=0),
    }


def _certificate(results: Sequence[Document]) -> dict[str, object]:
    told = [cast("Mapping[str, object]", result["certificate"]) for result in results]
    sums = {name: sum(cast("int", each.get(name, 0)) for each in told) for name in _ADDED_UP if name in told[0]}
    said = [str(line) for each in told for line in cast("list[str]", each["assumptions"])]
    return {**told[0], **sums, "assumptions": list(dict.fromkeys(said))}
