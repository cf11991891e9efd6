"""Salary files: the players of one contest, as DraftKings and FanDuel list them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from meshd.errors import BadInput
from meshd.kinds.lineups.input.players import Player
from meshd.kinds.lineups.input.table import Row, Source, points_in, read_cells, table_below

_HINT = (
    'On the site, open the contest, choose "Export to CSV" or "Download players list", and send that file unchanged.'
)

SOURCE = Source("The slate", "slate_csv", _HINT)

_NO_VALUE = frozenset({"", "-", "--"})

OUT = frozenset({"O", "OUT", "IR", "NA"})
"""What an injury indicator says of those who do not take part."""


@dataclass(frozen=True, slots=True)
class _Format:
    """How one site titles its columns."""

    site: str
    id: str
    name: str
    average: str
    own: frozenset[str]
    """Titles that no other site has."""

    @property
    def needed(self) -> tuple[str, ...]:
        return "Position", self.name, self.id, "Salary"


_FORMATS = (
    _Format("draftkings", "ID", "Name", "AvgPointsPerGame", frozenset({"Name + ID", "AvgPointsPerGame", "ID"})),
    _Format("fanduel", "Id", "Nickname", "FPPG", frozenset({"Nickname", "FPPG", "Id"})),
)

SITE_NAMES = MappingProxyType({"draftkings": "DraftKings", "fanduel": "FanDuel"})


@dataclass(frozen=True, slots=True)
class Slate:
    """What a salary file tells."""

    site: str
    name: str
    """The event's name ("" when the file has none)."""

    positions: frozenset[str]
    roles: frozenset[str]
    """What the file calls roster positions, where it has such a column."""

    players: tuple[Player, ...]
    """In the file's order; one may be there twice."""

    withdrawn: tuple[str, ...]
    """Names of those whom the file says to be out."""

    rows: tuple[Row, ...] = field(default=(), compare=False)
    """The lines that the players were read from, in the same order, with all that sports with rosters ask of them."""


def read_salaries(text: str) -> Slate:
    """Read a salary file as downloaded; a byte-order mark, any line ends and further columns are fine.

    Raises:
        BadInput: it is not such a file; the message says what it is or lacks.
    """
    cells = read_cells(text, SOURCE)
    head, form = _head(cells)
    rows = [row for row in table_below(cells, head) if row.get("Salary") or row.get(form.name)]
    _refuse_second_table(rows)
    players = tuple(_player(row, form) for row in rows)
    if not players:
        raise SOURCE.refuse("The slate has a line of titles and no players.")
    return Slate(
        site=form.site,
        name=_event(rows, form),
        positions=frozenset(row.get("Position") for row in rows),
        roles=frozenset(role for row in rows if (role := row.get("Roster Position"))),
        players=players,
        withdrawn=tuple(player.name for player in players if player.withdrawn),
        rows=tuple(rows),
    )


def _head(cells: list[list[str]]) -> tuple[int, _Format]:
    """Return the line with the titles, and whose they are."""
    best: tuple[int, int, _Format] | None = None
    for at, line in enumerate(cells):
        titles = set(line)
        for form in _FORMATS:
            lacking = [title for title in form.needed if title not in titles]
            if not lacking:
                return at, form
            # What lacks a column is named by the titles that it has.
            known = len(titles & {*form.needed, *form.own, "Roster Position", "Injury Indicator"})
            if known >= 2 and (best is None or known > best[0]):
                best = known, at, form
    if best is None and cells[0][0].casefold().replace("_", " ") == "entry id":
        raise SOURCE.refuse(
            "The slate lists entries, and no players.",
            hint="Send the salary file as slate_csv, and this one as entries_csv (--entries).",
        )
    if best is None:
        raise SOURCE.refuse(
            "The slate is not a salary file of DraftKings or FanDuel: no line has the column titles Name and Salary."
        )
    _, at, form = best
    lacking = [title for title in form.needed if title not in cells[at]]
    columns = "column" if len(lacking) == 1 else "columns"
    raise SOURCE.refuse(f"The slate lacks the {columns} {', '.join(lacking)} of a {SITE_NAMES[form.site]} file.")


def _refuse_second_table(rows: Sequence[Row]) -> None:
    """Refuse two files in one: of two contests, or of two sites."""
    for row in rows:
        if any(set(form.needed) <= set(row.cells) for form in _FORMATS):
            raise SOURCE.refuse(
                f"Line {row.number} of the slate has column titles once more: the file holds more than one slate.",
                hint="Send the file of one contest, unchanged.",
            )


def _event(rows: Sequence[Row], form: _Format) -> str:
    return rows[0].get("Game Info" if form.site == "draftkings" else "Game")


def _player(row: Row, form: _Format) -> Player:
    name, identity = row.get(form.name), row.get(form.id)
    if not name:
        raise SOURCE.refuse(f"Line {row.number} of the slate has no name.")
    if not identity:
        raise SOURCE.refuse(f"{name} (line {row.number}) has no ID.")
    if not row.get("Position"):
        raise SOURCE.refuse(f"{name} (line {row.number}) has no position.")
    average = row.get(form.average)
    return Player(
        id=identity,
        name=name,
        salary=_salary(row, name),
        avg_points=0.0 if average in _NO_VALUE else points_in(average, row, name, "average of points", SOURCE),
        team=row.get("TeamAbbrev" if form.site == "draftkings" else "Team"),
        withdrawn=row.get("Injury Indicator").upper() in OUT,
    )


def _salary(row: Row, name: str) -> int:
    text = row.get("Salary")
    match = re.fullmatch(r"\$?(\d{1,3}(?:,\d{3})+|\d{1,9})(?:\.0+)?", text)
    if match is None:
        raise SOURCE.refuse(f"The salary of {name} (line {row.number}) is {text[:40]!r}, not a whole number.")
    salary = int(match.group(1).replace(",", ""))
    if salary == 0:
        raise SOURCE.refuse(f"The salary of {name} (line {row.number}) is 0; everybody on a slate costs something.")
    return salary


def refuse_other_sport(slate: Slate, sport: str, roster_size: int) -> BadInput:
    """Return what is said of a file that is not one of the sport."""
    positions = ", ".join(sorted(slate.positions)[:6])
    roles = ", ".join(sorted(slate.roles)[:6])
    return SOURCE.refuse(
        f"This is not a classic {sport.upper()} slate: it has the positions {positions}"
        + (f" and the roster positions {roles}." if roles else "."),
        hint=f"Choose a {sport.upper()} contest of {roster_size} players without a captain, and export its file.",
    )
