"""Rosters: what a lineup of a site and sport is made of, as one file for each says it.

A file names the slots with the positions that may fill them, the salary cap, and what the site asks of teams and games.
"""

import pkgutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

import msgspec

from meshd.errors import BadInput

SITES = ("draftkings", "fanduel")
SPORTS = ("golf", "f1", "mma", "nba", "nfl", "mlb")

PERCENT = 100


class Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Places of a lineup that are alike."""

    name: str
    eligible: tuple[str, ...]
    """Positions, as the site's file writes them."""

    count: int = 1
    points_percent: int = PERCENT
    """What a player in it scores, of what he scores elsewhere: 150 for a captain."""

    salary_percent: int = PERCENT
    """Likewise what he costs, where the file does not list him once more at that salary."""


class Roster(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"slots": "slot"}):
    """The rules of one site and sport."""

    site: str
    sport: str
    cap: int
    slots: tuple[Slot, ...]
    exact: bool = False
    """Whether every lineup can be looked at; if not, lineups are annealed."""

    most_of_team: int | None = None
    not_of_team: tuple[str, ...] = ()
    """Positions that do not count towards `most_of_team`."""

    most_of_game: int | None = None
    """1 where two opponents cannot be in one lineup."""

    least_teams: int = 1
    least_games: int = 1
    positions_from: str = "Position"
    """The column of the site's file that names what a row can fill."""

    unconfirmed: str = ""
    """What of these rules no source was found for; to be told to the user."""

    @property
    def size(self) -> int:
        """How many players a lineup has."""
        return sum(slot.count for slot in self.slots)

    @property
    def places(self) -> tuple[Slot, ...]:
        """The slot of each place of a lineup, in the order in which the site lists them."""
        return tuple(slot for slot in self.slots for _ in range(slot.count))


@dataclass(frozen=True, slots=True)
class Column:
    """A player in a kind of slot: what a lineup of an exact sport is chosen from."""

    player: int
    """Whose row of the slate."""

    slot: int
    salary: int
    points_percent: int


@cache
def roster_of(site: str, sport: str) -> Roster:
    """Return the rules of a site and sport.

    Raises:
        BadInput: there is no such site or sport here.
    """
    if site not in SITES:
        raise BadInput(f"There is no site {site!r} here.", field="site", hint=f"Known sites: {', '.join(SITES)}.")
    if sport not in SPORTS:
        raise BadInput(f"There is no sport {sport!r} here.", field="sport", hint=f"Known sports: {', '.join(SPORTS)}.")
    # By the loader of modules: it is loaded with its sport, as a part of the program.
    text = pkgutil.get_data("meshd.kinds.lineups.sports", f"rosters/{site}_{sport}.toml")
    if text is None:
        raise AssertionError("the package was installed without its rosters")
    return read_roster(tomllib.loads(text.decode()))


def read_roster(fields: Mapping[str, object]) -> Roster:
    """Return the roster that a file says.

    Raises:
        BadInput: it does not say one.
    """
    try:
        roster = msgspec.convert(cast("object", fields), Roster)
    except msgspec.ValidationError as error:
        raise BadInput(f"A roster cannot be read: {error}.", field="roster") from error
    if not roster.slots or min(slot.count for slot in roster.slots) < 1 or roster.cap < 1:
        raise BadInput("A roster needs a cap, and slots with at least one place each.", field="roster")
    return roster
