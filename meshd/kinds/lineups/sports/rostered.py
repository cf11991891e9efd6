"""Sports with rosters: lineups of players in the sites' slots, by projections instead of a simulated race."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
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
from meshd.kinds.lineups.input.listed import refuse_bad_figures
from meshd.kinds.lineups.input.objectives import read_objective, refuse_too_few_to_rank, spent_at_least
from meshd.kinds.lineups.input.players import Player
from meshd.kinds.lineups.input.projections import with_projections
from meshd.kinds.lineups.input.salaries import SITE_NAMES, SOURCE, Slate, read_salaries
from meshd.kinds.lineups.limits import (
    MAX_NOTICES,
    MAX_RANDOMNESS,
    MAX_ROSTERED_LINEUPS,
    MAX_SCENARIOS,
    MAX_SEED,
    MIN_HOLDOUT,
    MOST_MOVED,
)
from meshd.kinds.lineups.memory import least_memory_of_roster, memory_limit
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT
from meshd.kinds.lineups.sports.base import Contest
from meshd.kinds.lineups.sports.entrants import (
    Entrant,
    alike,
    document_of,
    entrants_of,
    has_captain,
    listed_entrants,
    main_rows,
    refuse_too_many,
    without_copies,
)
from meshd.kinds.lineups.sports.roster import PERCENT, SITES, Roster, roster_of
from meshd.kinds.lineups.sports.stacks import FIELD as STACKS
from meshd.kinds.lineups.sports.stacks import read_stacks

FIELDS = (
    "sport",
    "site",
    "slate",
    "slate_csv",
    "players",
    "projections_csv",
    "constraints",
    "lineup_count",
    "scenarios",
    "holdout",
    "objective",
    "randomness",
    "seed",
    "limits",
    "notices",
)
"""What a spec may say."""

LINEUP_COUNT, SCENARIOS, HOLDOUT = 20, 10_000, 10_000
"""Defaults. Projections are rougher than any race: a tenth of the races that NASCAR takes tells as much."""

MOST_UNITS = 32_000
"""What a lineup may score: with it every score fits 16 bits, a line one above included."""

_COUNTED = 1 / 20
"""The share of all lineups that is scored in every race for a percentile: what the bound leaves of golf's by p90."""

_CHAINED = 5e9
"""What 128 chains of 4,000 moves cost by mean: a tenth of a second."""

_LINED = 3
"""How often that, where they work towards a line in 2,048 races."""

_UNITS, _PHASES = 8, 19
"""Groups of chains in a phase; phases for a portfolio of 150."""


class Rostered:
    """The daemon's side of one such sport; it holds no state."""

    program = "meshd.kinds.lineups.sports.program"

    def __init__(self, name: str, title: str, tell_tale: frozenset[str], others: frozenset[str] = frozenset()) -> None:
        """Take the sport's name, as a person writes it too, and the positions by which its files are recognised.

        One of the `tell_tale` is in every file of this sport; of the `others`, which no slot takes, some may be.
        """
        self.name = name
        self.title = title
        self._tell_tale = tell_tale
        self._others = others
        for site in SITES:
            # Read now, while the daemon starts, and kept: its event loop reads no files.
            roster_of(site, name)

    @property
    def contests(self) -> Mapping[str, Contest]:
        """What each site asks, by the site's name."""
        return _contests(self.name)

    def recognises(self, positions: frozenset[str], roles: frozenset[str]) -> bool:
        """Return whether a file has the positions of this sport and no others, and no slots of another contest."""
        slots = [slot for site in SITES for slot in roster_of(site, self.name).slots]
        known = {position for slot in slots for position in slot.eligible}
        played = {each for position in positions for each in position.split("/")}
        named = {each for role in roles for each in role.split("/")}
        return (
            bool(played & self._tell_tale)
            and played <= known | self._others
            and named <= known | self._others | {each for slot in slots for each in slot.name.split("/")}
        )

    def resolve(self, spec: Document) -> dict[str, object]:
        """Return the resolved spec: players instead of files' texts, and every default filled in.

        Raises:
            BadInput: the spec is not one of this sport.
        """
        refuse_unknown(spec, FIELDS, f" in a spec of {self.title}")
        site, slate, players, notices = self._slate(spec)
        roster, contest = roster_of(site, self.name), self.contests[site]
        given = members(spec.get("constraints"), field="constraints")
        file = spec.get("projections_csv")
        if file is not None:
            if not isinstance(file, str):
                raise BadInput(
                    "projections_csv must be the text of a file.",
                    field="projections_csv",
                    hint="Send the file's content.",
                )
            projected, more = with_projections(players, file, "for whom the site's average stands")
            players, notices = _entrants(projected), notices + more
        players = alike(_entrants(with_short_forms(players, given)), roster)
        randomness = number(spec.get("randomness", 0.0), 0, MAX_RANDOMNESS, field="randomness", what="randomness")
        self._refuse_without_points(players, roster, randomness)
        constraints = read_constraints({name: given[name] for name in given if name != STACKS}, players, contest)
        constraints[STACKS] = read_stacks(given.get(STACKS), players, roster)
        constraints["existing_lineups"], broken, said = still_whole(constraints, players)
        scenarios = whole(spec, "scenarios", 1, MAX_SCENARIOS, SCENARIOS)
        count = whole(spec, "lineup_count", 1, MAX_ROSTERED_LINEUPS, broken or LINEUP_COUNT)
        refuse_contradictions(main_rows(players, roster), constraints, count, "players")
        objective = self._objective(
            spec.get("objective", "mean"),
            scenarios,
            _field_floor(roster, players, cast("int", constraints["salary_cap"])),
        )
        return {
            "sport": self.name,
            "site": site,
            "slate": text(spec, "slate", slate),
            "players": [document_of(player) for player in players],
            "constraints": constraints,
            "lineup_count": count,
            "scenarios": scenarios,
            "holdout": whole(spec, "holdout", MIN_HOLDOUT, MAX_SCENARIOS, HOLDOUT),
            "objective": objective,
            "randomness": randomness,
            "seed": whole(spec, "seed", 0, MAX_SEED, 1),
            "limits": {
                "memory_mb": memory_limit(
                    spec,
                    lambda: least_memory_of_roster(
                        str(objective["kind"]), is_exact=roster.exact, players=len(players), scenarios=scenarios
                    ),
                    instead="simulate fewer scenarios",
                )
            },
            "notices": [*notices, *said][:MAX_NOTICES],
        }

    def cost(self, resolved: Document) -> float:
        """Return the work: lineups looked at, and those scored in every race; or chains."""
        roster = roster_of(str(resolved["site"]), self.name)
        players = cast("list[dict[str, object]]", resolved["players"])
        kind = str(cast("dict[str, object]", resolved["objective"])["kind"])
        scenarios, count = cast("int", resolved["scenarios"]), cast("int", resolved["lineup_count"])
        lineups = _lineups(roster, players) if roster.exact else 0
        work = work_of(
            kind,
            players=len(players),
            lineups=round(lineups * _COUNTED) if kind != "mean" else 0,
            scenarios=scenarios,
            holdout=cast("int", resolved["holdout"]),
            count=count,
            plain=True,
        ).whole
        phases = min(count, _PHASES)
        chains = 0 if roster.exact else phases * _UNITS * _CHAINED * (1 if kind == "mean" else _LINED)
        return work + lineups + chains

    def _slate(self, spec: Document) -> tuple[str, str, list[Entrant], list[str]]:
        """Return the site, the slate's name, its players, and what was handled."""
        file, listed, site = spec.get("slate_csv"), spec.get("players"), spec.get("site")
        if site is not None and not (isinstance(site, str) and site in self.contests):
            raise BadInput(
                f"The site {site!r} is unknown.", field="site", hint=f"Choose one of: {', '.join(self.contests)}."
            )
        if (file is None) == (listed is None):
            raise BadInput(
                "A lineups job needs either slate_csv or players" + (", not both." if file is not None else "."),
                field="slate_csv",
                hint="Put the text of a salary file of DraftKings or FanDuel into slate_csv.",
            )
        notices = [str(notice)[:300] for notice in items(spec.get("notices"), field="notices", most=MAX_NOTICES)]
        if file is None:
            chosen, players = str(site or "draftkings"), listed_entrants(listed)
        else:
            if not isinstance(file, str):
                raise BadInput(
                    "slate_csv must be the text of a salary file.", field="slate_csv", hint="Send the file's content."
                )
            slate = read_salaries(file)
            if not self.recognises(slate.positions, slate.roles):
                raise self._other_sport(slate)
            if site is not None and site != slate.site:
                raise BadInput(
                    f"The slate is a file of {SITE_NAMES[slate.site]}, and the site is said to be {site}.",
                    field="site",
                    hint="Leave site out: the file tells it.",
                )
            chosen, players = slate.site, entrants_of(slate, roster_of(slate.site, self.name))
            notices += _told_withdrawn(slate.withdrawn)
            unconfirmed = roster_of(chosen, self.name).unconfirmed
            if unconfirmed:
                notices.append(f"Not confirmed of {SITE_NAMES[chosen]}'s rules for {self.title}: {unconfirmed}.")
        players, doubles = without_copies(players)
        refuse_bad_figures(players)
        refuse_too_many(players)
        if len({player.team for player in players}) == 1:
            # DraftKings puts all golfers into one team, which is none.
            players = [replace(player, team="") for player in players]
        games = {player.game for player in players if player.game}
        notices += self._refuse_without_games(players, games, chosen)
        name = f"{self.title}, {len(games)} games" if len(games) > 1 else self.title
        return chosen, name, players, notices + doubles

    def _refuse_without_games(self, players: Sequence[Entrant], games: set[str], site: str) -> list[str]:
        """Refuse a slate of fewer games or teams than the site asks for; return what is said of those without one."""
        roster, teams = roster_of(site, self.name), {player.team for player in players if player.team}
        lacking = [player.name for player in players if not (player.game if roster.least_games > 1 else player.team)]
        if not lacking:
            for what, there, least in (("games", games, roster.least_games), ("teams", teams, roster.least_teams)):
                if least > 1 and len(there) < least:
                    raise BadInput(
                        f"All players are of {len(there)} of the {least} {what} that {SITE_NAMES[site]} asks a lineup "
                        f"of {self.title} for.",
                        field="players",
                        hint="Send the file of a contest of several games; single games are not known here.",
                    )
            return []
        if roster.least_games < 2 and roster.least_teams < 2:
            return []
        many = "1 player has" if len(lacking) == 1 else f"{len(lacking)} players have"
        return [f"{many} no {'game' if roster.least_games > 1 else 'team'}: each counts as one of his own."]

    def _other_sport(self, slate: Slate) -> BadInput:
        positions, roles = ", ".join(sorted(slate.positions)[:6]), ", ".join(sorted(slate.roles)[:6])
        return SOURCE.refuse(
            f"This is not a slate of {self.title}: it has the positions {positions}"
            + (f" and the roster positions {roles}." if roles else "."),
            hint=f"Export the file of a {self.title} contest, or leave sport out: the file tells it.",
        )

    def _objective(self, given: object, scenarios: int, field_floor: int) -> dict[str, object]:
        objective = read_objective(given, scenarios=scenarios, field_floor=field_floor)
        refuse_too_few_to_rank(objective, scenarios)
        return objective

    def _refuse_without_points(self, players: Sequence[Entrant], roster: Roster, randomness: float) -> None:
        """Refuse a slate of which nothing is known, and points of which a lineup cannot be made."""
        if not any((player.avg_points if player.mean is None else player.mean) > 0 for player in players):
            raise BadInput(
                "No player of the slate has average points, and none is projected.",
                field="projections_csv",
                hint="Send projections with it: a CSV file with the columns name and mean.",
            )
        most = highest_score(roster, randomness) / UNITS_PER_POINT
        for player in players:
            if (player.avg_points if player.mean is None else player.mean) > most:
                raise BadInput(
                    f"The points expected of {player.name} are above {most:g}.",
                    field="players",
                    hint="Check the projections.",
                )


@cache
def _contests(sport: str) -> Mapping[str, Contest]:
    rosters = {site: roster_of(site, sport) for site in SITES}
    return MappingProxyType(
        {
            site: Contest(
                site, roster.size, roster.cap, tuple(slot.name for slot in roster.places), ordered=has_captain(roster)
            )
            for site, roster in rosters.items()
        }
    )


def highest_score(roster: Roster, randomness: float = 0.0) -> int:
    """Return what one player may score at most, in units, so that no lineup has more than 16 bits hold.

    Randomness moves each player by twice as many points at most.
    """
    whole = sum(slot.points_percent * slot.count for slot in roster.slots)
    return MOST_UNITS * PERCENT // whole - round(MOST_MOVED * randomness * UNITS_PER_POINT)


def _field_floor(roster: Roster, players: Sequence[Entrant], cap: int) -> int:
    """Return what opponents spend at least: nearly all of the cap, or of what there is to spend."""
    cheapest = dearest = 0
    for slot in roster.slots:
        paid = sorted(
            player.salary * slot.salary_percent // PERCENT
            for player in players
            if not player.withdrawn and set(player.positions) & set(slot.eligible)
        )
        cheapest, dearest = cheapest + sum(paid[: slot.count]), dearest + sum(paid[-slot.count :])
    return spent_at_least(cheapest, dearest, cap)


def _told_withdrawn(names: Sequence[str]) -> list[str]:
    """Return one sentence on all whom the file says to be out: in football they are dozens."""
    if not names:
        return []
    shown = ", ".join(name[:40] for name in names[:5]) + (", …" if len(names) > 5 else "")
    many = "1 player" if len(names) == 1 else f"{len(names)} players"
    return [f"Marked as out in the file, and withdrawn: {many}, {shown}."]


def _entrants(players: Sequence[Player]) -> list[Entrant]:
    """Return the same players, which are entrants: what changes them keeps what they are."""
    return [player for player in players if isinstance(player, Entrant)]


def _lineups(roster: Roster, players: Sequence[Mapping[str, object]]) -> int:
    """Return how many lineups an exact sport has to look at, about: locks are left out."""
    total = 1
    for slot in roster.slots:
        fit = [
            player
            for player in players
            if not player["excluded"]
            and not player["withdrawn"]
            and set(cast("list[str]", player["positions"])) & set(slot.eligible)
        ]
        total *= comb(len(fit), slot.count)
    return total
