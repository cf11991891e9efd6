"""How much memory a job takes at least: what the daemon refuses a limit by that is below it.

Tables are not counted in: a pass makes them as small as it must. The figures are peaks that were measured on slates of
36 to 48 drivers, rounded up.
"""

from collections.abc import Mapping
from types import MappingProxyType

from meshd.errors import BadInput

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


def least_memory(kind: str, *, lineups: int, scenarios: int, plain: bool) -> int:
    """Return the bytes that a job with an objective of this kind takes at least; `plain` as in `work_of`."""
    pool = histograms = 0
    if kind in {"portfolio_cover", "portfolio_emax"}:
        # A race is a bit of a candidate, or a score of it.
        pool = min(_POOL, lineups * scenarios // (8 if kind == "portfolio_cover" else 1) * 2)
    if kind == "quantile":
        histograms = _HISTOGRAM if plain else _HISTOGRAMS
    return _WORKER + _A_LINEUP[kind] * lineups + pool + histograms


def refuse_too_little(limit_mb: int, least: int) -> None:
    """Refuse a limit that a job cannot keep.

    Raises:
        BadInput: the sentence says what it takes.
    """
    needed = -(-least // MIB)
    if limit_mb < needed:
        raise BadInput(
            f"The job takes at least {needed:,} MB of memory; its limit is {limit_mb:,}.",
            field="limits.memory_mb",
            hint=f"Allow {needed:,} or more, lock or exclude players, or leave the limit out.",
        )
