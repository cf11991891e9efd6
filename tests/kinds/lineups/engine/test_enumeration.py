"""Every lineup has one number, and sums over all lineups equal sums lineup by lineup."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.subsets import ranks, subset_sums, subsets


@st.composite
def slates(draw: st.DrawFn) -> Lineups:
    """Draw a small slate, now and then with players that all lineups hold, or none."""
    players = draw(st.integers(1, 12))
    size = draw(st.integers(1, min(6, players)))
    order = draw(st.permutations(range(players)))
    locked = draw(st.integers(0, size))
    excluded = draw(st.integers(0, players - size))
    return Lineups(players, size, tuple(sorted(order[:locked])), tuple(sorted(order[locked : locked + excluded])))


def expected(lineups: Lineups) -> list[tuple[int, ...]]:
    return [
        members
        for members in combinations(range(lineups.players), lineups.size)
        if set(lineups.locked) <= set(members) and not set(lineups.excluded) & set(members)
    ]


def all_members(lineups: Lineups) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return lineups.members(np.arange(lineups.total))


@given(slates())
def test_the_numbers_name_every_lineup_exactly_once(lineups: Lineups) -> None:
    members = all_members(lineups)
    assert sorted(map(tuple, members.tolist())) == expected(lineups)
    assert lineups.numbers(members).tolist() == list(range(lineups.total))


@given(slates(), st.integers(0, 2**31))
def test_sums_over_all_lineups_equal_the_sums_over_their_members(lineups: Lineups, seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.integers(-(10**12), 10**12, lineups.players)
    half = draw.integers(-(10**9), 10**9, (lineups.players, lineups.players))
    members, matrix = all_members(lineups), half + half.T
    assert (lineups.sums(values) == values[members].sum(axis=1)).all()
    pairs = matrix[members[:, :, None], members[:, None, :]].sum(axis=(1, 2))
    ranges = [(numbers, block.ravel()) for numbers, block in lineups.pair_sums_by_range(matrix)]
    assert [number for numbers, _ in ranges for number in range(lineups.total)[numbers]] == list(range(lineups.total))
    assert (np.concatenate([np.empty(0, np.int64), *(block for _, block in ranges)]) == pairs).all()


@given(slates())
def test_lineups_that_break_a_lock_have_no_number(lineups: Lineups) -> None:
    others = sorted(set(combinations(range(lineups.players), lineups.size)) - set(expected(lineups)))
    if others:
        assert (lineups.numbers(np.array(others)) == -1).all()


@pytest.mark.parametrize(("players", "size"), [(40, 6), (48, 6), (44, 5), (40, 4)])
def test_a_lineup_of_a_large_slate_is_found_again_by_its_members(players: int, size: int) -> None:
    lineups = Lineups(players, size)
    steps = [step for family in lineups.families for step in family.steps]
    assert sum(step.rows * step.columns for step in steps) == lineups.total == comb(players, size)
    numbers = np.unique(np.linspace(0, lineups.total - 1, 5_000).astype(np.int64))
    assert (lineups.numbers(lineups.members(numbers)) == numbers).all()


def test_a_slate_that_is_too_small_has_no_lineups() -> None:
    assert Lineups(5, 6).total == 0
    assert len(Lineups(5, 6).sums(np.arange(5))) == 0


@pytest.mark.parametrize("size", range(5))
def test_sums_over_subsets_follow_the_order_of_the_subsets(size: int) -> None:
    values = np.random.default_rng(1).integers(-900, 900, (5, 9)).astype(np.int16)
    members = subsets(9, size)
    assert sorted(members.tolist()) == [list(each) for each in combinations(range(9), size)]
    assert (subset_sums(values, size) == values[:, members].sum(axis=2)).all()
    assert ranks(members).tolist() == list(range(len(members)))
