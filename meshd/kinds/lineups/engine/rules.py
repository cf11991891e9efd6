"""What a lineup may be: salary bounds, groups, stacks, banned lineups; and which of these leave too few lineups.

Each rule is an exact yes or no for every lineup at once, made of sums over the two halves of lineups.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.enumeration import Lineups


@dataclass(frozen=True, slots=True)
class Group:
    """Of these players, a lineup holds at least so many and at most so many."""

    members: tuple[int, ...]
    least: int = 0
    most: int | None = None
    when: int | None = None
    """The rule binds only the lineups that hold this player; None: all."""


@dataclass(frozen=True, slots=True)
class Stack:
    """At least one of several choices, a team say, gives a lineup so many players."""

    choices: tuple[tuple[int, ...], ...]
    least: int


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules but locks and exclusions, which `Lineups` itself keeps."""

    salaries: tuple[int, ...]
    cap: int | None = None
    floor: int = 0
    groups: tuple[Group, ...] = ()
    stacks: tuple[Stack, ...] = ()
    banned: tuple[tuple[int, ...], ...] = ()
    """Lineups that may not come back, each as ascending players."""


@dataclass(frozen=True, slots=True, order=True)
class RuleName:
    """Which rule: its kind, and for those of which there are several, its place or its player."""

    kind: str
    """`cap`, `floor`, `group`, `stack`, `banned`, `locked` or `excluded`."""

    which: int = 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why there are too few lineups."""

    lineups: int
    """How many all rules together allow."""

    between: tuple[RuleName, ...]
    """Rules that alone leave too few, none of which could be spared for that."""

    without: dict[RuleName, int] = field(default_factory=dict[RuleName, int])
    """How many lineups there would be without one of the rules, for each of them."""


def allowed(lineups: Lineups, rules: Rules) -> NDArray[np.bool_]:
    """Return, for every lineup, whether it keeps all rules."""
    kept = np.ones(lineups.total, bool)
    for _, mask in _masks(lineups, rules):
        kept &= mask
    return kept


def conflict(lineups: Lineups, rules: Rules, wanted: int) -> Conflict | None:
    """Return why fewer than `wanted` lineups keep all rules, None when there are as many."""
    everything = Lineups(lineups.players, lineups.size)
    packed = {name: np.packbits(mask) for name, mask in _all_masks(lineups, everything, rules)}
    names = list(packed)
    whole = np.packbits(np.ones(everything.total, bool))

    def count(kept: list[RuleName]) -> int:
        mask = whole.copy()
        for name in kept:
            mask &= packed[name]
        return int(np.bitwise_count(mask).sum(dtype=np.int64))

    found = count(names)
    if found >= wanted:
        return None
    # Leaving a rule out never makes lineups fewer: what is left after one try each is minimal.
    needed = list(names)
    for name in names:
        rest = [other for other in needed if other != name]
        if count(rest) < wanted:
            needed = rest
    without = {name: count([other for other in names if other != name]) for name in names}
    return Conflict(found, tuple(needed), without)


def _masks(lineups: Lineups, rules: Rules) -> Iterator[tuple[RuleName, NDArray[np.bool_]]]:
    if rules.cap is not None or rules.floor:
        costs = lineups.sums(np.array(rules.salaries, np.int32))
        if rules.cap is not None:
            yield RuleName("cap"), costs <= rules.cap
        if rules.floor:
            yield RuleName("floor"), costs >= rules.floor
    for at, group in enumerate(rules.groups):
        yield RuleName("group", at), _keeps_group(lineups, group)
    for at, stack in enumerate(rules.stacks):
        mask = np.zeros(lineups.total, bool)
        for choice in stack.choices:
            mask |= held(lineups, choice) >= stack.least
        yield RuleName("stack", at), mask
    if rules.banned:
        mask = np.ones(lineups.total, bool)
        numbers = lineups.numbers(np.array(rules.banned, np.int64))
        mask[numbers[numbers >= 0]] = False
        yield RuleName("banned"), mask


def _all_masks(lineups: Lineups, everything: Lineups, rules: Rules) -> Iterator[tuple[RuleName, NDArray[np.bool_]]]:
    for player in lineups.locked:
        yield RuleName("locked", player), held(everything, (player,)) == 1
    for player in lineups.excluded:
        yield RuleName("excluded", player), held(everything, (player,)) == 0
    yield from _masks(everything, rules)


def _keeps_group(lineups: Lineups, group: Group) -> NDArray[np.bool_]:
    count = held(lineups, group.members)
    mask = count >= group.least
    if group.most is not None:
        mask &= count <= group.most
    if group.when is not None:
        mask |= held(lineups, (group.when,)) == 0
    return mask


def held(lineups: Lineups, players: Sequence[int]) -> NDArray[np.int8]:
    """Return how many of the players each lineup holds."""
    among = np.zeros(lineups.players, np.int8)
    among[list(players)] = 1
    return lineups.sums(among)
