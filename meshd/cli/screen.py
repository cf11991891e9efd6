"""What commands print: answers on standard output, everything about the way there on standard error."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click
import msgspec

from meshd.clock import SystemClock
from meshd.logs import escape

if TYPE_CHECKING:
    from rich.text import Text

CUT = frozenset({"NAME"})
"""Columns that lose their end where the screen is narrow."""

BROKEN = frozenset({"LINEUP", "REASON", "CAUSE", "SPEED", "GPU", "STATE"})
"""Columns that break into lines there; all others are short, and whole."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
"""The option that every command takes."""


def say(text: str) -> None:
    """Tell a person something that is not the answer."""
    print(text, file=sys.stderr, flush=True)


def put(text: str) -> None:
    """Print a line of the answer."""
    print(text, flush=True)


def put_json(value: object) -> None:
    """Print the answer as one JSON document."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def put_table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print rows under titles, the columns named in `right` aligned there, as wide as the terminal at most.

    What stands in the rows may come from other devices: nothing in it can move the cursor or set colours.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(
            title, justify="right" if title in right else "left", no_wrap=title not in CUT | BROKEN, overflow="fold"
        )
    for row in rows:
        cells = zip(titles, map(escape, row), strict=True)
        table.add_row(*(_cell(title, cell) for title, cell in cells))
    Console(highlight=False).print(table)


def _cell(title: str, cell: str) -> "Text":
    from rich.text import Text

    return Text(cell, no_wrap=True, overflow="ellipsis") if title in CUT else Text(cell)


def ago(instant: str | None) -> str:
    """Return how long ago an instant of the API was."""
    if instant is None:
        return ""
    try:
        then = datetime.fromisoformat(instant).timestamp()
    except ValueError:
        return escape(instant)
    seconds = max(0, int(SystemClock().wall() - then))
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
