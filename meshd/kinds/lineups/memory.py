"""How much memory a job takes at least: what the daemon refuses a limit by that is below it.

Tables are not counted in: a pass makes them as small as it must. The figures are peaks that were measured on slates of
36 to 48 drivers, of 89 golfers and of 266 players of basketball, rounded up.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups.engine.limits import ANNEALED_POOL, LEFT_OVER
from meshd.kinds.lineups.input.fields import members, refuse_unknown, whole_number
from meshd.kinds.lineups.limits import MAX_MEMORY_MB, MOST_SCREENED

MIB = 1 << 20

_WORKER = 420 * MIB
"""A worker with JAX and the compiled code of a pass."""

_A_LINEUP: Mapping[str, int] = MappingProxyType(
    {"mean": 30, "quantile": 48, "p_beat": 40, "p_top_field": 40, "portfolio_cover": 70, "portfolio_emax": 150}
)
"""Bytes: what planning has at once, and what is kept of the passes before."""

_POOL = 288 * MIB
"""Candidates of a portfolio with what they score: `POOL_BYTES`, and what it is made of."""

_HISTOGRAM, _HISTOGRAMS = 64 * MIB, 420 * MIB
"""Scores of candidates, or of the many that are looked at where those that are chosen have to differ."""


_CHAINS = 96 * MIB
"""The compiled code of chains or of a search, and their tables."""

_CHOSEN_AMONG = ANNEALED_POOL + LEFT_OVER
"""Lineups of a portfolio whose scores are at hand together."""


def least_memory(kind: str, *, lineups: int, scenarios: int, plain: bool) -> int:
    """Return the bytes that a job with an objective of this kind takes at least; `plain` as in `work_of`."""
    pool = histograms = 0
    if kind in {"portfolio_cover", "portfolio_emax"}:
        # A race is a bit of a candidate, or a score of it.
        pool = min(_POOL, lineups * scenarios // (8 if kind == "portfolio_cover" else 1) * 2)
    if kind == "quantile":
        histograms = _HISTOGRAM if plain else _HISTOGRAMS
    return _WORKER + _A_LINEUP[kind] * lineups + pool + histograms


def least_memory_of_roster(kind: str, *, is_exact: bool, players: int, scenarios: int) -> int:
    """Return the bytes that a job of a sport with rosters takes at least, whose lineups are all looked at or not."""
    if is_exact and kind == "mean":
        return _WORKER
    least = _WORKER + _CHAINS
    if kind == "quantile":
        least += _HISTOGRAMS
    if is_exact:
        # All races with their lines, and products of four players: here, and as the device counts them.
        least += 2 * scenarios * (2 * players + 4)
        if players < MOST_SCREENED:
            pairs = (players + 1) * (players + 2) // 2
            least += 2 * 4 * pairs * pairs
    if kind == "portfolio_cover":
        least += _CHOSEN_AMONG * scenarios // 8
    elif kind == "portfolio_emax":
        least += 3 * min(_POOL, _CHOSEN_AMONG * scenarios)
    return least


def memory_limit(spec: Document, least: Callable[[], int], *, instead: str) -> int | None:
    """Return the most that a job may hold, in MB, None where the device decides; `least` is what it takes, in bytes.

    `instead` is what makes it take less.

    Raises:
        BadInput: it is not a number, or too little; the sentence says what the job takes.
    """
    limits = members(spec.get("limits"), field="limits")
    refuse_unknown(limits, ("memory_mb",), " in limits")
    if limits.get("memory_mb") is None:
        return None
    limit = whole_number(limits["memory_mb"], 1, MAX_MEMORY_MB, field="limits.memory_mb", what="memory_mb")
    needed = -(-least() // MIB)
    if limit < needed:
        raise BadInput(
            f"The job takes at least {needed:,} MB of memory; its limit is {limit:,}.",
            field="limits.memory_mb",
            hint=f"Allow {needed:,} or more, {instead}, or leave the limit out.",
        )
    return limit
