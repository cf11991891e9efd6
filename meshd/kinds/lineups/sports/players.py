"""Players of a slate, as the rows of the sites' salary files tell them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshd.errors import BadInput
from meshd.kinds.lineups.limits import MAX_COLUMNS, MAX_SALARY
from meshd.kinds.lineups.scenarios.scoring import UNITS_PER_POINT
from meshd.kinds.lineups.sports.parts import Part
from meshd.kinds.lineups.sports.roster import PERCENT, Column, Roster

Row = Mapping[str, str]
"""A line of the file, by column."""

_OUT = {"O", "OUT", "IR", "NA"}
"""FanDuel's marks of players who will not play: out, injured reserve, not active."""

_WHEN = re.compile(r"\s+\d{1,2}[/:].*$")
"""DraftKings puts date and time behind the game."""


@dataclass(frozen=True, slots=True)
class Player:
    """One row of a slate."""

    id: str
    name: str
    positions: tuple[str, ...]
    salary: int
    team: str
    game: str
    """Both opponents, for example `LAL@PHO`; "" where nobody plays against each other."""

    average: int
    """The site's average, in units of 0.05 points; 0 when there is none."""

    is_out: bool = False
    """Whether the file says that he will not play."""


_TITLES: Mapping[str, tuple[str, ...]] = {
    "name": ("Name", "Nickname"),
    "id": ("ID", "Id"),
    "salary": ("Salary",),
    "team": ("TeamAbbrev", "teamAbbrev", "Team"),
    "game": ("Game Info", "GameInfo", "Game"),
    "average": ("AvgPointsPerGame", "FPPG"),
    "injury": ("Injury Indicator",),
}
"""What the sites call their columns; older files write some of them otherwise."""


def players_of(roster: Roster, rows: Iterable[Row]) -> tuple[Player, ...]:
    """Return the players of a site's file, in its order.

    Raises:
        BadInput: a column is missing, a salary is no number, or the file is one of another sport.
    """
    players = tuple(_player(roster, row, number) for number, row in enumerate(rows, start=2))
    if len(players) > MAX_COLUMNS:
        raise BadInput(
            f"The file has {len(players):,} players; {MAX_COLUMNS:,} is the most.",
            field="slate_csv",
            hint="Use the file of one contest.",
        )
    known = {position for slot in roster.slots for position in slot.eligible}
    if players and not any(known & set(player.positions) for player in players):
        found = sorted({position for player in players for position in player.positions})[:8]
        raise BadInput(
            f"Nobody in the file plays {', '.join(sorted(known))}: its positions are {', '.join(found)}.",
            field="slate_csv",
            hint=f"Use a {roster.site} file of {roster.sport}, or name the sport that it is of.",
        )
    return players


def _player(roster: Roster, row: Row, number: int) -> Player:
    name = _cell(row, "name") or f"{row.get('First Name', '')} {row.get('Last Name', '')}".strip()
    positions = row.get(roster.positions_from, row.get("Position"))
    lacking = [
        title
        for title, found in (("Name", name), (roster.positions_from, positions), ("Salary", _cell(row, "salary")))
        if found is None
    ]
    if lacking or positions is None or not name:
        raise BadInput(
            f"Line {number} of the salary file has no {', '.join(lacking) or 'Name'}.",
            field="slate_csv",
            hint="Send the file as the site's export made it.",
        )
    game = _WHEN.sub("", _cell(row, "game") or "").strip()
    return Player(
        id=_cell(row, "id") or name,
        name=name.strip(),
        positions=tuple(position.strip() for position in positions.split("/") if position.strip()),
        salary=_salary(_cell(row, "salary") or "", name),
        team=(_cell(row, "team") or "").strip(),
        game=game if "@" in game or " vs" in game else "",
        average=_average(_cell(row, "average") or "", name),
        is_out=(_cell(row, "injury") or "").strip().upper() in _OUT,
    )


def _cell(row: Row, what: str) -> str | None:
    return next((row[title] for title in _TITLES[what] if title in row), None)


def _salary(text: str, name: str) -> int:
    match = re.fullmatch(r"\$?(\d{1,3}(?:,\d{3})+|\d{1,9})(?:\.0+)?", text.strip())
    salary = int(match.group(1).replace(",", "")) if match else -1
    if not 0 <= salary <= MAX_SALARY:
        raise BadInput(
            f"The salary of {name} is {text!r}, not a whole number up to {MAX_SALARY:,}.",
            field="slate_csv",
            hint="Send the file as the site's export made it.",
        )
    return salary


def _average(text: str, name: str) -> int:
    if text.strip() in {"", "-"}:
        return 0
    if re.fullmatch(r"-?\d{1,4}(\.\d{1,20})?", text.strip()) is None:
        raise BadInput(f"The average points of {name} are {text!r}, not a number.", field="slate_csv")
    return round(float(text) * UNITS_PER_POINT)


def columns_of(roster: Roster, players: tuple[Player, ...]) -> tuple[Column, ...]:
    """Return what lineups of an exact sport are chosen from: each player once for each kind of slot that he can fill.

    Players who are out have columns, too; whoever makes the task excludes them.
    """
    return tuple(
        Column(number, at, player.salary * slot.salary_percent // PERCENT, slot.points_percent)
        for at, slot in enumerate(roster.slots)
        for number, player in enumerate(players)
        if set(player.positions) & set(slot.eligible)
    )


def parts_of(roster: Roster, columns: tuple[Column, ...]) -> tuple[Part, ...]:
    """Return the parts of a lineup of an exact sport, one for each slot."""
    return tuple(
        Part(tuple(number for number, column in enumerate(columns) if column.slot == at), slot.count)
        for at, slot in enumerate(roster.slots)
    )


def clashes_of(
    roster: Roster, players: tuple[Player, ...], columns: tuple[Column, ...]
) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Return sets of columns, and of each how many a lineup may hold at most, beyond what the parts say."""
    found: dict[tuple[str, str], tuple[list[int], int]] = {}

    def add(kind: str, whose: str, column: int, most: int | None) -> None:
        if most is not None and whose:
            found.setdefault((kind, whose), ([], most))[0].append(column)

    for number, column in enumerate(columns):
        player = players[column.player]
        # A captain listed on a row of his own has another id, but he is the same man.
        add("person", f"{player.name}\0{player.team}", number, 1)
        add("game", player.game, number, roster.most_of_game)
        if not set(player.positions) & set(roster.not_of_team):
            add("team", player.team, number, roster.most_of_team)
    return tuple((tuple(some), most) for some, most in found.values() if len(some) > most)
