# pyright: basic
"""The certified bound is never below the share of races in which a lineup reaches the line, and often not far above."""

from itertools import combinations

import jax.numpy as jnp
import numpy as np
import pytest

from meshd.kinds.lineups.sports.exact.bound import Screen, share_at_most
from meshd.kinds.lineups.sports.exact.halves import halves_of
from meshd.kinds.lineups.sports.exact.tensors import TensorSums
from meshd.kinds.lineups.sports.parts import Part

RACES = 2_048
PLAYERS = 12


def drawn(kind: str) -> np.ndarray:
    draw = np.random.default_rng(7)
    size = RACES, PLAYERS
    match kind:
        case "normal":
            found = draw.normal(np.linspace(150, 650, PLAYERS), 120, size)
        case "exponential":
            found = draw.exponential(250, size)
        case "mirrored":
            found = 900 - draw.exponential(250, size)
        case "two points":
            found = np.where(draw.random(size) < np.linspace(0.01, 0.5, PLAYERS), 900, 100)
        case _:
            # One player decides: in one race of twenty, he scores what nobody else does.
            found = np.full(size, 300)
            found[::20, 3] = 1_500
    return found.astype(np.int16)


def screen_of(scores: np.ndarray, lines: np.ndarray) -> tuple[Screen, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return a screen, and rows with their edges and columns with theirs."""
    both = np.concatenate([scores, -lines[:, None]], axis=1).astype(float)
    sums = TensorSums(both.mean(axis=0), float(both[:, :-1].std(axis=0).mean()))
    for first in range(0, RACES, 1_024):
        sums.add(scores[first : first + 1_024], lines[first : first + 1_024])
    halves = halves_of((Part(tuple(range(PLAYERS)), 6),), (), (), scores.sum(axis=0, dtype=np.int64))
    screen = Screen(sums.tensors(), halves.columns.members, halves.columns.edges, np.zeros(PLAYERS + 1, np.int64))
    rows = np.hstack([halves.rows.members, np.full((len(halves.rows.members), 1), PLAYERS)])
    return screen, rows, halves.rows.edges, halves.columns.members, halves.columns.edges


@pytest.mark.parametrize("kind", ["normal", "exponential", "mirrored", "two points", "one decides"])
@pytest.mark.parametrize("share", [0.3, 0.05, 0.01])
@pytest.mark.parametrize("moving", [False, True], ids=["one line", "a line that moves"])
def test_no_lineup_that_reaches_the_line_so_often_is_ruled_out(kind: str, share: float, moving: bool) -> None:
    scores = drawn(kind)
    lineups = np.array(list(combinations(range(PLAYERS), 6)))
    found = scores[:, lineups].sum(axis=2)
    required = round(share * RACES)
    reached = np.sort(found, axis=0)[-required]
    lines = np.full(RACES, np.sort(reached)[-20])
    if moving:
        lines = lines + scores[:, 0] // 2 - int(scores[:, 0].mean()) // 2
    screen, rows, edges, columns, column_edges = screen_of(scores, lines)

    needed = screen.needed(rows, edges, required / RACES, (1 << 30, 0), 1)

    often = {tuple(lineup) for lineup in lineups[(found >= lines[:, None]).sum(axis=0) >= required].tolist()}
    pairs = np.argwhere(needed)
    assert (column_edges[pairs[:, 1]] > edges[pairs[:, 0]]).all()
    kept = {tuple(sorted([*rows[row, :-1].tolist(), *columns[column].tolist()])) for row, column in pairs.tolist()}
    assert often <= kept
    if kind == "normal" and not moving and share > 0.01:
        assert len(kept) < len(lineups) / 2, "and it does rule most of the others out"


def test_the_bound_is_what_the_worst_distribution_with_these_moments_reaches() -> None:
    # The moments of a normal score, and the line two and three standard deviations above its mean.
    moments = [jnp.asarray(moment) for moment in (1.0, 0.0, 3.0)]

    at_most = [float(share_at_most(jnp.asarray(-z), *moments)) for z in (2.0, 3.0)]

    assert at_most == pytest.approx([1 / (1 + 4 + 9 / 2), 1 / (1 + 9 + 64 / 2)], rel=1e-5)


def test_nothing_is_ruled_out_of_a_score_that_never_changes() -> None:
    nothing = jnp.asarray(0.0)

    assert float(share_at_most(jnp.asarray(-1.0), nothing, nothing, nothing)) == 1.0
