"""The tables are those of the distributions they are named after, and the same on every machine."""

import hashlib

import numpy as np
import pytest

from meshd.kinds.lineups.scenarios.quantiles import (
    EXPONENTIAL,
    EXPONENTIAL_MEAN,
    NORMAL,
    NORMAL_SD,
    exact_exponential,
    exact_normal,
    normal_scores,
    standardised,
)


def test_no_entry_depends_on_how_a_machine_rounds() -> None:
    halves = np.array(
        [exact_normal(part) for part in range(32_768)] + [exact_exponential(part) for part in range(65_536)]
    )
    from_the_middle_of_two = np.abs(np.abs(halves - np.floor(halves)) - 0.5)
    assert from_the_middle_of_two.min() > 1e-7


def test_the_tables_are_the_same_everywhere() -> None:
    digests = [hashlib.sha256(table.astype("<i2").tobytes()).hexdigest()[:16] for table in (NORMAL, EXPONENTIAL)]
    assert digests == ["1ea009ce409dac97", "d6369ced5e207ba2"]


def test_normal_variates_are_normal() -> None:
    values = NORMAL.astype(np.float64) / NORMAL_SD
    assert values.mean() == 0
    assert values.std() == pytest.approx(1, abs=1e-4)
    assert (values**4).mean() == pytest.approx(3, abs=0.01)
    assert [round(float(value), 3) for value in np.percentile(values, [5, 95])] == [-1.645, 1.645]
    assert (np.diff(NORMAL) >= 0).all()
    assert (-NORMAL[::-1] == NORMAL).all()


def test_exponential_variates_are_exponential() -> None:
    values = EXPONENTIAL.astype(np.float64) / EXPONENTIAL_MEAN
    assert values.min() >= 0
    assert values.mean() == pytest.approx(1, abs=1e-3)
    assert values.std() == pytest.approx(1, abs=1e-3)
    assert np.median(values) == pytest.approx(np.log(2), abs=1e-3)


def test_normal_scores_put_the_first_rank_highest() -> None:
    assert normal_scores(np.array([1, 0, 2])).tolist() == [0, 3963, -3963]


def test_standardised_values_are_centred_scaled_and_held() -> None:
    assert standardised([5, 5, 5]) == [0, 0, 0]
    assert standardised([]) == []
    assert max(standardised([*range(100), 10_000])) == 3 * NORMAL_SD
    spread = standardised(list(range(200)))
    assert abs(np.mean(spread)) < 1
    assert np.std(spread) == pytest.approx(NORMAL_SD, rel=1e-3)
