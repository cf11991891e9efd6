"""What a finished `lineups` job says, for people."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from meshd.errors import BadInput

_SUFFIXES = frozenset({"jr", "jr.", "sr", "sr.", "ii", "iii", "iv"})

_PARTICLES = frozenset(
    {"van", "von", "der", "den", "de", "del", "della", "da", "di", "dos", "du", "la", "le", "el", "st.", "st"}
)
"""Words that belong to the surname behind them."""

_WHOLE = "CNSTR"
"""The position of those who are called by their whole name: Red Bull Racing."""

_CAPTAINS = frozenset({"CPT", "MVP"})

_CONTESTS = {"golf": "tournaments", "mma": "fight nights", "nba": "games", "nfl": "games", "mlb": "games"}
"""What is simulated, where it is not races."""


class Lineup(msgspec.Struct, frozen=True):
    """One line to enter, and how it scores."""

    ids: list[str]
    names: list[str]
    salary: int
    mean: float
    sd: float
    p10: float
    p50: float
    p90: float
    p99: float
    p_win: float | None = None
    """The share of the races in which it reaches the line; None when there is none, or nobody counted."""

    gain: float | None = None
    """What it adds to the lineups before it; None unless they are chosen to do well together."""

    holdout: "Holdout | None" = None


class Holdout(msgspec.Struct, frozen=True):
    """How a lineup does in races that had no part in choosing it."""

    mean: float
    p90: float
    p_win: float | None = None


class Player(msgspec.Struct, frozen=True):
    """One of those to choose from."""

    id: str
    name: str
    salary: int
    mean: float
    positions: list[str] = []
    """Of sports that have several."""


class Certificate(msgspec.Struct, frozen=True):
    """What the search has proven, and under which assumptions."""

    exact: bool
    objective: str
    lineups_evaluated: int
    scenarios: int
    assumptions: list[str] = []
    greedy: bool = False
    """Whether lineups were chosen to do well together, one after the other."""

    every_choice_proven: bool = True
    """Whether each of these adds the most of all, where everything was looked at."""

    gap: float | None = None
    """By which share the first lineup's mean is below what a solver proves at most; None where none was asked."""


class Portfolio(msgspec.Struct, frozen=True):
    """What the lineups are together, or what the first of them is, as `what` says."""

    objective: float
    holdout_objective: float
    what: str
    holdout_races: int
    holdout_objective_se: float | None = None
    exposure: Mapping[str, float] = {}
    max_overlap: int = 0


class Infeasible(msgspec.Struct, frozen=True):
    """Why there are fewer lineups than were asked for."""

    binding: list[str]
    message: str
    hint: str = ""


class EntryRow(msgspec.Struct, frozen=True):
    """One entry in a contest: what became of it, and why if it could not be filled."""

    id: str
    became: str
    why: str = ""


class Entries(msgspec.Struct, frozen=True):
    """The entries of a file."""

    rows: list[EntryRow]


class Lineups(msgspec.Struct, frozen=True):
    """The result document."""

    lineups: list[Lineup]
    players: list[Player]
    certificate: Certificate
    device: str
    duration_s: float
    rate_gel_s: float | None = None
    """Thousand millions of lineups scored in a race, a second; None when no race had to be scored by lineup."""

    portfolio: Portfolio | None = None
    infeasible: Infeasible | None = None
    entries: Entries | None = None
    """Where entries were filled."""

    notices: list[str] = []
    """What was handled on the way in: withdrawn and doubled players, say."""

    sport: str = ""

    @property
    def contests(self) -> str:
        """What is simulated: races, or games."""
        return _CONTESTS.get(self.sport, "races")


def read(result: msgspec.Raw) -> Lineups:
    """Return the result of a finished job.

    Raises:
        BadInput: it is not one of a `lineups` job.
    """
    try:
        return msgspec.json.decode(result, type=Lineups)
    except msgspec.DecodeError as error:
        raise BadInput(f"the result is not one of a lineups job: {error}") from None


def short_names(players: list[Player]) -> dict[str, str]:
    """Return a name by id that fits a table: the surname, with as much of the first name as tells two apart."""
    parts = {player.name: _split(player.name) for player in players if _WHOLE not in player.positions}
    surnames = Counter(surname for _, surname in parts.values())
    by_name: dict[str, str] = {}
    for name, (first, surname) in parts.items():
        others = [given for other, (given, same) in parts.items() if same == surname and other != name]
        length = next((n for n in range(1, len(first)) if all(given[:n] != first[:n] for given in others)), len(first))
        alone = surnames[surname] == 1 or not first
        by_name[name] = surname if alone else f"{first[:length]}{'.' if length < len(first) else ''} {surname}"
    return {
        player.id: by_name.get(player.name, player.name) + (" (C)" if _CAPTAINS & set(player.positions) else "")
        for player in players
    }


def _split(name: str) -> tuple[str, str]:
    words = name.split()
    while len(words) > 1 and words[-1].lower() in _SUFFIXES:
        words.pop()
    last = len(words) - 1
    while last > 1 and words[last - 1].lower() in _PARTICLES:
        last -= 1
    return " ".join(words[:last]), " ".join(words[last:]) if words else name
