"""Candidates add exactly what is left for them, and demands on the last lineups only grow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.kinds.lineups.engine.diversity import Chosen, Diversity, demand, held_in
from meshd.kinds.lineups.engine.greedy import BestPool, CoverPool


@pytest.mark.parametrize("spread", [100, 5_000, 32_000])
@pytest.mark.parametrize("races", [1, 7, 64, 1_000])
def test_gains_are_what_scores_have_above_the_best_so_far(races: int, spread: int) -> None:
    draw = np.random.default_rng(races)
    scores = draw.integers(-spread // 2, spread // 2, (50, races)).astype(np.int16)
    best = np.full(races, -spread // 2, np.int16)
    pool, rows = BestPool(scores, best), draw.permutation(50)[:40]
    for taken in (3, 20):
        expected = np.maximum(scores[rows].astype(np.int64) - best, 0).sum(axis=1)
        assert pool.gains(rows).tolist() == expected.tolist()
        pool.take(taken)
        best = np.maximum(best, scores[taken])


@pytest.mark.parametrize("races", [0, 1, 63, 1_000])
def test_gains_are_the_races_that_nobody_covers_yet(races: int) -> None:
    draw = np.random.default_rng(races)
    wins = draw.integers(0, 2, (50, races)).astype(bool)
    pool, rows, free = CoverPool(np.packbits(wins, axis=1)), draw.permutation(50)[:40], np.ones(races, bool)
    for taken in (3, 20):
        assert pool.gains(rows).tolist() == (wins[rows] & free).sum(axis=1).tolist()
        pool.take(taken)
        free &= ~wins[taken]


@given(st.integers(0, 2**32), st.integers(2, 8))
def test_demands_only_grow(seed: int, count: int) -> None:
    # What `choose` relies on: a lineup left out for want of a player need not be looked at again.
    draw = np.random.default_rng(seed)
    least = tuple(draw.integers(0, count + 1, 9).tolist())
    everything = np.array([np.sort(draw.permutation(9)[:4]) for _ in range(60)])
    chosen, tell = Chosen(Diversity(count, least=least), 9, 4), held_in(everything, 9)
    answers = np.ones(60, bool)
    while chosen.left:
        now = chosen.answering(tell, np.ones(60, bool))
        assert not (now & ~answers).any()
        answers = now
        if not now.any():
            break
        chosen.choose(everything[int(draw.choice(np.flatnonzero(now)))].tolist())


def test_the_last_lineups_must_hold_who_still_lacks_them() -> None:
    diversity = Diversity(3, least=(2, 1, 1, 1, 0, 0))
    assert demand(diversity, 2, np.zeros(6, np.int64), 3).some == 1
    assert demand(diversity, 2, np.array([0, 1, 1, 1, 0, 0]), 2).players == (0,)
    assert demand(diversity, 2, np.array([2, 1, 1, 1, 0, 0]), 1).players == ()
