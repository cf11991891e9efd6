"""The field: lineups as opponents would enter them, drawn player by player from whole-number weights.

Every device has to draw the same opponents, so weights are made with decimal arithmetic, which is exact to the last
digit everywhere, and draws compare whole numbers only.
"""

from collections.abc import Sequence
from decimal import Context, Decimal

import msgspec
import numpy as np
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.quantiles import races_required
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT

WEIGHT = 1 << 20
"""The weight of the most popular player: a player a millionth as popular is never drawn."""

_DRAWN_AT_ONCE = 1 << 15
_MOST_DRAWS = 64
"""Batches of draws before the field is given up: 2 million lineups, of which a usual slate keeps every tenth."""

_DIGITS = Context(prec=28)


class Field(msgspec.Struct, frozen=True, tag="field"):
    """Who else takes part."""

    weights: tuple[int, ...]
    """How often each player is drawn, in relation to the others; 0 for one that nobody takes."""

    opponents: int
    quantile: int
    """The share of the field to beat, in thousandths of a percent: 99,000 for the top percent."""

    seed: int
    cap: int | None = None
    floor: int = 0
    """Opponents spend no less: people use up their salary."""

    @property
    def rank(self) -> int:
        """Which opponent has to be beaten, counted from the best."""
        return races_required(self.opponents, self.quantile)


def weights_from_means(sums: Sequence[int], races: int, temperature: float) -> tuple[int, ...]:
    """Return weights that grow e-fold with every `temperature` points of a player's mean."""
    scale = Decimal(races * UNITS_PER_POINT) * Decimal(repr(temperature))
    best = max(sums)
    return tuple(
        int(_DIGITS.multiply(_DIGITS.exp(_DIGITS.divide(Decimal(total - best), scale)), Decimal(WEIGHT)))
        for total in sums
    )


def weights_from_ownership(shares: Sequence[float]) -> tuple[int, ...]:
    """Return weights from the shares of lineups that hold each player."""
    most = max(shares, default=0.0)
    if not most > 0.0:
        raise BadInput("Nobody is owned by anybody.", field="ownership", hint="Give shares above 0, or none at all.")
    return tuple(int(Decimal(repr(share)) / Decimal(repr(most)) * WEIGHT) for share in shares)


def draw_field(field: Field, salaries: Sequence[int], size: int) -> NDArray[np.int64]:
    """Return the opponents' lineups, [opponents, size] ascending players.

    Raises:
        BadInput: hardly any lineup drawn keeps the salary bounds.
    """
    shelves = np.cumsum(np.array(field.weights, np.uint64))
    total = np.uint64(shelves[-1])
    costs = np.array(salaries, np.int64)
    bits = np.random.Philox(key=np.array([field.seed, _KEY], np.uint64))
    found: list[NDArray[np.int64]] = []
    missing = field.opponents
    for _ in range(_MOST_DRAWS):
        # A 32-bit number times the total, without its low half: uniform but for one part in 250.
        words = bits.random_raw(_DRAWN_AT_ONCE * size) >> np.uint64(32)
        places: NDArray[np.int64] = np.searchsorted(shelves, (words * total) >> np.uint64(32), side="right")
        drawn = np.sort(places.reshape(-1, size), axis=1)
        spent = costs[drawn].sum(axis=1)
        keep = (drawn[:, 1:] > drawn[:, :-1]).all(axis=1) & (spent >= field.floor)
        if field.cap is not None:
            keep &= spent <= field.cap
        found.append(drawn[keep][:missing])
        missing -= len(found[-1])
        if not missing:
            return np.concatenate(found)
    raise BadInput(
        f"Of {_MOST_DRAWS * _DRAWN_AT_ONCE:,} lineups drawn for the field, {field.opponents - missing:,} fit.",
        field="field",
        hint="Lower the salary that opponents spend at least, or raise the field's temperature.",
    )


_KEY = (1 << 64) - 1
"""Where chunks of races have their number: no chunk has this one."""
