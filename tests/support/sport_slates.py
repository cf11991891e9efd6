"""Invented slates of other sports, in the sites' own columns."""

import csv
import io
from collections.abc import Sequence

from meshd.kinds.lineups.sports.players import Player, Row, players_of
from meshd.kinds.lineups.sports.roster import Roster, roster_of

TEAMS = ("ATL", "BOS", "CHI", "DAL", "DEN", "LAL", "MIA", "PHO")

_BASKETBALL = ("PG", "SG", "SF", "PF", "C", "PG/SG", "SF/PF", "PF/C")


def basketball(players: int, teams: int = 8) -> tuple[Roster, tuple[Player, ...]]:
    """Return DraftKings' roster and a slate whose salaries follow the averages, not too closely."""
    rows = [basketball_row(number, teams) for number in range(players)]
    roster = roster_of("draftkings", "nba")
    return roster, players_of(roster, rows)


def basketball_row(number: int, teams: int = 8) -> Row:
    """Return one line of a salary file."""
    team = number * 5 % teams
    home, away = TEAMS[team // 2 * 2], TEAMS[team // 2 * 2 + 1]
    average = 4 + (number * 73 % 101) ** 2 / 220
    return {
        "Position": _BASKETBALL[number * 11 % len(_BASKETBALL)],
        "Name": f"Player {number}",
        "ID": str(1_000 + number),
        "Salary": str(3_000 + 100 * round(average * 1.55 + number * 31 % 9)),
        "Game Info": f"{home}@{away} 11/12/2019 09:00PM ET",
        "TeamAbbrev": TEAMS[team],
        "AvgPointsPerGame": f"{average:.2f}",
    }


def formula_one(drivers: int) -> tuple[Roster, tuple[Player, ...]]:
    """Return DraftKings' roster and a slate with two drivers a team, each listed as captain, too."""
    roster = roster_of("draftkings", "f1")
    return roster, players_of(roster, formula_one_rows(drivers))


def formula_one_rows(drivers: int) -> list[Row]:
    """Return the lines of such a slate's file."""
    rows: list[Row] = []
    for number in range(drivers):
        salary, average = 3_000 + 1_400 * (number * 7 % drivers) // 2, 3 + number * 7 % drivers * 2
        rows += [
            _racing("D", slot, f"Driver {number}", number // 2, paid, average)
            for slot, paid in (("CPT", salary * 3 // 2), ("D", salary))
        ]
    rows += [
        _racing("CNSTR", "CNSTR", f"Team {team}", team, 3_000 + 900 * team, 8 + 5 * team)
        for team in range(drivers // 2)
    ]
    return rows


def _racing(position: str, slot: str, name: str, team: int, salary: int, average: float) -> Row:
    return {
        "Position": position,
        "Roster Position": slot,
        "Name": name,
        "ID": f"{name} {slot}",
        "Salary": str(salary),
        "Game Info": "Bahrain Grand Prix 2022",
        "TeamAbbrev": f"T{team}",
        "AvgPointsPerGame": str(average),
    }


def fights(site: str, count: int) -> tuple[Roster, tuple[Player, ...]]:
    """Return a site's MMA roster and a slate of so many fights."""
    roster = roster_of(site, "mma")
    return roster, players_of(roster, fight_rows(count, roster.cap // 60))


def fight_rows(count: int, unit: int) -> list[Row]:
    """Return the lines of a file of so many fights, with salaries of 7 to 13 units."""
    return [
        {
            "Position": "F",
            "Name": f"Fighter {number}",
            "ID": str(number),
            "Salary": str(unit * (7 + number * 5 % 7)),
            "Game Info": f"Red {number // 2}@Blue {number // 2} 02/11/2023 10:00PM ET",
            "TeamAbbrev": f"F{number}",
            "AvgPointsPerGame": str(40 + number * 13 % 60),
        }
        for number in range(2 * count)
    ]


_SLOTS = {
    "golf": ("G",),
    "nfl": ("QB", "RB", "RB", "WR", "WR", "WR", "TE", "DST"),
    "mlb": ("SP", "C", "1B", "2B", "3B", "SS", "OF", "OF", "OF", "1B/OF"),
}


def rows_of(sport: str, players: int) -> list[Row]:
    """Return the lines of a DraftKings file of a sport, with six teams of which two play against each other."""
    match sport:
        case "f1":
            return formula_one_rows(players)
        case "mma":
            return fight_rows(players // 2, 800)
        case "nba":
            return [basketball_row(number) for number in range(players)]
        case _:
            return [_row(sport, number) for number in range(players)]


def _row(sport: str, number: int) -> Row:
    slots = _SLOTS[sport]
    team = 0 if sport == "golf" else number * 5 % 6
    average = 4 + number * 37 % 23
    return {
        "Position": slots[number % len(slots)],
        "Name": f"{sport.upper()} {number}",
        "ID": str(2_000 + number),
        "Salary": str(2_600 + 100 * (average * (1 if sport == "mlb" else 2) + number * 31 % 9)),
        "Game Info": "Masters" if sport == "golf" else f"{TEAMS[team // 2 * 2]}@{TEAMS[team // 2 * 2 + 1]} 11/12/2019",
        "TeamAbbrev": "Golf" if sport == "golf" else TEAMS[team],
        "AvgPointsPerGame": f"{average:.2f}",
    }


_FANDUEL = {
    "ID": "Id",
    "Name": "Nickname",
    "Game Info": "Game",
    "TeamAbbrev": "Team",
    "AvgPointsPerGame": "FPPG",
}


def salary_file(rows: Sequence[Row], site: str = "draftkings") -> str:
    """Return the text of a salary file under the site's own titles."""
    titles = _FANDUEL if site == "fanduel" else {}
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([titles.get(title, title) for title in rows[0]])
    writer.writerows(row.values() for row in rows)
    return out.getvalue()
