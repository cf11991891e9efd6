"""A finished job's lineups as their site takes them."""

import csv
import io

import msgspec

from meshd.errors import BadInput
from meshd.kinds.lineups import sports
from meshd.kinds.lineups.sports.base import Contest

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet."""


class _Lineup(msgspec.Struct, frozen=True):
    ids: list[str]
    names: list[str]


class _Result(msgspec.Struct, frozen=True):
    lineups: list[_Lineup]
    sport: str
    site: str


def upload_csv(result: bytes) -> str:
    """Return the lineups as the site of their slate takes them: a title for each place, and a player in each cell.

    DraftKings takes `Name (ID)`, FanDuel `ID:Name`.

    Raises:
        BadInput: the result is not one of a `lineups` job.
    """
    try:
        found = msgspec.json.decode(result, type=_Result)
    except msgspec.DecodeError as error:
        raise BadInput(f"the result is not one of a lineups job: {error}") from None
    contest = _contest(found)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(contest.titles)
    for lineup in found.lineups:
        if not len(lineup.names) == len(lineup.ids) == len(contest.titles):
            raise BadInput("the result is not one of a lineups job: a lineup has more or fewer players than places")
        cells = [_cell(found.site, *who) for who in zip(lineup.ids, lineup.names, strict=True)]
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])
    return out.getvalue()


def _contest(found: _Result) -> Contest:
    contests = sports.find(found.sport).contests
    if found.site not in contests:
        raise BadInput(f"the result is not one of a lineups job: its site is {found.site[:40]!r}")
    return contests[found.site]


def _cell(site: str, identity: str, name: str) -> str:
    return f"{identity}:{name}" if site == "fanduel" else f"{name} ({identity})"
