"""Jobs that fill entries: one search for each set of places that cannot be changed any more, one after the other.

Entries with the same locked players are one task of the sport's own program, with those players locked in their
places, players of other games that have begun excluded, and all lineups before them given. A task without an answer
leaves its entries as they were and says why; the others go on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from meshd.errors import BadInput
from meshd.kinds.base import Context, DivisibleProgram, Document, Done, Phase
from meshd.kinds.lineups import sports
from meshd.kinds.lineups.filled import Ending, filled_result
from meshd.kinds.lineups.input.swap import closed_in, entries_in, players_of
from meshd.kinds.lineups.partials import Partial
from meshd.kinds.lineups.seating import seats
from meshd.kinds.lineups.sports.base import Contest
from meshd.kinds.lineups.sports.pins import pinned


@dataclass(frozen=True, slots=True)
class Group:
    """Entries with the same locked places."""

    entries: tuple[int, ...]
    held: tuple[tuple[str, str], ...]
    """Title of the place, and who is in it."""


class EntriesProgram:
    """Plans one task after the other; remembers how those before have ended."""

    def __init__(self, program_of: Callable[[Document], DivisibleProgram[Partial]]) -> None:
        """Take what finds the program of a spec's sport."""
        self._program_of = program_of
        self._endings: dict[bytes, tuple[tuple[Partial, ...], Ending]] = {}
        """Of the job at work: what followed from which partials."""

    def plan(self, resolved: Document, finished: tuple[Partial, ...]) -> Phase | Done:
        """Return the next phase, or the result.

        Raises:
            BadInput: no entry can be filled.
        """
        program, groups = self._program_of(resolved), groups_of(resolved)
        endings: list[Ending] = []
        begin = 0
        for number, group in enumerate(groups):
            chosen = [ids for ending in endings for ids in ending.lineups]
            task = task_of(resolved, group, chosen, is_last=number == len(groups) - 1)
            planned, used = self._advance(program, task, finished[begin:])
            if isinstance(planned, Phase):
                if not endings:
                    self._endings.clear()  # A job begins; the one before may have been cancelled.
                return _told(planned, len(finished), number, len(groups), chosen)
            endings.append(planned)
            begin += used
        if not any(ending.lineups for ending in endings):
            refused = next((ending.refused for ending in endings if ending.refused), None)
            raise refused or BadInput(
                "No lineup fits any of the entries.", field="constraints", hint="Loosen the rules."
            )
        self._endings.clear()
        return Done(filled_result(resolved, [group.entries for group in groups], endings))

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> Partial | None:
        """Compute units `start <= unit < stop` of a phase."""
        told = phase.params
        groups, number = groups_of(resolved), cast("int", told["group"])
        chosen = cast("list[list[str]]", told["chosen"])
        task = task_of(resolved, groups[number], chosen, is_last=number == len(groups) - 1)
        own = cast("Document", told["params"])
        inner = Phase(cast("int", told["number"]), phase.units, phase.label, phase.weight, own)
        return self._program_of(resolved).run_span(task, inner, start, stop, context)

    def _advance(
        self, program: DivisibleProgram[Partial], task: Document, finished: tuple[Partial, ...]
    ) -> tuple[Phase | Ending, int]:
        """Return the next phase of a task, or its end and how many of the finished phases were its own."""
        key = msgspec.json.encode(task)
        told, known = self._endings.get(key, ((), None))
        if known is not None and _begins_with(finished, told):
            return known, len(told)
        for used in range(len(finished) + 1):
            try:
                planned = program.plan(task, finished[:used])
            except BadInput as refused:
                ending = Ending(refused=refused)
            else:
                if isinstance(planned, Phase):
                    if used == len(finished):
                        return planned, used
                    continue
                ending = Ending(planned.result)
            self._endings[key] = finished[:used], ending
            return ending, used
        raise AssertionError("a task has a next phase, or an end")


def _begins_with(finished: tuple[Partial, ...], told: tuple[Partial, ...]) -> bool:
    """Return whether partials are the very same, as far as they were told."""
    return len(told) <= len(finished) and all(one is other for one, other in zip(told, finished, strict=False))


def groups_of(resolved: Document) -> list[Group]:
    """Return the entries that are to be filled, those with most locked places first."""
    told = cast("Mapping[str, object]", resolved["entries"])
    contest = _contest(resolved)
    entries = entries_in(resolved, contest.roster_size)
    titles = [contest.titles[seat] for seat in seats(cast("list[str]", told["titles"]), contest.titles)]
    closed = closed_in(players_of(resolved))
    found: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for at, entry in enumerate(entries):
        if entry.is_to_change(str(told["swap"]), closed):
            held = tuple(sorted((titles[place], entry.places[place].id) for place in entry.locked))
            found.setdefault(held, []).append(at)
    return [Group(tuple(some), held) for held, some in sorted(found.items(), key=lambda item: -len(item[0]))]


def task_of(resolved: Document, group: Group, chosen: Sequence[Sequence[str]], *, is_last: bool) -> dict[str, object]:
    """Return the spec of one group's lineups, with what was chosen for the groups before.

    What everybody has to be in at least is asked of the last group, which has the most free places.
    """
    held = {who: title for title, who in group.held}
    started = set(cast("list[str]", cast("Mapping[str, object]", resolved["entries"])["started"]))
    rules = dict(cast("Mapping[str, object]", resolved["constraints"]))
    ordered = _contest(resolved).ordered
    given = [
        *cast("list[list[str]]", rules["existing_lineups"]),
        *(list(ids) if ordered else sorted(ids) for ids in chosen),
    ]
    whole = cast("int", resolved["lineup_count"]) + len(cast("list[object]", rules["existing_lineups"]))
    rules["existing_lineups"] = given
    if not is_last:
        rules["global_exposure_min"] = 0.0
    field = "drivers" if "drivers" in resolved else "players"
    players = [_player(player, held, started, is_last=is_last) for player in players_of(resolved)]
    plain = {name: value for name, value in resolved.items() if name != "entries"}
    return {**plain, field: players, "constraints": rules, "lineup_count": len(group.entries), "whole": whole}


def _player(
    player: Mapping[str, object], held: Mapping[str, str], started: set[str], *, is_last: bool
) -> dict[str, object]:
    found, who = dict(player), str(player["id"])
    if who in held:
        found |= {"locked": True, "excluded": False, "exposure": [0.0, 1.0]}
        if player["withdrawn"] and "positions" in player:
            # He stays in his place, and scores nothing there.
            found |= {"withdrawn": False, "mean": 0.0}
        if "positions" in player:
            found["positions"] = [pinned(held[who])]
    elif who in started:
        found |= {"locked": False, "excluded": True, "exposure": [0.0, 1.0]}
    elif not is_last:
        found["exposure"] = [0.0, cast("list[float]", player["exposure"])[1]]
    return found


def _contest(resolved: Document) -> Contest:
    return sports.find(resolved["sport"]).contests[str(resolved["site"])]


def _told(planned: Phase, number: int, group: int, groups: int, chosen: Sequence[Sequence[str]]) -> Phase:
    label = planned.label if groups == 1 else f"{planned.label}, entries {group + 1} of {groups}"
    params = {
        "group": group,
        "chosen": [list(ids) for ids in chosen],
        "number": planned.number,
        "params": planned.params,
    }
    return Phase(number, planned.units, label, planned.weight / groups, params)
