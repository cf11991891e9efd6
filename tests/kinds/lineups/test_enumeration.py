"""Every lineup has one number, and sums over all lineups equal sums lineup by lineup."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from meshd.kinds.lineups.enumeration import (
    lineup_pair_sums,
    lineup_sums,
    members_of,
    numbers_of,
    staircase,
    triple_sums,
    triples,
)


@pytest.mark.parametrize("drivers", [6, 7, 11, 14])
def test_the_numbers_name_every_lineup_exactly_once(drivers: int) -> None:
    members = members_of(np.arange(comb(drivers, 6)), drivers)
    assert sorted(members.tolist()) == [list(lineup) for lineup in combinations(range(drivers), 6)]


@pytest.mark.parametrize("drivers", [6, 13, 48])
def test_a_lineup_is_found_again_by_its_members(drivers: int) -> None:
    numbers = np.unique(np.linspace(0, comb(drivers, 6) - 1, 5_000).astype(np.int64))
    assert (numbers_of(members_of(numbers, drivers), drivers) == numbers).all()


def test_the_staircase_of_forty_drivers_holds_all_lineups() -> None:
    assert sum(step.rows * step.width for step in staircase(40)) == comb(40, 6)


def test_triple_sums_follow_the_order_of_the_triples() -> None:
    values = np.random.default_rng(1).integers(-900, 900, (5, 9)).astype(np.int16)
    assert (triple_sums(values) == values[:, triples(9)].sum(axis=2)).all()


def test_sums_of_all_lineups_equal_the_sums_of_their_members() -> None:
    values = np.random.default_rng(2).integers(-(10**12), 10**12, 15)
    members = members_of(np.arange(comb(15, 6)), 15)
    assert (lineup_sums(values) == values[members].sum(axis=1)).all()


def test_pair_sums_of_all_lineups_equal_the_sums_over_their_members() -> None:
    half = np.random.default_rng(3).integers(-(10**9), 10**9, (13, 13))
    matrix = half + half.T
    members = members_of(np.arange(comb(13, 6)), 13)
    expected = matrix[members[:, :, None], members[:, None, :]].sum(axis=(1, 2))
    assert (lineup_pair_sums(matrix) == expected).all()
