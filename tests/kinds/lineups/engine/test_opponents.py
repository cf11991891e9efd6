"""The field is the same on every device, keeps the salary, and its line is the one that sorting finds."""

import numpy as np
import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.lines import FieldLines
from meshd.kinds.lineups.engine.opponents import Field, draw_field, weights_from_means, weights_from_ownership

SALARIES = tuple(4_000 + 500 * (player * 7 % 17) for player in range(20))


def field(**changes: object) -> Field:
    fields = {"weights": (5, 1, 0, *[3] * 17), "opponents": 300, "quantile": 99_000, "seed": 7, "cap": 50_000}
    return Field(**{**fields, **changes})  # pyright: ignore[reportArgumentType]


def test_opponents_keep_the_salary_and_take_what_is_popular() -> None:
    drawn = draw_field(field(opponents=3_000, floor=46_000), SALARIES, 6)
    spent = np.array(SALARIES)[drawn].sum(axis=1)
    assert drawn.shape == (3_000, 6)
    assert ((spent >= 46_000) & (spent <= 50_000)).all()
    assert (np.diff(drawn, axis=1) > 0).all()
    taken = np.bincount(drawn.ravel(), minlength=20)
    assert taken[2] == 0
    assert taken[0] > taken[3] > taken[1] > 0


def test_the_same_field_is_drawn_everywhere() -> None:
    # Written down once: another device, library or version must draw these, too.
    assert draw_field(field(), SALARIES, 6)[:3].tolist() == DRAWN
    assert draw_field(field(seed=8), SALARIES, 6)[:3].tolist() != DRAWN


DRAWN = [[0, 7, 8, 12, 15, 16], [0, 6, 11, 12, 16, 18], [4, 6, 13, 14, 16, 17]]


def test_a_field_that_fits_no_salary_is_refused() -> None:
    with pytest.raises(BadInput, match="drawn for the field"):
        draw_field(field(floor=50_001), SALARIES, 6)


def test_weights_grow_e_fold_with_the_temperature() -> None:
    # 1,000 races of 20 units a point: means of 30, 23, 16 and -300 points.
    weights = weights_from_means([600_000, 460_000, 320_000, -6_000_000], 1_000, 7.0)
    assert weights == (1_048_576, 385_749, 141_909, 0)


def test_weights_follow_ownership() -> None:
    assert weights_from_ownership([40.0, 10.0, 0.0]) == (1_048_576, 262_144, 0)
    with pytest.raises(BadInput):
        weights_from_ownership([0.0, 0.0])


@pytest.mark.parametrize(("opponents", "rank"), [(1, 1), (16, 16), (17, 3), (300, 3), (300, 1)])
def test_the_line_is_what_sorting_the_field_finds(opponents: int, rank: int) -> None:
    races = np.random.default_rng(rank).integers(-800, 3_000, (70, 20)).astype(np.int16)
    drawn = draw_field(field(opponents=opponents), SALARIES, 6)
    expected = np.sort(races.astype(int)[:, drawn].sum(axis=2), axis=1)[:, -rank] + 1
    assert (FieldLines(drawn, 20, rank)(races) == expected).all()


def test_the_rank_to_beat_is_the_share_of_the_field_that_is_left() -> None:
    assert [field(opponents=count).rank for count in (5_000, 100, 10)] == [50, 1, 1]
    assert field(opponents=1_000, quantile=80_000).rank == 200
