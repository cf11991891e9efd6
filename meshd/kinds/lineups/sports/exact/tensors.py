# pyright: basic
"""Sums of products of up to four players' scores, and what half lineups have of them: the base of the certified bound.

Scores are counted from each player's mean and in units of a common deviation, so that 32-bit floats keep six digits;
the bound leaves room for what they lose. The line that lineups have to reach is one more player, whose points are
subtracted: where it differs from race to race, the bound knows how it goes along with the lineups' scores.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

EXACT = lax.Precision.HIGHEST
"""Accelerators would multiply with eight digits less."""


@dataclass(frozen=True, eq=False)
class Tensors:
    """Means of products over all races; the last player is the line."""

    mean: np.ndarray
    """[players], in units of `scale`, the line's negative."""

    scale: float
    pairs: np.ndarray
    """[players, players]: the number of each unordered pair."""

    seconds: jax.Array
    """[pairs]"""

    thirds: jax.Array
    """[pairs, players]"""

    fourths: jax.Array
    """[pairs, pairs]"""


class TensorSums:
    """Adds up products, chunk by chunk."""

    def __init__(self, mean: np.ndarray, scale: float) -> None:
        """Begin with nothing; `mean` and `scale` are in score units, the line's mean last."""
        players = len(mean)
        upper = np.triu_indices(players)
        self._pairs = np.zeros((players, players), np.int32)
        self._pairs[upper] = np.arange(len(upper[0]))
        self._pairs.T[upper] = np.arange(len(upper[0]))
        self._upper = jnp.asarray(np.stack(upper), jnp.int32)
        self._mean, self._scale, self._races = mean, scale, 0
        count = len(upper[0])
        self._sums = jnp.zeros(count), jnp.zeros((count, players)), jnp.zeros((count, count))

    def add(self, scores: np.ndarray, lines: np.ndarray) -> None:
        """Take a chunk of races, [races, players], and the line in each."""
        both = np.concatenate([scores, -lines[:, None]], axis=1)
        self._races += len(scores)
        away = jnp.asarray(((both - self._mean) / self._scale).astype(np.float32))
        self._sums = _added(*self._sums, away, self._upper)

    def tensors(self) -> Tensors:
        """Return the means of all races taken."""
        seconds, thirds, fourths = (each / self._races for each in self._sums)
        return Tensors(self._mean / self._scale, self._scale, self._pairs, seconds, thirds, fourths)


@partial(jax.jit, donate_argnums=(0, 1, 2))
def _added(
    seconds: jax.Array, thirds: jax.Array, fourths: jax.Array, away: jax.Array, upper: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    products = away[:, upper[0]] * away[:, upper[1]]
    return (
        seconds + products.sum(axis=0),
        thirds + jnp.matmul(products.T, away, precision=EXACT),
        fourths + jnp.matmul(products.T, products, precision=EXACT),
    )


@dataclass(frozen=True, eq=False)
class HalfMoments:
    """What halves have of the tensors; arrays have one entry a half."""

    holds: jax.Array
    """[halves, players]: 1 for the players of each."""

    mean: jax.Array
    own: jax.Array
    """[3, halves]: means of its own score's second, third and fourth power."""

    firsts: jax.Array
    """[halves, players]: mean of its score times each player's."""

    seconds: jax.Array
    """Of its score squared times each player's."""

    thirds: jax.Array
    """Of its score cubed times each player's."""


def half_moments(tensors: Tensors, members: np.ndarray) -> HalfMoments:
    """Return the moments of halves, [halves, size]."""
    found = _half_moments(
        tensors.seconds, tensors.thirds, tensors.fourths, jnp.asarray(tensors.pairs), jnp.asarray(members, jnp.int32)
    )
    mean = jnp.asarray(tensors.mean[members].sum(axis=1).astype(np.float32))
    return HalfMoments(found[0], mean, *found[1:])


@jax.jit
def _half_moments(
    seconds: jax.Array, thirds: jax.Array, fourths: jax.Array, pairs: jax.Array, members: jax.Array
) -> tuple[jax.Array, ...]:
    players, size = len(pairs), members.shape[1]
    holds = jax.nn.one_hot(members, players).sum(axis=1)
    firsts = second = third = jnp.zeros((len(members), players))
    for one in range(size):
        firsts = firsts + seconds[pairs[members[:, one]]]
        for other in range(one, size):
            pair = pairs[members[:, one], members[:, other]]
            twice = 1.0 if one == other else 2.0
            second = second + twice * thirds[pair]
            for last in range(size):
                third = third + twice * fourths[pair[:, None], pairs[members[:, last]]]
    own = jnp.stack([(holds * each).sum(axis=1) for each in (firsts, second, third)])
    return holds, own, firsts, second, third


@jax.jit
def squared_with_pairs(fourths: jax.Array, pairs: jax.Array, members: jax.Array) -> jax.Array:
    """Return, for halves [halves, size], the mean of the score squared times each pair's product: [pairs, halves].

    Pairs of two different players count twice, as they do in a square.
    """
    size = members.shape[1]
    found = jnp.zeros((len(members), len(fourths)))
    for one in range(size):
        for other in range(one, size):
            found = found + (1.0 if one == other else 2.0) * fourths[pairs[members[:, one], members[:, other]]]
    twice = jnp.full(len(fourths), 2.0).at[jnp.diagonal(pairs)].set(1.0)
    return (found * twice).T
