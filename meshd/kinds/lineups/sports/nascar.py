"""NASCAR: six drivers on DraftKings and five on FanDuel, every lineup of which is looked at in every simulated race."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import comb
from types import MappingProxyType
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups.cost import work_of
from meshd.kinds.lineups.input.constraints import read_constraints, with_short_forms
from meshd.kinds.lineups.input.contradictions import refuse_contradictions
from meshd.kinds.lineups.input.fields import items, members, number, refuse_unknown, text, whole
from meshd.kinds.lineups.input.given import still_whole
from meshd.kinds.lineups.input.grid import with_grid
from meshd.kinds.lineups.input.listed import documents_of, listed_players, refuse_bad_figures
from meshd.kinds.lineups.input.objectives import read_objective, refuse_too_few_to_rank, spent_at_least
from meshd.kinds.lineups.input.players import Player, without_doubles
from meshd.kinds.lineups.input.projections import with_projections
from meshd.kinds.lineups.input.salaries import SITE_NAMES, read_salaries, refuse_other_sport
from meshd.kinds.lineups.limits import (
    MAX_DRIVERS,
    MAX_LINEUPS,
    MAX_NAME_CHARACTERS,
    MAX_NOTICES,
    MAX_PLAIN_LINEUPS,
    MAX_RANDOMNESS,
    MAX_SCENARIOS,
    MAX_SEED,
    MIN_HOLDOUT,
)
from meshd.kinds.lineups.memory import least_memory, memory_limit
from meshd.kinds.lineups.scenarios.tracks import read_track, track_fields
from meshd.kinds.lineups.sports.base import Contest, Sport
from meshd.kinds.lineups.sports.stacks import FIELD as STACKS

FIELDS = (
    "sport",
    "site",
    "slate",
    "race_id",
    "form",
    "slate_csv",
    "drivers",
    "projections_csv",
    "grid",
    "constraints",
    "lineup_count",
    "scenarios",
    "holdout",
    "objective",
    "model",
    "randomness",
    "seed",
    "limits",
    "notices",
)
"""What a spec may say."""

LINEUP_COUNT, SCENARIOS, HOLDOUT = 20, 100_000, 20_000
"""Defaults. At 10,000 races the best lineup of all is mostly luck: 2.23% in these races, 1.71% in others; at 100,000
they are 1.99% and 1.92%."""


class Nascar:
    """The daemon's side of NASCAR lineups."""

    name = "nascar"
    program = "meshd.kinds.lineups.exact"
    contests = MappingProxyType(
        {
            "draftkings": Contest("draftkings", 6, 50_000, ("D",) * 6),
            "fanduel": Contest("fanduel", 5, 50_000, ("Driver",) * 5),
        }
    )

    def recognises(self, positions: frozenset[str], roles: frozenset[str]) -> bool:
        """Return whether a file has nothing but drivers, and no captain."""
        return positions <= {"D"} and roles <= {"D", "Driver"}

    def resolve(self, spec: Document) -> dict[str, object]:
        """Return the resolved spec: drivers instead of files' texts, and every default filled in.

        Raises:
            BadInput: the spec is not one of this sport.
        """
        refuse_unknown(spec, FIELDS)
        site, slate, players, notices = self._slate(spec)
        contest = self.contests[site]
        given = members(spec.get("constraints"), field="constraints")
        players, more = _completed(players, spec, given)
        notices += more
        if given.get(STACKS):
            raise BadInput(
                "Drivers have no positions to stack.",
                field=f"constraints.{STACKS}",
                hint="For drivers of one team, use min_from_team.",
            )
        constraints = read_constraints(given, players, contest)
        constraints["existing_lineups"], broken, said = still_whole(constraints, players)
        notices += said
        default = broken or LINEUP_COUNT
        scenarios = whole(spec, "scenarios", 1, MAX_SCENARIOS, SCENARIOS)
        objective = read_objective(
            spec.get("objective", "mean"),
            scenarios=scenarios,
            field_floor=_field_floor(players, contest, cast("int", constraints["salary_cap"])),
        )
        refuse_too_few_to_rank(objective, scenarios)
        form = _form(spec)
        most = MAX_PLAIN_LINEUPS if form == "plain" else MAX_LINEUPS
        count = whole(spec, "lineup_count", 1, most, default)
        refuse_contradictions(players, constraints, count)
        track = read_track(members(spec.get("model"), field="model"))
        return {
            "sport": self.name,
            "site": site,
            "slate": text(spec, "slate", slate),
            "race_id": text(spec, "race_id", ""),
            "form": form,
            "drivers": documents_of(players),
            "constraints": constraints,
            "lineup_count": count,
            "scenarios": scenarios,
            "holdout": whole(spec, "holdout", MIN_HOLDOUT, MAX_SCENARIOS, HOLDOUT),
            "objective": objective,
            "model": {**track_fields(track), "out": list(track.out)},
            "randomness": number(spec.get("randomness", 0.0), 0, MAX_RANDOMNESS, field="randomness", what="randomness"),
            "seed": whole(spec, "seed", 0, MAX_SEED, 1),
            "limits": {
                "memory_mb": memory_limit(
                    spec,
                    lambda: _least_memory(players, constraints, scenarios, str(objective["kind"])),
                    instead="lock or exclude players",
                )
            },
            "notices": notices[:MAX_NOTICES],
        }

    def cost(self, resolved: Document) -> float:
        """Return lineups x races that have to be scored, simulation and ranking included at what they weigh."""
        players = cast("list[dict[str, object]]", resolved["drivers"])
        constraints = cast("dict[str, object]", resolved["constraints"])
        return work_of(
            str(cast("dict[str, object]", resolved["objective"])["kind"]),
            players=len(players),
            lineups=_lineups(players, constraints),
            scenarios=cast("int", resolved["scenarios"]),
            holdout=cast("int", resolved["holdout"]),
            count=cast("int", resolved["lineup_count"]),
            plain=_is_plain(constraints, players),
        ).whole

    def _slate(self, spec: Document) -> tuple[str, str, list[Player], list[str]]:
        """Return the site, the slate's name, its players, and what was handled."""
        file, listed, site = spec.get("slate_csv"), spec.get("drivers"), spec.get("site")
        if site is not None and not (isinstance(site, str) and site in self.contests):
            raise BadInput(
                f"The site {site!r} is unknown.", field="site", hint=f"Choose one of: {', '.join(self.contests)}."
            )
        if (file is None) == (listed is None):
            raise BadInput(
                "A lineups job needs either slate_csv or drivers" + (", not both." if file is not None else "."),
                field="slate_csv",
                hint="Put the text of a salary file of DraftKings or FanDuel into slate_csv.",
            )
        notices = [str(notice)[:300] for notice in items(spec.get("notices"), field="notices", most=MAX_NOTICES)]
        name = ""
        if file is None:
            players, chosen = listed_players(listed), str(site or "draftkings")
        else:
            if not isinstance(file, str):
                raise BadInput(
                    "slate_csv must be the text of a salary file.", field="slate_csv", hint="Send the file's content."
                )
            slate = read_salaries(file)
            if not self.recognises(slate.positions, slate.roles):
                raise refuse_other_sport(slate, self.name, self.contests[slate.site].roster_size)
            if site is not None and site != slate.site:
                raise BadInput(
                    f"The slate is a file of {SITE_NAMES[slate.site]}, and the site is said to be {site}.",
                    field="site",
                    hint="Leave site out: the file tells it.",
                )
            players, name, chosen = list(slate.players), slate.name[:MAX_NAME_CHARACTERS], slate.site
            notices += [f"{who} is marked as out in the file, and counts as withdrawn." for who in slate.withdrawn]
        players, doubles = without_doubles(players, "drivers")
        refuse_bad_figures(players)
        if len(players) > MAX_DRIVERS:
            raise BadInput(
                f"The slate has {len(players):,} drivers; at most {MAX_DRIVERS} are enumerated.",
                field="drivers",
                hint="Leave out drivers that will not start.",
            )
        return chosen, name, players, notices + doubles


def _completed(players: list[Player], spec: Document, given: dict[str, object]) -> tuple[list[Player], list[str]]:
    """Return the players with projections, marks and grid."""
    notices: list[str] = []
    file = spec.get("projections_csv")
    if file is not None:
        if not isinstance(file, str):
            raise BadInput(
                "projections_csv must be the text of a file.", field="projections_csv", hint="Send the file's content."
            )
        players, notices = with_projections(players, file)
    players = with_short_forms(players, given)
    players, absent = with_grid(players, spec.get("grid"))
    if len({player.team for player in players}) == 1:
        # DraftKings puts all drivers of a race into one team, which is none.
        players = [replace(player, team="") for player in players]
    return players, notices + absent


def _field_floor(players: Sequence[Player], contest: Contest, cap: int) -> int:
    """Return what opponents spend at least: nearly all of the cap, or of what there is to spend."""
    salaries = sorted(player.salary for player in players if not player.withdrawn)
    cheapest, dearest = sum(salaries[: contest.roster_size]), sum(salaries[-contest.roster_size :])
    return spent_at_least(cheapest, dearest, cap)


def _least_memory(players: Sequence[Player], constraints: Mapping[str, object], scenarios: int, kind: str) -> int:
    """Return the bytes that the job takes at least."""
    drivers = documents_of(players)
    lineups, plain = _lineups(drivers, constraints), _is_plain(constraints, drivers)
    return least_memory(kind, lineups=lineups, scenarios=scenarios, plain=plain)


def _lineups(players: Sequence[Mapping[str, object]], constraints: Mapping[str, object]) -> int:
    """Return how many lineups locks and exclusions leave."""
    locked = sum(player["locked"] is True for player in players)
    closed = sum(player["excluded"] is True or player["withdrawn"] is True for player in players)
    return comb(len(players) - locked - closed, cast("int", constraints["roster_size"]) - locked)


def _is_plain(constraints: Mapping[str, object], players: Sequence[Mapping[str, object]]) -> bool:
    """Return whether lineups have only to differ."""
    return (
        constraints["max_overlap"] is None
        and not constraints["existing_lineups"]
        and constraints["global_exposure_max"] == 1
        and constraints["global_exposure_min"] == 0
        and all(player["exposure"] == [0, 1] for player in players)
    )


def _form(spec: Document) -> str:
    form = spec.get("form", "full")
    if not (isinstance(form, str) and form in {"full", "plain"}):
        raise BadInput(f"The form {form!r} is unknown.", field="form", hint="Leave it out.")
    return form


sport: Sport = Nascar()
"""The one instance; it holds no state."""
