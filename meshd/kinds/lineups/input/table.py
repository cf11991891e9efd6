"""A table as a site, a browser or a spreadsheet saves it: comma, semicolon or tab, or a web page under a CSV's name."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

from meshd.errors import BadInput
from meshd.kinds.lineups.limits import MAX_SLATE_CHARACTERS


@dataclass(frozen=True, slots=True)
class Source:
    """What a file is called when there is something to say about it."""

    what: str
    """At the beginning of a sentence: `The slate`."""

    field: str
    hint: str

    def refuse(self, message: str, *, hint: str = "") -> BadInput:
        """Return the error that says it."""
        return BadInput(message, field=self.field, hint=hint or self.hint)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, with its cells by their column's title."""

    number: int
    """As a spreadsheet counts, empty lines left out."""

    cells: Sequence[str]
    columns: Mapping[str, int]

    def get(self, title: str) -> str:
        """Return the cell of a column; nothing where there is none."""
        column = self.columns.get(title, len(self.cells))
        return self.cells[column] if column < len(self.cells) else ""

    @property
    def by_title(self) -> dict[str, str]:
        """All cells by their column's title."""
        return {title: self.get(title) for title in self.columns}


def read_cells(text: str, source: Source) -> list[list[str]]:
    """Return the cells of every line that is not empty, without spaces around them.

    A byte-order mark, any line ends, and an HTML table in the place of a CSV are fine.

    Raises:
        BadInput: it is no table.
    """
    if len(text) > MAX_SLATE_CHARACTERS:
        raise source.refuse(f"{source.what} has {len(text):,} characters; such a file has a few thousand.")
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise source.refuse(f"{source.what} is empty.")
    if "\0" in text:
        raise source.refuse(f"{source.what} is not a text file.", hint="Save a spreadsheet as CSV (UTF-8) first.")
    if text.lstrip().startswith("<"):
        page = _Page()
        page.feed(text)
        rows = page.rows
        if not rows:
            raise source.refuse(
                f"{source.what} is a web page without a table, not a CSV file.",
                hint=f"Perhaps the site asked for a login. {source.hint}",
            )
    else:
        delimiter = max(",;\t", key=text.lstrip().split("\n", 1)[0].count)
        try:
            rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
        except csv.Error as error:
            raise source.refuse(f"{source.what} is not a CSV file: {error}.") from error
    stripped = ([cell.strip() for cell in row] for row in rows)
    found = [row for row in stripped if any(row)]
    if not found:
        raise source.refuse(f"{source.what} is empty.")
    return found


def table_below(cells: list[list[str]], head: int) -> list[Row]:
    """Return the lines below line `head`, which has the titles; of two columns with one title, the first counts."""
    columns = {title: column for column, title in reversed(list(enumerate(cells[head])))}
    return [Row(number, line, columns) for number, line in enumerate(cells[head + 1 :], start=head + 2)]


def points_in(cell: str, row: Row, whose: str, what: str, source: Source) -> float:
    """Return a number of points as a file writes it.

    Raises:
        BadInput: it is not one; `nan` and `inf` are none.
    """
    if re.fullmatch(r"[-+]?(\d{1,5}(\.\d{0,30})?|\.\d{1,30})", cell) is None:
        raise source.refuse(f"The {what} of {whose} (line {row.number}) is {cell[:40]!r}, not a number.")
    return float(cell)


class _Page(HTMLParser):
    """Collects the lines of the tables of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data
