"""The field: lineups as opponents would enter them, drawn player by player from whole-number weights.

Every device has to draw the same opponents, so weights are made with decimal arithmetic, which is exact to the last
digit everywhere, and draws compare whole numbers only.
"""

from collections.abc import Callable, Sequence
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

_WITH_PLACES = 4
"""So many times as many where places differ: of ten in baseball, two are often one man."""

_TRIES = 16
"""Times that a place is drawn for: with a favourite whom two thirds take, one lineup in a thousand has him twice."""

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


def draw_field(
    field: Field,
    salaries: Sequence[int],
    size: int,
    *,
    places: Sequence[Sequence[int]] = (),
    keeps: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None,
) -> NDArray[np.int64]:
    """Return the opponents' lineups, [opponents, size] ascending players.

    `places` tell who can be in each place of a lineup, where not everybody can be in all of them, and `keeps` which
    of the lineups drawn are any.

    Raises:
        BadInput: hardly any lineup drawn keeps the salary bounds.
    """
    all_weights = np.array(field.weights, np.uint64)
    shelves = [np.cumsum(all_weights)] * size
    if places:
        here = [np.isin(np.arange(len(all_weights)), some) for some in places]
        shelves = [np.cumsum(np.where(some, all_weights, np.uint64(0))) for some in here]
    if not all(int(shelf[-1]) for shelf in shelves):
        raise BadInput(
            "Nobody whom opponents take can fill one of the places.", field="ownership", hint="Give more shares."
        )
    costs = np.array(salaries, np.int64)
    bits = np.random.Philox(key=np.array([field.seed, _KEY], np.uint64))
    found: list[NDArray[np.int64]] = []
    missing = field.opponents
    batches = _MOST_DRAWS * (_WITH_PLACES if places else 1)
    for _ in range(batches):
        # A 32-bit number times the total, without its low half: uniform but for one part in 250.
        drawn = np.sort(_drawn(bits, shelves, again=_TRIES if places else 0), axis=1)
        spent = costs[drawn].sum(axis=1)
        keep = (drawn[:, 1:] > drawn[:, :-1]).all(axis=1) & (spent >= field.floor)
        if field.cap is not None:
            keep &= spent <= field.cap
        if keeps is not None:
            keep[keep] = keeps(drawn[keep])
        found.append(drawn[keep][:missing])
        missing -= len(found[-1])
        if not missing:
            return np.concatenate(found)
    raise BadInput(
        f"Of {batches * _DRAWN_AT_ONCE:,} lineups drawn for the field, {field.opponents - missing:,} fit.",
        field="field",
        hint="Lower the salary that opponents spend at least, or raise the field's temperature.",
    )


def _drawn(bits: np.random.Philox, shelves: Sequence[NDArray[np.uint64]], *, again: int) -> NDArray[np.int64]:
    """Return many lineups, place after place; who is in a lineup already is drawn `again` so often, but no more."""
    size = len(shelves)
    # A 32-bit number times the total, without its low half: uniform but for one part in 250.
    words = (bits.random_raw(_DRAWN_AT_ONCE * size) >> np.uint64(32)).reshape(-1, size)
    found = np.empty(words.shape, np.int64)
    for place, shelf in enumerate(shelves):
        found[:, place] = np.searchsorted(shelf, (words[:, place] * shelf[-1]) >> np.uint64(32), side="right")
        for _ in range(again):
            rows = np.flatnonzero((found[:, :place] == found[:, place, None]).any(axis=1))
            if not len(rows):
                break
            fresh = bits.random_raw(len(rows)) >> np.uint64(32)
            found[rows, place] = np.searchsorted(shelf, (fresh * shelf[-1]) >> np.uint64(32), side="right")
    return found


_KEY = (1 << 64) - 1
"""Where chunks of races have their number: no chunk has this one."""
