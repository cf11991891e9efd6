# pyright: basic
"""The certified bound: in how many races a lineup can reach the line at most, from four moments of its score.

Let y be the distance of a score from its mean in standard deviations, z that of the line, s the skewness and k the
kurtosis over the races at hand. With the orthogonal polynomials 1, y and y² - s·y - 1, the square of the normalised
reproducing kernel at z is nowhere negative and at least 1 wherever y ≥ z; its mean is

    1 / (1 + z² + (z² - s·z - 1)² / (k - s² - 1)),

so no larger share of the races can reach the line (Chebyshev, Markov, Stieltjes). The moments are those of the very
races that are counted: this is no estimate. For z = 2.3 it says 6% where a normal score has 1%; with two moments alone,
where k is taken out, it says 16%.

Likewise for the points by which a score x beats the line: a parabola or a fourth power that lies above max(0, x)
everywhere, touching it where it costs least. In terms of the mean m and the deviation d of x, the first says
(m + sqrt(m² + d²)) / 2; the second, 27 / 256 a³ times the mean of (x + a)⁴, for any a above 0. For m = -2d they say
0.12 d and 0.03 d, where a normal score has 0.01 d.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from meshd.kinds.lineups.sports.exact.tensors import EXACT, Tensors, half_moments, squared_with_pairs

STRIP = 2_048
"""Columns that are looked at together: with 512 rows, 4 MiB a term."""

SLACK = 0.98
"""A bound of 32-bit floats is off by less than one in a thousand; it has to be below this share of what is required."""

_FLAT = 1e-3
"""Below this spread, in squares of a player's, a score is taken for constant, and nothing is ruled out."""

_CURVED = 0.05
"""With less than this left of the kurtosis the second polynomial is all rounding, and is left out."""


_REACHES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
"""The `a` that are tried, in standard deviations: the best of any is within 3% of the best of these."""


class Screen:
    """Tells which columns a block of rows has to be scored with."""

    def __init__(self, tensors: Tensors, columns: np.ndarray, edges: np.ndarray, salaries: np.ndarray) -> None:
        """Prepare for all columns, [columns, size], highest edges first; `salaries` are the players', the line's 0."""
        self._tensors = tensors
        self._salaries = salaries
        self._edges = edges
        self._strips = [
            self._strip(columns[first : first + STRIP], edges[first : first + STRIP])
            for first in range(0, len(columns), STRIP)
        ]

    def _strip(self, columns: np.ndarray, edges: np.ndarray) -> tuple[jax.Array, ...]:
        missing = STRIP - len(columns)
        columns = np.pad(columns, ((0, missing), (0, 0)))
        half = half_moments(self._tensors, columns)
        size = columns.shape[1]
        pairs = [
            self._tensors.pairs[columns[:, one], columns[:, other]] for one in range(size) for other in range(one, size)
        ]
        return (
            half.mean,
            half.own,
            half.seconds,
            half.thirds,
            jnp.asarray(columns, jnp.int32),
            jnp.asarray(np.stack(pairs, axis=1), jnp.int32),
            jnp.asarray(self._salaries[columns].sum(axis=1), jnp.int32),
            # Nothing fits an edge of -2: padding is never looked at.
            jnp.asarray(np.pad(edges, (0, missing), constant_values=-2), jnp.int32),
        )

    def needed(
        self,
        rows: np.ndarray,
        edges: np.ndarray,
        required: float,
        limits: tuple[int, int],
        tile_rows: int,
        *,
        gains: bool = False,
    ) -> np.ndarray:
        """Return which columns each tile of rows must be scored with, [row tiles, columns].

        `rows` [rows, size] hold the line; `required` is the share of races in which the line has to be reached, or
        with `gains` by how many units it has to be beaten on average, and `limits` are what a lineup may cost at most
        and at least. Rows with an edge above all columns' fit none.
        """
        half = half_moments(self._tensors, rows)
        block = (
            half.holds,
            half.mean,
            half.own,
            half.firsts.T,
            half.seconds.T,
            half.thirds.T,
            squared_with_pairs(self._tensors.fourths, jnp.asarray(self._tensors.pairs), jnp.asarray(rows)),
            jnp.asarray(self._salaries[rows].sum(axis=1), jnp.int32),
            jnp.asarray(edges, jnp.int32),
        )
        bounds = jnp.asarray(limits, jnp.int32)
        share = jnp.float32(SLACK * required / (self._tensors.scale if gains else 1.0))
        found = np.zeros((len(rows) // tile_rows, len(self._edges)), bool)
        stop = int(np.searchsorted(-self._edges, -int(edges.min())))
        strips = self._strips[: -(-stop // STRIP)]
        # All are handed over before the first is waited for.
        masks = [_needed(block, strip, bounds, share, tile_rows, gains) for strip in strips]
        for at, mask in enumerate(masks):
            part = found[:, at * STRIP : (at + 1) * STRIP]
            part[:] = np.asarray(mask).T[:, : part.shape[1]]
        return found


def share_at_most(below: jax.Array, second: jax.Array, third: jax.Array, fourth: jax.Array) -> jax.Array:
    """Return the largest share of races in which a score can reach a line, its mean less the line being `below`.

    The other arguments are the score's central moments; everything has the same unit.
    """
    flat = second < _FLAT
    variance = jnp.where(flat, 1.0, second)
    z = -below / jnp.sqrt(variance)
    skew, kurtosis = third / (variance * jnp.sqrt(variance)), fourth / (variance * variance)
    left = kurtosis - skew * skew - 1
    second_polynomial = z * z - skew * z - 1
    # Only where the kernel, a parabola, rises from the line on: open above, its lowest point before the line.
    rises = (second_polynomial > 0) & (2 * z > skew) & (left > _CURVED)
    kernel = 1 + z * z + jnp.where(rises, second_polynomial * second_polynomial / jnp.where(rises, left, 1.0), 0.0)
    return jnp.where(flat | (z <= 0), 1.0, 1 / kernel)


def gain_at_most(beyond: jax.Array, second: jax.Array, third: jax.Array, fourth: jax.Array) -> jax.Array:
    """Return by how much a score can beat a line on average at most, its mean less the line's being `beyond`."""
    second = jnp.maximum(second, _FLAT)
    deviation = jnp.sqrt(second)
    least = (beyond + jnp.sqrt(second + beyond * beyond)) / 2
    for reach in _REACHES:
        a = reach * deviation
        away = beyond + a
        squared = away * away
        power = fourth + 4 * away * third + 6 * squared * second + squared * squared
        least = jnp.minimum(least, power * (27 / 256) / (a * a * a))
    # Where rounding has left less than what the mean alone gives, it has left nothing to go by.
    return jnp.where(second <= _FLAT, jnp.inf, jnp.maximum(least, beyond))


def _gathered(table: jax.Array, members: jax.Array) -> jax.Array:
    """Return the sums of some rows of a table, [len(members), columns]."""
    found = table[members[:, 0]]
    for place in range(1, members.shape[1]):
        found = found + table[members[:, place]]
    return found


def _needed_of(
    block: tuple, strip: tuple, limits: jax.Array, required: jax.Array, tile_rows: int, gains: bool
) -> jax.Array:
    """Return, [columns, row tiles], where any lineup may reach the line often enough, and is one."""
    holds, mean, own, firsts, seconds, thirds, squared, cost, edge = block
    its_mean, its_own, its_seconds, its_thirds, members, pairs, its_cost, its_edge = strip

    def met(table: jax.Array) -> jax.Array:
        return jnp.matmul(table, holds.T, precision=EXACT)

    # Written out before they are used: XLA would read the tables anew for each use.
    first, second, third, cross, met_second, met_third = lax.optimization_barrier(
        (
            _gathered(firsts, members),
            _gathered(seconds, members),
            _gathered(thirds, members),
            _gathered(squared, pairs),
            met(its_seconds),
            met(its_thirds),
        )
    )
    at_most = (gain_at_most if gains else share_at_most)(
        its_mean[:, None] + mean,
        its_own[0][:, None] + own[0] + 2 * first,
        its_own[1][:, None] + own[1] + 3 * (second + met_second),
        its_own[2][:, None] + own[2] + 4 * (third + met_third) + 6 * cross,
    )
    total = its_cost[:, None] + cost
    wanted = (at_most >= required) & (total <= limits[0]) & (total >= limits[1]) & (its_edge[:, None] > edge)
    return wanted.reshape(len(total), -1, tile_rows).any(axis=2)


_needed = jax.jit(_needed_of, static_argnums=(4, 5))
