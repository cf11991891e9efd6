"""Projections drawn: scores for sports that are not simulated, made of each player's mean and standard deviation.

A player's score is normal; players correlate through factors that they share (a team, a game, a pitcher that some of
them face), each with a loading: the correlation of two players is the sum of the products of their loadings of the
same factors. What a real game hands out only once is not conserved here, and no score is skewed but by its bounds.
Whole numbers only, as everywhere in this package.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.scenarios.draws import Draws
from meshd.kinds.lineups.scenarios.quantiles import NORMAL, NORMAL_SD

ONE = 1_024
SHIFT = ONE.bit_length() - 1

MOST_UNITS = 32_767
"""What 16 bits hold; nine players at a tenth of it still add up within them."""

MOST_FACTORS = 8
"""Of one player: a team, a game and a position use three. Sums of that many stay within 32 bits."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What is known of one player; points are in units of 0.05."""

    mean: int
    sd: int
    factors: tuple[tuple[str, float], ...] = ()
    """Names of common factors, and loadings from -1 to 1; their squares add up to at most 1."""

    low: int = 0
    """No score is below; 0 suits sports without negative scores."""

    high: int = MOST_UNITS


@dataclass(frozen=True)
class ProjectionModel:
    """All players, in whole numbers; arrays have one entry a player, in the slate's order."""

    mean: NDArray[np.int32]
    sd: NDArray[np.int32]
    low: NDArray[np.int32]
    high: NDArray[np.int32]
    own: NDArray[np.int32]
    """The loading of what is a player's own, in ONEths."""

    factors: NDArray[np.int64]
    """[shared, players]: which factors a player shares; 0 where it shares fewer."""

    loadings: NDArray[np.int32]
    """[shared, players], in ONEths; 0 where it shares fewer."""

    names: int
    """How many factors there are."""

    seed: int

    @property
    def players(self) -> int:
        """How many columns the scores have."""
        return len(self.mean)

    @cached_property
    def key(self) -> bytes:
        """A digest of everything above: models with equal keys draw equal scores."""
        arrays = (self.mean, self.sd, self.low, self.high, self.own, self.factors, self.loadings)
        told = repr((self.players, self.names, self.seed)).encode()
        return blake2b(b"".join([told, *(array.tobytes() for array in arrays)]), digest_size=16).digest()

    def with_seed(self, seed: int) -> "ProjectionModel":
        """Return the same players under other luck."""
        return replace(self, seed=seed)


def projection_model(players: Sequence[Projection], *, seed: int) -> ProjectionModel:
    """Return the model of some players.

    Raises:
        BadInput: a player's loadings are more than its variance, or a number is out of range.
    """
    numbers: dict[str, int] = {}
    most = max((len(player.factors) for player in players), default=0)
    factors, loadings = np.zeros((most, len(players)), np.int64), np.zeros((most, len(players)), np.int32)
    own: list[int] = []
    for column, player in enumerate(players):
        rest = ONE * ONE
        for row, (name, loading) in enumerate(player.factors):
            factors[row, column] = numbers.setdefault(name, len(numbers))
            loadings[row, column] = round(loading * ONE)
            rest -= int(loadings[row, column]) ** 2
        # A loading of 0.6 and one of 0.8 are all of the variance, and rounding must not refuse them.
        if rest < -2 * most * ONE or not _is_sound(player):
            raise BadInput(
                f"Player {column + 1} cannot be simulated: mean {player.mean}, sd {player.sd}, {player.factors}.",
                field="players",
                hint=f"Use at most {MOST_FACTORS} loadings whose squares add up to at most 1, and points below 1,600.",
            )
        own.append(isqrt(max(0, rest)))
    return ProjectionModel(
        mean=np.array([player.mean for player in players], np.int32),
        sd=np.array([player.sd for player in players], np.int32),
        low=np.array([player.low for player in players], np.int32),
        high=np.array([player.high for player in players], np.int32),
        own=np.array(own, np.int32),
        factors=factors,
        loadings=loadings,
        names=len(numbers),
        seed=seed,
    )


def _is_sound(player: Projection) -> bool:
    return (
        abs(player.mean) <= MOST_UNITS
        and 0 <= player.sd <= MOST_UNITS
        and -MOST_UNITS <= player.low <= player.high <= MOST_UNITS
        and len(player.factors) <= MOST_FACTORS
    )


def scores(model: ProjectionModel, chunk: int) -> NDArray[np.int16]:
    """Return chunk `chunk` as [CHUNK_SCENARIOS, players] scores in units of 0.05 points.

    A pure function of the model and the chunk's number: the same bits on any device, in any order.
    """
    draws = Draws(model.seed, chunk)
    together = NORMAL[draws.uniforms(1, model.names)[0]].astype(np.int32)
    standard = model.own * NORMAL[draws.uniforms(1, model.players)[0]].astype(np.int32)
    for factors, loadings in zip(model.factors, model.loadings, strict=True):
        standard += loadings * together[:, factors]
    # Rounded to the nearest unit: cutting off would take half a unit from every score.
    away = (model.sd * (standard >> SHIFT) + NORMAL_SD // 2) // NORMAL_SD
    return np.clip(model.mean + away, model.low, model.high).astype(np.int16)
