"""Projected scores have the means, deviations and correlations that are asked for, bit for bit everywhere."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.scenarios.projections import MOST_FACTORS, Projection, projection_model, scores

PLAYERS = [
    Projection(800, 300, (("team:A", 0.6), ("game:AB", 0.3))),
    Projection(500, 200, (("team:A", 0.6), ("game:AB", 0.3))),
    Projection(400, 150, (("team:B", 0.6), ("game:AB", 0.3))),
    Projection(300, 160, (("team:A", -0.5),)),
    Projection(0, 0),
    Projection(650, 220),
]


def drawn(players: list[Projection], chunks: int = 24) -> NDArray[np.float64]:
    model = projection_model(players, seed=3)
    return np.concatenate([scores(model, chunk) for chunk in range(chunks)]).astype(np.float64)


def correlations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    away = (values - values.mean(axis=0)) / values.std(axis=0)
    return away.T @ away / len(values)


def test_means_and_deviations_are_the_given_ones() -> None:
    wide = [Projection(each.mean, each.sd, each.factors, low=-32_767) for each in PLAYERS]
    found = drawn(wide)
    assert found.mean(axis=0) == pytest.approx(np.array([each.mean for each in wide]), abs=8)
    assert found.std(axis=0) == pytest.approx(np.array([each.sd for each in wide]), rel=0.02)


def test_players_correlate_through_the_factors_that_they_share() -> None:
    wide = [Projection(each.mean, max(each.sd, 50), each.factors, low=-32_767) for each in PLAYERS]
    found = correlations(drawn(wide))
    expected = {(0, 1): 0.45, (0, 2): 0.09, (1, 2): 0.09, (0, 3): -0.3, (2, 3): 0.0, (0, 4): 0.0, (4, 5): 0.0}
    for pair, correlation in expected.items():
        assert found[pair] == pytest.approx(correlation, abs=0.03), pair


def test_no_score_is_beyond_its_bounds() -> None:
    found = drawn([Projection(100, 400), Projection(100, 400, low=-200, high=300)])
    assert (found.min(axis=0).tolist(), found[:, 1].max()) == ([0, -200], 300)


def test_the_largest_numbers_do_not_overflow() -> None:
    factors = tuple((f"factor {number}", 0.35) for number in range(MOST_FACTORS))
    found = drawn([Projection(0, 32_767, factors, low=-32_767), Projection(0, 0)], chunks=4)
    # An overflow would turn the sign: large factors would no longer mean large scores.
    assert found[:, 0].std() > 20_000
    assert abs(found[:, 0].mean()) < 1_500


def test_a_chunk_is_a_pure_function_of_model_and_number() -> None:
    model = projection_model(PLAYERS, seed=1)
    alone = scores(model, 4)
    for chunk in range(4):
        scores(model, chunk)
    assert (scores(projection_model(PLAYERS, seed=1), 4) == alone).all()
    assert (alone.shape, alone.dtype) == ((CHUNK_SCENARIOS, 6), np.int16)
    assert len({scores(model.with_seed(seed), chunk).tobytes() for seed in (1, 2) for chunk in (0, 1)}) == 4


def test_models_have_the_same_key_when_they_draw_the_same_scores() -> None:
    model = projection_model(PLAYERS, seed=1)
    assert model.key == projection_model(list(PLAYERS), seed=1).key
    other = projection_model([*PLAYERS[:-1], Projection(651, 220)], seed=1)
    assert len({model.key, model.with_seed(2).key, other.key}) == 3


def test_a_chunk_has_the_same_bits_on_every_device() -> None:
    found = scores(projection_model(PLAYERS, seed=2**53 - 1), 7)
    assert hashlib.sha256(found.astype("<i2").tobytes()).hexdigest()[:16] == "a7deca807524c449"


@pytest.mark.parametrize(
    "player",
    [
        Projection(100, 50, (("a", 0.8), ("b", 0.7))),
        Projection(100, 50, (("a", 1.2),)),
        Projection(100, -1),
        Projection(40_000, 50),
        Projection(100, 50, low=10, high=5),
        Projection(100, 50, tuple((str(number), 0.1) for number in range(MOST_FACTORS + 1))),
    ],
)
def test_a_player_that_cannot_be_simulated_is_refused(player: Projection) -> None:
    with pytest.raises(BadInput, match="Player 2 cannot be simulated"):
        projection_model([Projection(1, 1), player], seed=1)


def test_a_factor_may_be_all_of_a_player() -> None:
    found = drawn([Projection(1_000, 100, (("a", 0.6), ("b", 0.8))), Projection(1_000, 100, (("a", 1.0),))], chunks=8)
    assert correlations(found)[0, 1] == pytest.approx(0.6, abs=0.03)
