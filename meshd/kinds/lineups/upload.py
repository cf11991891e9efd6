"""A finished job's lineups as their site takes them."""

import csv
import io

import msgspec

from meshd.errors import BadInput
from meshd.kinds.lineups import sports
from meshd.kinds.lineups.filled import cell_of
from meshd.kinds.lineups.sports.base import Contest

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet."""


class _Lineup(msgspec.Struct, frozen=True):
    ids: list[str]
    names: list[str]


class _Row(msgspec.Struct, frozen=True):
    id: str
    contest: str
    contest_id: str
    fee: str
    cells: list[str]

    def about(self, site: str) -> list[str]:
        """Return the cells before those of the places."""
        contest = [self.contest_id, self.contest] if site == "fanduel" else [self.contest, self.contest_id]
        return [self.id, *contest, self.fee]


class _Entries(msgspec.Struct, frozen=True):
    about: list[str]
    titles: list[str]
    rows: list[_Row]


class _Result(msgspec.Struct, frozen=True):
    lineups: list[_Lineup]
    sport: str
    site: str
    entries: _Entries | None = None


def upload_csv(result: bytes) -> str:
    """Return the lineups as the site of their slate takes them: a title for each place, and a player in each cell.

    DraftKings takes `Name (ID)`, FanDuel `ID:Name`. Where entries were filled, all entries of the file are there, with
    the columns about their contests, those that were not changed as they were.

    Raises:
        BadInput: the result is not one of a `lineups` job.
    """
    try:
        found = msgspec.json.decode(result, type=_Result)
    except msgspec.DecodeError as error:
        raise BadInput(f"the result is not one of a lineups job: {error}") from None
    contest = _contest(found)
    if found.entries is not None:
        titles = [*found.entries.about, *found.entries.titles]
        lines = [[*row.about(found.site), *row.cells] for row in found.entries.rows]
    else:
        titles = [*contest.titles]
        lines = [
            [cell_of(found.site, identity, name) for identity, name in zip(lineup.ids, lineup.names, strict=False)]
            for lineup in found.lineups
            if len(lineup.ids) == len(lineup.names)
        ]
    if any(len(line) != len(titles) for line in lines) or (found.entries is None and len(lines) != len(found.lineups)):
        raise BadInput("the result is not one of a lineups job: a lineup has more or fewer players than places")
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(titles)
    writer.writerows([[f"'{cell}" if cell.startswith(FORMULA) else cell for cell in line] for line in lines])
    return out.getvalue()


def _contest(found: _Result) -> Contest:
    contests = sports.find(found.sport).contests
    if found.site not in contests:
        raise BadInput(f"the result is not one of a lineups job: its site is {found.site[:40]!r}")
    return contests[found.site]
