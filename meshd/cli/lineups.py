"""The result of a `lineups` job as a table."""

from meshd.cli.screen import put, put_table
from meshd.cli.status import duration
from meshd.client.lineups import Lineups, read, short_names
from meshd.logs import escape
from meshd_protocol.localapi import JobView

SHOWN = 20
"""Rows on one screen."""


def put_lineups(view: JobView, *, most: int = SHOWN) -> None:
    """Print the best lineups of a finished job, how they score, and what is proven about them."""
    found = read(view.result)
    short = short_names(found.players)
    rows = [
        (
            str(rank),
            ", ".join(short.get(identity, name) for identity, name in zip(each.ids, each.names, strict=True)),
            str(each.salary),
            f"{each.mean:.1f}",
            f"{each.p90:.1f}",
        )
        for rank, each in enumerate(found.lineups[:most], start=1)
    ]
    put_table(("#", "LINEUP", "SALARY", "MEAN", "P90"), rows, right=("#", "SALARY", "MEAN", "P90"))
    if len(found.lineups) > most:
        put(f"… and {len(found.lineups) - most} more: meshd show {view.id} --json")
    put(_proof(found, view))


def _proof(found: Lineups, view: JobView) -> str:
    certificate = found.certificate
    what = "exact: the best by" if certificate.exact else "the best found by"
    moved = f", attempt {len(view.attempts)}" if len(view.attempts) > 1 else ""
    return (
        f"{what} {escape(certificate.objective)} of {certificate.lineups_evaluated:,} lineups "
        f"in {certificate.scenarios:,} races\n"
        f"computed on {escape(view.device or found.device)} in {duration(found.duration_s)}{moved}"
    )
