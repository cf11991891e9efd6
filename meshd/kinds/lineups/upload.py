"""A finished job's lineups as the site takes them."""

import csv
import io

import msgspec

from meshd.errors import BadInput

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet."""


class _Lineup(msgspec.Struct, frozen=True):
    ids: list[str]
    names: list[str]


class _Result(msgspec.Struct, frozen=True):
    lineups: list[_Lineup]


def upload_csv(result: bytes) -> str:
    """Return the lineups as DraftKings takes them: a title `D` for each driver, and cells `Name (ID)`.

    Raises:
        BadInput: the result is not one of a `lineups` job.
    """
    try:
        lineups = msgspec.json.decode(result, type=_Result).lineups
    except msgspec.DecodeError as error:
        raise BadInput(f"the result is not one of a lineups job: {error}") from None
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["D"] * (len(lineups[0].ids) if lineups else 6))
    for lineup in lineups:
        if len(lineup.names) != len(lineup.ids):
            raise BadInput("the result is not one of a lineups job: a lineup has more ids than names, or fewer")
        cells = [f"{name} ({identity})" for name, identity in zip(lineup.names, lineup.ids, strict=True)]
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])
    return out.getvalue()
