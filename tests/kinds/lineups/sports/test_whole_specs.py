# pyright: basic
"""A whole spec of any sport, against plain Python that makes every lineup of a tiny slate and knows nothing of engines.

Rules are drawn at random; so are objectives. Exact sports have to find the very best, one after the other; annealed
ones have to keep every rule, and to say that there is no other lineup only where there is none.
"""

import random
from collections import Counter
from itertools import combinations, permutations
from typing import cast

import numpy as np
import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import kind
from meshd.kinds.lineups.scenarios.projections import scores
from meshd.kinds.lineups.sports import problem as problem_module
from meshd.kinds.lineups.sports.annealing.task import UNIT_CHAINS
from meshd.kinds.lineups.sports.problem import SlateProblem, read_slate_problem
from meshd.kinds.lineups.sports.roster import PERCENT, Roster, roster_of
from tests.support.lineups_job import lineups_of, part_of, run_job
from tests.support.sport_slates import rows_of, salary_file

RACES = 1_100

TINY = {"golf": 10, "f1": 8, "mma": 12, "nba": 12, "nfl": 16, "mlb": 16}
"""Players of each slate: so few that all lineups can be made in a second."""

Lineup = tuple[int, ...]
"""Rows of the slate, in the order of the site's places."""


@pytest.fixture(autouse=True)
def few_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem_module, "CHAINS", 2 * UNIT_CHAINS)
    monkeypatch.setattr(problem_module, "MOVES", 600)


def slate(sport: str, site: str) -> str:
    rows = rows_of(sport, TINY[sport])
    if sport == "mma" and site == "fanduel":
        rows = [{**row, "Salary": str(int(row["Salary"]) // 800)} for row in rows]
    return salary_file(rows, site)


class Slate:
    """All lineups of a spec's slate, made by hand."""

    def __init__(self, resolved: dict[str, object]) -> None:
        self.resolved = resolved
        self.problem: SlateProblem = read_slate_problem(resolved)
        self.roster: Roster = roster_of(str(resolved["site"]), str(resolved["sport"]))
        self.players = self.problem.entrants
        self.constraints = cast("dict", resolved["constraints"])
        drawn = np.concatenate([scores(self.problem.model, 0), scores(self.problem.model, 1)])[:RACES].astype(np.int64)
        self.drawn = drawn[:, list(self.problem.men)]
        self.lineups = [lineup for lineup in self._every() if self.keeps(lineup)]

    def _every(self) -> list[Lineup]:
        """Return each set of players once in the earliest order of places that they can fill; captains apart."""
        slots, found = self.roster.slots, {}

        def fill(slot: int, held: Lineup) -> None:
            if slot == len(slots):
                at = 0
                kinds = []
                for each in slots:
                    points = each.points_percent
                    kinds.append((points, tuple(sorted(held[at : at + each.count])) if points != PERCENT else ()))
                    at += each.count
                found.setdefault((tuple(sorted(held)), tuple(kinds)), held)
                return
            fits = [
                row
                for row, player in enumerate(self.players)
                if set(player.positions) & set(slots[slot].eligible) and row not in held
            ]
            for some in combinations(fits, slots[slot].count):
                fill(slot + 1, held + some)

        fill(0, ())
        return list(found.values())

    def man(self, row: int) -> tuple[str, str]:
        player = self.players[row]
        return (player.name, player.team) if self.problem.men.count(self.problem.men[row]) > 1 else (player.id, "")

    def cost(self, lineup: Lineup) -> int:
        return sum(
            self.players[row].salary * slot.salary_percent // PERCENT
            for row, slot in zip(lineup, self.roster.places, strict=True)
        )

    def scored(self, lineup: Lineup) -> np.ndarray:
        parts = [
            self.drawn[:, row] * slot.points_percent // PERCENT
            for row, slot in zip(lineup, self.roster.places, strict=True)
        ]
        return np.sum(parts, axis=0)

    def keeps(self, lineup: Lineup) -> bool:
        roster, asked = self.roster, self.constraints
        players = [self.players[row] for row in lineup]
        men = [self.man(row) for row in lineup]
        teams, games = [player.team for player in players], [player.game for player in players]
        counted = [player.team for player in players if not set(player.positions) & set(roster.not_of_team)]
        most = min(each for each in (roster.most_of_team, asked["max_from_team"], 99) if each is not None)
        if len(set(men)) < roster.size or any(player.excluded or player.withdrawn for player in players):
            return False
        if not asked["salary_min"] <= self.cost(lineup) <= asked["salary_cap"]:
            return False
        if max(Counter(team for team in counted if team).values(), default=0) > most:
            return False
        if len(set(teams)) < roster.least_teams or len(set(games)) < roster.least_games:
            return False
        if (
            roster.most_of_game
            and max(Counter(game for game in games if game).values(), default=0) > roster.most_of_game
        ):
            return False
        locked = {self.man(row) for row, player in enumerate(self.players) if player.locked}
        if not locked <= set(men):
            return False
        by_id = {player.id: self.man(row) for row, player in enumerate(self.players)}
        for group in asked["groups"]:
            held = len({by_id[who] for who in group["ids"]} & set(men))
            if group["if"] is not None and by_id[group["if"]] not in men:
                continue
            if not group["min"] <= held <= (99 if group["max"] is None else group["max"]):
                return False
        least = asked["min_from_team"]
        if least is not None and max(Counter(team for team in teams if team).values(), default=0) < least:
            return False
        return all(self.keeps_stack(stack, lineup) for stack in asked["stacks"])

    def keeps_stack(self, stack: dict, lineup: Lineup) -> bool:
        players = [self.players[row] for row in lineup]

        def counts(other, anchor) -> bool:
            if stack["of"] and not set(other.positions) & set(stack["of"]):
                return False
            same_game = bool(other.game) and other.game == anchor.game
            match stack["from"]:
                case "team":
                    return bool(other.team) and other.team == anchor.team
                case "game":
                    return same_game
                case _:
                    return same_game and other.team != anchor.team

        if stack["with"]:
            return all(
                sum(counts(other, anchor) for other in players if other is not anchor) >= stack["min"]
                for anchor in players
                if set(anchor.positions) & set(stack["with"])
            )
        return any(sum(counts(other, anchor) for other in players) >= stack["min"] for anchor in self.players)

    def columns(self, lineup: Lineup) -> frozenset[tuple[int, int]]:
        """Return what tells lineups apart: players, and who of them scores more."""
        return frozenset((row, slot.points_percent) for row, slot in zip(lineup, self.roster.places, strict=True))


def drawn_spec(sport: str, site: str, chance: random.Random) -> dict[str, object]:
    """Return a spec with a few rules by chance."""
    resolved = kind.validate({"slate_csv": slate(sport, site)})
    players = cast("list[dict]", resolved["players"])
    names = sorted({str(player["name"]) for player in players})
    positions = sorted({position for player in players for position in player["positions"]})
    has_teams = any(player["team"] for player in players)
    salaries = sorted(player["salary"] for player in players)
    cap = cast("dict", resolved["constraints"])["salary_cap"]
    size = cast("dict", resolved["constraints"])["roster_size"]
    rules: dict[str, object] = {}
    rolls = [
        ("salary_min", lambda: chance.randrange(size * salaries[0], max(size * salaries[0] + 1, cap * 4 // 5))),
        ("salary_cap", lambda: cap * chance.randrange(80, 100) // 100),
        ("locked", lambda: [chance.choice(names)]),
        ("excluded", lambda: chance.sample(names, chance.randrange(1, 3))),
        ("max_overlap", lambda: chance.randrange(size - 3, size)),
        ("global_exposure_max", lambda: chance.choice([0.5, 0.75])),
        ("exposure", lambda: {chance.choice(names): [0.25, 1.0]}),
        (
            "groups",
            lambda: [
                {"ids": chance.sample(names, 3), "max": 1},
                {"ids": chance.sample(names, 4), "min": 1, "if": chance.choice(names)},
            ],
        ),
    ]
    if has_teams:
        rolls += [
            ("min_from_team", lambda: 2),
            ("stacks", lambda: [{"min": 2, "of": chance.sample(positions, min(2, len(positions)))}]),
            ("stacks", lambda: [{"with": [chance.choice(positions)], "min": 1, "from": "game"}]),
        ]
        if sport in {"nba", "nfl", "mlb"}:
            rolls.append(("stacks", lambda: [{"with": [positions[0]], "min": 1, "from": "opponent"}]))
    for name, roll in chance.sample(rolls, chance.randrange(1, 4)):
        rules[name] = roll()
    return {
        "slate_csv": slate(sport, site),
        "constraints": rules,
        "lineup_count": 4,
        "scenarios": RACES,
        "holdout": 1_000,
    }


def ranked_by(objective: str, slate: Slate) -> list[tuple]:
    """Return a key for each lineup, best first."""
    found = []
    for lineup in slate.lineups:
        total = slate.scored(lineup)
        match objective:
            case "mean":
                value = int(total.sum())
            case "p90":
                value = int(np.sort(total)[-RACES // 10])
            case _:
                value = int((total >= int(objective.removeprefix("beat:")) * 20).sum())
        found.append((value, int(total.sum()), lineup))
    return sorted(found, key=lambda each: (-each[0], -each[1]))


def chosen_by_hand(slate: Slate, objective: str) -> list[tuple[int, int]]:
    """Return values and totals of lineups chosen one after the other, as the rules of overlap and exposure let one."""
    asked, count = slate.constraints, cast("int", slate.resolved["lineup_count"])
    overlap = (
        slate.roster.size - 1 if asked["max_overlap"] is None else min(asked["max_overlap"], slate.roster.size - 1)
    )
    bounds = {slate.man(row): player.exposure for row, player in enumerate(slate.players)}
    locked = {slate.man(row) for row, player in enumerate(slate.players) if player.locked}
    closed = {slate.man(row) for row, player in enumerate(slate.players) if player.excluded or player.withdrawn}
    most = {
        man: int((high if man in locked else min(high, asked["global_exposure_max"])) * count + 1e-9)
        for man, (_, high) in bounds.items()
    }
    least = {man: 0 if man in closed else -int(-low * count // 1) for man, (low, _) in bounds.items()}
    uses: Counter = Counter()
    chosen: list[tuple[int, int, Lineup]] = []
    order = ranked_by(objective, slate)
    while len(chosen) < count:
        left = count - len(chosen)
        lacking = {man: wanted - uses[man] for man, wanted in least.items() if wanted > uses[man]}

        found = None
        for each in order:
            men = {slate.man(row) for row in each[2]}
            if (
                all(len(slate.columns(each[2]) & slate.columns(other)) <= overlap for _, _, other in chosen)
                and all(uses[man] < most[man] for man in men)
                and all(man in men for man, times in lacking.items() if times >= left)
                and len(men & lacking.keys()) >= sum(lacking.values()) - (left - 1) * slate.roster.size
            ):
                found = each
                break
        if found is None:
            break
        chosen.append(found)
        uses.update(slate.man(row) for row in found[2])
    return [(value, total) for value, total, _ in chosen]


CASES = [
    (sport, site, seed)
    for sport, site in [
        ("golf", "draftkings"),
        ("f1", "draftkings"),
        ("f1", "fanduel"),
        ("mma", "draftkings"),
        ("mma", "fanduel"),
        ("nba", "draftkings"),
        ("nfl", "draftkings"),
        ("mlb", "draftkings"),
    ]
    for seed in range(3)
]


@pytest.mark.parametrize(("sport", "site", "seed"), CASES)
def test_rules_drawn_by_chance_are_kept_and_the_best_are_found(sport: str, site: str, seed: int) -> None:
    chance = random.Random(f"{sport} {site} {seed}")  # noqa: S311
    spec = drawn_spec(sport, site, chance)
    objective = chance.choice(["mean", "p90", "beat:120"])
    try:
        resolved = kind.validate({**spec, "objective": objective})
    except BadInput:
        # Refused as contradictory before any search, which other tests are about.
        return
    slate = Slate(resolved)
    expected = chosen_by_hand(slate, objective)
    if not expected:
        with pytest.raises(BadInput, match=r"conflict|No lineup keeps|Nobody is left"):
            run_job(resolved)
        return

    result = run_job(resolved)

    row = {player.id: at for at, player in enumerate(slate.players)}
    found = [tuple(row[who] for who in cast("list[str]", each["ids"])) for each in lineups_of(result)]
    allowed = {slate.columns(lineup) for lineup in slate.lineups}
    assert all(slate.columns(lineup) in allowed for lineup in found)
    values = [int(slate.scored(lineup).sum()) for lineup in found]
    if slate.roster.exact:
        assert values == [total for _, total in expected]
    elif objective == "mean":
        assert values[0] == expected[0][1]
    if "infeasible" in result:
        assert len(found) < 4
        assert part_of(result, "infeasible")["binding"]


def test_the_lineups_made_by_hand_are_all_there_are() -> None:
    slate_of_golf = Slate(kind.validate({"slate_csv": slate("golf", "draftkings"), "lineup_count": 2}))
    cheap = [lineup for lineup in combinations(range(10), 6) if slate_of_golf.cost(lineup) <= 50_000]
    assert len(slate_of_golf.lineups) == len(cheap)
    captains = Slate(kind.validate({"slate_csv": slate("mma", "fanduel"), "lineup_count": 2}))
    orders = {captains.columns(order) for lineup in captains.lineups for order in permutations(lineup)}
    assert {captains.columns(lineup) for lineup in captains.lineups} <= orders
