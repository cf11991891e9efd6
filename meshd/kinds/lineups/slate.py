"""A slate: the drivers of one contest, as DraftKings' salary file lists them."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import resources

from meshd.errors import BadInput
from meshd.kinds.lineups.limits import MAX_SLATE_CHARACTERS

_DOWNLOAD_HINT = 'On DraftKings, open the contest, choose "Export to CSV" and send that file unchanged.'

_NEEDED_COLUMNS = ("Position", "Name", "ID", "Salary")


@dataclass(frozen=True, slots=True)
class Driver:
    """One row of a slate."""

    id: str
    name: str
    salary: int
    avg_points: float
    """DraftKings' average points per game; 0 when the driver has none."""


@dataclass(frozen=True, slots=True)
class Slate:
    """The drivers, in the file's order, and the event's name ("" when the file has none)."""

    name: str
    drivers: tuple[Driver, ...]


def sample_slate() -> str:
    """Return the text of a salary file with invented drivers, to try things with."""
    return resources.files("meshd.kinds.lineups").joinpath("sample_slate.csv").read_text(encoding="utf-8")


def parse_slate(text: str) -> Slate:
    """Read a NASCAR salary file as downloaded; a byte-order mark, any line ends and further columns are fine.

    Raises:
        BadInput: it is not such a file; the message says what it is or lacks.
    """
    rows = _rows(text)
    head = next((i for i, row in enumerate(rows) if {"Name", "Salary"} <= set(row)), None)
    if head is None:
        raise _no_header(rows)
    columns = {title: column for column, title in reversed(list(enumerate(rows[head])))}
    lacking = [title for title in _NEEDED_COLUMNS if title not in columns]
    if lacking:
        raise _missing_columns(lacking)
    # The header's line is counted among the non-empty ones, which is what a spreadsheet shows for these files.
    cells = [
        _Row(number, row, columns)
        for number, row in enumerate(rows[head + 1 :], start=head + 2)
        if len(row) > columns["Salary"] and row[columns["Name"]]
    ]
    _refuse_other_games(cells)
    drivers = tuple(
        Driver(id=row["ID"], name=row["Name"], salary=row.salary(), avg_points=row.average()) for row in cells
    )
    return Slate(name=cells[0].get("Game Info") if cells else "", drivers=drivers)


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    values: Sequence[str]
    columns: dict[str, int]

    def __getitem__(self, title: str) -> str:
        return self.values[self.columns[title]]

    def get(self, title: str) -> str:
        column = self.columns.get(title, len(self.values))
        return self.values[column] if column < len(self.values) else ""

    def salary(self) -> int:
        text = self["Salary"]
        match = re.fullmatch(r"\$?(\d{1,3}(?:,\d{3})+|\d{1,9})(?:\.0+)?", text)
        if match is None:
            raise BadInput(
                f"The salary of {self['Name']} (line {self.number}) is {text!r}, not a whole number.",
                field="slate_csv",
                hint=_DOWNLOAD_HINT,
            )
        return int(match.group(1).replace(",", ""))

    def average(self) -> float:
        text = self.get("AvgPointsPerGame")
        if text in {"", "-"}:
            return 0.0
        if re.fullmatch(r"-?\d{1,4}(\.\d{1,12})?", text) is None:
            raise BadInput(
                f"The average points of {self['Name']} (line {self.number}) are {text!r}, not a number.",
                field="slate_csv",
                hint=_DOWNLOAD_HINT,
            )
        return float(text)


def _rows(text: str) -> list[list[str]]:
    if len(text) > MAX_SLATE_CHARACTERS:
        raise BadInput(
            f"The slate has {len(text):,} characters; a salary file has a few thousand.",
            field="slate_csv",
            hint=_DOWNLOAD_HINT,
        )
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise BadInput("The slate is empty.", field="slate_csv", hint=_DOWNLOAD_HINT)
    if "\0" in text:
        raise BadInput(
            "The slate is not a text file.", field="slate_csv", hint="Save a spreadsheet as CSV (UTF-8) first."
        )
    if text.lstrip().startswith("<"):
        table = _TableReader()
        table.feed(text)
        rows = table.rows
    else:
        delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
        try:
            rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
        except csv.Error as error:
            raise BadInput(f"The slate is not a CSV file: {error}.", field="slate_csv", hint=_DOWNLOAD_HINT) from error
    stripped = ([cell.strip() for cell in row] for row in rows)
    return [row for row in stripped if any(row)]


class _TableReader(HTMLParser):
    """Collects the table rows of a page that was saved under a CSV's name."""

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


def _no_header(rows: list[list[str]]) -> BadInput:
    if not rows:
        return BadInput(
            "The slate is a web page without a table, not a salary file.",
            field="slate_csv",
            hint=f"Perhaps the site asked for a login. {_DOWNLOAD_HINT}",
        )
    titles = set(rows[0])
    if "FPPG" in titles:
        return _fanduel()
    if len(titles & {"Position", "Name", "Name + ID", "ID", "Roster Position", "AvgPointsPerGame"}) >= 2:
        return _missing_columns([title for title in _NEEDED_COLUMNS if title not in titles])
    return BadInput(
        "The slate is not a DraftKings salary file: no line has the column titles Name and Salary.",
        field="slate_csv",
        hint=_DOWNLOAD_HINT,
    )


def _missing_columns(lacking: list[str]) -> BadInput:
    columns = "column" if len(lacking) == 1 else "columns"
    return BadInput(f"The slate lacks the {columns} {', '.join(lacking)}.", field="slate_csv", hint=_DOWNLOAD_HINT)


def _fanduel() -> BadInput:
    return BadInput("This is a FanDuel file; only DraftKings slates are read.", field="slate_csv", hint=_DOWNLOAD_HINT)


def _refuse_other_games(rows: Sequence[_Row]) -> None:
    others = sorted({row["Position"] for row in rows} - {"D"})
    if others:
        raise BadInput(
            f"This is not a NASCAR slate: it has the positions {', '.join(others[:6])}, where drivers are D.",
            field="slate_csv",
            hint="Only NASCAR slates are optimized; choose a NASCAR contest and export its file.",
        )
    roles = sorted({row.get("Roster Position") for row in rows} - {"D", ""})
    if roles:
        raise BadInput(
            f"This is not a classic NASCAR slate: it has the roster positions {', '.join(roles[:6])}.",
            field="slate_csv",
            hint="Captain and showdown contests, and Formula 1, are not supported; choose a classic NASCAR contest.",
        )
