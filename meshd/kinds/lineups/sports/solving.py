# pyright: basic
"""Lineups as linear rules over columns, for HiGHS: how high a mean can be, and which rules leave no lineup open.

SciPy brings the solver; JAX brings SciPy. A column is a player in a kind of slot, as in the exact engine, whatever the
sport; players are told by their rows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from meshd.kinds.lineups.engine.rules import Group, Stack
from meshd.kinds.lineups.sports.players import Player, clashes_of, columns_of
from meshd.kinds.lineups.sports.roster import PERCENT, Roster

MOST_NODES = 20_000
"""Of a search, after which what is known until then is told: slates of 900 players take a few dozen."""


@dataclass(frozen=True, slots=True)
class Solved:
    """What the solver came to."""

    columns: tuple[int, ...]
    """Of the best lineup; none where there is no lineup, or none was found."""

    bound: int
    """No lineup has a higher value."""

    is_proven_none: bool = False
    """Whether there is no lineup."""


@dataclass
class Linear:
    """Rules of one slate; each has a name by which it can be left out, those of the site have none."""

    roster: Roster
    players: tuple[Player, ...]
    _rows: list[tuple[str, Mapping[int, float], float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.columns = columns_of(self.roster, self.players)
        self._wide = len(self.columns)
        self._of: dict[int, list[int]] = {}
        for at, column in enumerate(self.columns):
            self._of.setdefault(column.player, []).append(at)
        for slot, each in enumerate(self.roster.slots):
            some = [at for at, column in enumerate(self.columns) if column.slot == slot]
            self.rule("", dict.fromkeys(some, 1.0), each.count, each.count)
        for some, most in clashes_of(self.roster, self.players, self.columns):
            self.rule("", dict.fromkeys(some, 1.0), 0, most)
        # One row is one man, even where two men share name and team.
        for found in self._of.values():
            if len(found) > 1:
                self.rule("", dict.fromkeys(found, 1.0), 0, 1)
        for names, least in (
            ([player.team for player in self.players], self.roster.least_teams),
            ([player.game for player in self.players], self.roster.least_games),
        ):
            self._met(names, least)

    def _met(self, names: Sequence[str], least: int) -> None:
        """Ask for players of so many different teams or games; those without one each count as one."""
        if least < 2:
            return
        by_name: dict[object, list[int]] = {}
        for row, name in enumerate(names):
            by_name.setdefault(name or row, []).append(row)
        met: dict[int, float] = {}
        for rows in by_name.values():
            is_met = self._new()
            met[is_met] = 1.0
            self.rule("", {**dict.fromkeys(self.columns_of(rows), 1.0), is_met: -1.0}, 0, np.inf)
        self.rule("", met, least, np.inf)

    @property
    def names(self) -> list[str]:
        """The names of what can be left out, in the order in which it was asked for."""
        return list(dict.fromkeys(row[0] for row in self._rows if row[0]))

    def _new(self) -> int:
        self._wide += 1
        return self._wide - 1

    def columns_of(self, rows: Collection[int]) -> list[int]:
        """Return the columns of some players, whatever slot they are in."""
        return [at for row in rows for at in self._of.get(row, [])]

    def rule(self, name: str, weights: Mapping[int, float], low: float, high: float) -> None:
        """Ask for a sum of columns to lie between two bounds."""
        self._rows.append((name, weights, low, high))

    def spend(self, name: str, low: float, high: float) -> None:
        """Bound what a lineup costs."""
        self.rule(name, {at: float(column.salary) for at, column in enumerate(self.columns)}, low, high)

    def hold(self, name: str, rows: Collection[int], low: float, high: float = np.inf) -> None:
        """Bound how many of some players a lineup holds."""
        self.rule(name, dict.fromkeys(self.columns_of(rows), 1.0), low, high)

    def group(self, name: str, group: Group) -> None:
        """Ask for a group of players to be held as it says."""
        held, size = dict.fromkeys(self.columns_of(group.members), 1.0), self.roster.size
        most = size if group.most is None else group.most
        if group.when is None:
            self.rule(name, held, group.least, most)
            return
        when = self.columns_of([group.when])
        self.rule(name, _plus(held, dict.fromkeys(when, -float(group.least))), 0, np.inf)
        self.rule(name, _plus(held, dict.fromkeys(when, float(size - most))), -np.inf, size)

    def stack(self, name: str, stack: Stack) -> None:
        """Ask for one of the choices to give so many players."""
        taken: dict[int, float] = {}
        for choice in stack.choices:
            is_taken = self._new()
            taken[is_taken] = 1.0
            self.rule(name, {**dict.fromkeys(self.columns_of(choice), 1.0), is_taken: -float(stack.least)}, 0, np.inf)
        self.rule(name, taken, 1, np.inf)

    def differ(self, name: str, columns: Collection[int], overlap: int) -> None:
        """Ask for a lineup that shares no more columns with another one."""
        self.rule(name, dict.fromkeys(columns, 1.0), 0, overlap)

    def solve(self, values: Sequence[int], without: Collection[str] = ()) -> Solved:
        """Return the lineup with the highest sum of the players' values, leaving out the rules of some names."""
        rows = [row for row in self._rows if row[0] not in without]
        at = [(number, column, weight) for number, row in enumerate(rows) for column, weight in row[1].items()]
        down, across, weights = (list(each) for each in zip(*at, strict=True))
        matrix = coo_array((weights, (down, across)), shape=(len(rows), self._wide)).tocsr()
        limits: tuple = matrix, np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
        worth = np.array([values[column.player] * column.points_percent // PERCENT for column in self.columns], float)
        # The solver's tolerances are made for numbers near 1.
        scale = max(1.0, float(np.abs(worth).max(initial=0.0)))
        goal = np.zeros(self._wide)
        goal[: len(worth)] = -worth / scale
        found = milp(
            goal,
            integrality=np.ones(self._wide),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(*limits),
            options={"mip_rel_gap": 0.0, "node_limit": MOST_NODES},
        )
        if found.status == 2:
            return Solved((), 0, is_proven_none=True)
        held = () if found.x is None else tuple(np.flatnonzero(found.x[: len(worth)] > 0.5).tolist())
        own = int(worth[list(held)].sum())
        told = None if found.mip_dual_bound is None else -float(found.mip_dual_bound) * scale
        bound = int(worth.sum()) if told is None or not np.isfinite(told) else int(np.floor(told + 0.5))
        return Solved(held, own if found.status == 0 else max(own, bound))


def _plus(one: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    return {column: one.get(column, 0.0) + other.get(column, 0.0) for column in {*one, *other}}
