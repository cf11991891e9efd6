"""Invented slates of other sports, in the sites' own columns."""

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
    roster = roster_of("draftkings", "f1")
    return roster, players_of(roster, rows)


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
    unit = roster.cap // 60
    rows: list[Row] = [
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
    return roster, players_of(roster, rows)
