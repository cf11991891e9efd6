# pyright: basic
"""The line to beat in each scenario: the score of a certain opponent of the field, counted from the best.

All opponents are scored at once; the line then is found by halving, as whole numbers of opponents at or above it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.reach import reach_of
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS

_UNROLL = 16
"""Opponents that are counted in one expression: 8 to 16 are several times faster than one."""

_BLOCK = 64
"""Scenarios looked at together: the scores of 5,000 opponents in them stay in the cache while the line is found."""


class FieldLines:
    """Computes, for scenario after scenario, what a lineup must score to beat the field's share."""

    def __init__(self, opponents: NDArray[np.int64], players: int, rank: int) -> None:
        """Take the opponents' lineups; the one of `rank`, from 1, has to be beaten."""
        padding = -len(opponents) % _UNROLL
        nobody = np.full((padding, opponents.shape[1]), players, np.int64)
        self._members = jnp.asarray(np.concatenate([opponents, nobody]).astype(np.int32))
        self._size = opponents.shape[1]
        self._rank = rank
        self._absent = padding

    def __call__(self, scores: NDArray[np.int16]) -> NDArray[np.int32]:
        """Return the line of each scenario of [scenarios, players] scores."""
        low, high = reach_of(scores, self._size)
        halvings = int((high - low).max(initial=0) + 1).bit_length()
        by_player = np.zeros((scores.shape[1] + 1, CHUNK_SCENARIOS), np.int16)
        by_player[:-1, : len(scores)] = scores.T
        bounds = np.zeros((2, CHUNK_SCENARIOS), np.int16)
        bounds[:, : len(scores)] = low, high
        found = _line(by_player, self._members, bounds, self._rank, self._absent, halvings)
        return np.asarray(found)[: len(scores)].astype(np.int32) + 1


@jax.jit
def _line(
    by_player: jax.Array, members: jax.Array, bounds: jax.Array, rank: int, absent: int, halvings: int
) -> jax.Array:
    def of_block(block: tuple[jax.Array, jax.Array]) -> jax.Array:
        scores, between = block
        scored = scores[members[:, 0]]
        for place in range(1, members.shape[1]):
            scored = scored + scores[members[:, place]]
        # Who only fills up the last group scores below everybody.
        present = jnp.arange(len(members))[:, None] < len(members) - absent
        grouped = jnp.where(present, scored, between[0] - jnp.int16(1)).reshape(-1, _UNROLL, _BLOCK)

        def halve(_: int, between: jax.Array) -> jax.Array:
            low, high = between
            # Rounded up, and without overflow: the middle is above `low` until both are one.
            middle = (low.astype(jnp.int32) + high + 1 >> 1).astype(jnp.int16)
            below = lax.shift_right_arithmetic(grouped[:, 0] - middle, jnp.int16(15))
            for opponent in range(1, _UNROLL):
                below = below + lax.shift_right_arithmetic(grouped[:, opponent] - middle, jnp.int16(15))
            reached = below.sum(axis=0, dtype=jnp.int16).astype(jnp.int32) + len(members) >= rank
            return jnp.stack([jnp.where(reached, middle, low), jnp.where(reached, high, middle - jnp.int16(1))])

        return lax.fori_loop(0, halvings, halve, between)[0]

    blocks = by_player.reshape(len(by_player), -1, _BLOCK).transpose(1, 0, 2)
    bounds = bounds.reshape(2, -1, _BLOCK).transpose(1, 0, 2)
    return lax.map(of_block, (blocks, bounds)).reshape(-1)
