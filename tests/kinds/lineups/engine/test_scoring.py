"""Scores of a few lineups, and how often each is scored, are those of looking at them one by one."""

import numpy as np
import pytest

from meshd.kinds.lineups.engine.scoring import histograms, reaching, scored


@pytest.mark.parametrize("bins", [1, 2, 40, 4_000])
@pytest.mark.parametrize("share_below", [0.0, 0.3, 0.9, 0.999, 1.0])
def test_a_histogram_counts_every_score_wherever_its_window_lies(share_below: float, bins: int) -> None:
    draw = np.random.default_rng(bins)
    by_player = draw.integers(-300, 900, (12, 3_000)).astype(np.int16)
    members = np.sort(np.array([draw.permutation(12)[:6] for _ in range(700)]), axis=1)
    scores = by_player[members].sum(axis=1, dtype=np.int64)
    low = int(np.quantile(scores, share_below)) + (share_below == 1.0)
    counts = np.zeros((len(members), bins), np.int64)
    for rows, found in histograms(members, by_player, low, bins):
        counts[rows] += found
    assert (scored(members, by_player) == scores).all()
    expected = [np.bincount(np.clip(row - low, 0, bins - 1), minlength=bins) for row in scores]
    assert (counts == expected).all()


def test_a_line_is_reached_or_not_wherever_it_is() -> None:
    scores = np.array([[-32_000, -5, 0, 4_000, 32_000]], np.int16)
    for line in (-(2**31), -32_001, -5, -4, 1, 32_000, 32_001, 2**31 - 1):
        assert (reaching(scores, np.full(5, line, np.int32)) == (scores.astype(np.int64) >= line)).all()
