"""The result of a `lineups` job as a table."""

from collections import Counter

from meshd.cli.screen import put, put_table
from meshd.cli.status import duration
from meshd.client.lineups import Certificate, Entries, Lineup, Lineups, Portfolio, read, short_names
from meshd.logs import escape
from meshd_protocol.localapi import JobView

SHOWN = 20
"""Rows on one screen."""

MOST_EXPOSED = 5
"""Players whose share of the lineups is told."""


def put_lineups(view: JobView, *, most: int = SHOWN) -> None:
    """Print the best lineups of a finished job, how they score, and what is proven about them."""
    found = read(view.result)
    short = short_names(found.players)
    columns = _columns(found)
    rows = [
        (
            str(rank),
            ", ".join(short.get(identity, name) for identity, name in zip(each.ids, each.names, strict=True)),
            str(each.salary),
            f"{each.mean:.1f}",
            f"{each.p90:.1f}",
            *(cells(each) for cells in columns.values()),
        )
        for rank, each in enumerate(found.lineups[:most], start=1)
    ]
    titles = ("#", "LINEUP", "SALARY", "MEAN", "P90", *columns)
    put_table(titles, rows, right=[title for title in titles if title != "LINEUP"])
    if len(found.lineups) > most:
        put(f"… and {len(found.lineups) - most} more: meshd show {view.id} --json")
    put(_proof(found, view))
    if found.portfolio is not None:
        put(_together(found.portfolio, short, found.contests))
    if found.entries is not None:
        put(_became(found.entries))
    if found.infeasible is not None:
        put(escape(f"{found.infeasible.message} {found.infeasible.hint}".strip()))
    for notice in found.notices:
        put(f"note: {escape(notice)}")


def _became(entries: Entries) -> str:
    """Return how many entries were filled, changed, kept, or could not be changed."""
    counts = Counter(row.became for row in entries.rows)
    told = ", ".join(f"{counts[became]} {became}" for became in ("filled", "changed", "kept") if counts[became])
    left = f"; {counts['left']} could not be changed" if counts["left"] else ""
    return f"entries: {told or 'none filled'}{left}"


class _Win:
    """The chance of reaching the line, in fresh races."""

    def __call__(self, each: Lineup) -> str:
        chance = each.p_win if each.holdout is None else each.holdout.p_win
        return "" if chance is None else f"{chance:.2%}"


class _Gain:
    """What a lineup adds to those before it."""

    def __init__(self, shares: bool) -> None:
        self._shares = shares

    def __call__(self, each: Lineup) -> str:
        if each.gain is None:
            return ""
        return f"{each.gain:.2%}" if self._shares else f"{each.gain:.2f}"


def _columns(found: Lineups) -> dict[str, _Win | _Gain]:
    columns: dict[str, _Win | _Gain] = {}
    wins = any(each.holdout is not None and each.holdout.p_win is not None for each in found.lineups)
    if wins:
        columns["WINS"] = _Win()
    if any(each.gain is not None for each in found.lineups):
        columns["ADDS"] = _Gain(shares=wins)
    return columns


def _proof(found: Lineups, view: JobView) -> str:
    moved = f", attempt {len(view.attempts)}" if len(view.attempts) > 1 else ""
    return (
        f"{_claim(found.certificate)} in {found.certificate.scenarios:,} {found.contests}\n"
        f"computed on {escape(view.device or found.device)} in {duration(found.duration_s)}{moved}"
    )


def _claim(certificate: Certificate) -> str:
    """Return what is claimed of the lineups, and why."""
    by = escape(certificate.objective)
    if not certificate.exact:
        claim = f"not proven: the best by {by} that {certificate.lineups_evaluated:,} chains found"
        if certificate.gap is not None:
            below = f"at most {certificate.gap:.3%} below what is" if certificate.gap else "the best,"
            claim += f",\nthe first one {below} proven by a solver,"
        return claim
    if not certificate.lineups_evaluated:
        return f"exact: the best by {by}, proven by a solver,"
    what = "exact: the best by"
    if certificate.greedy:
        what = f"exact: each adds {'' if certificate.every_choice_proven else 'nearly '}most to those before it,\nby"
    return f"{what} {by} of {certificate.lineups_evaluated:,} lineups"


def _together(portfolio: Portfolio, short: dict[str, str], contests: str) -> str:
    def shown(value: float) -> str:
        return f"{value:.2%}" if portfolio.what.startswith("share") else f"{value:.1f}"

    error = portfolio.holdout_objective_se
    within = (
        "" if error is None else f" ± {100 * error:.2f}" if portfolio.what.startswith("share") else f" ± {error:.1f}"
    )
    exposed = sorted(portfolio.exposure.items(), key=lambda item: (-item[1], item[0]))[:MOST_EXPOSED]
    told = ", ".join(f"{escape(short.get(identity, identity))} {share:.0%}" for identity, share in exposed)
    return (
        f"{escape(portfolio.what)}:\n"
        f"{shown(portfolio.holdout_objective)}{within} in {portfolio.holdout_races:,} fresh {contests}, "
        f"{shown(portfolio.objective)} in those that chose\n"
        f"most used: {told}"
    )
