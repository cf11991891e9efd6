"""Entries files in the sites' own shape: titles, entries, and instructions and players to the right."""

import csv
import io
from collections.abc import Sequence

ABOUT = {
    "draftkings": ["Entry ID", "Contest Name", "Contest ID", "Entry Fee"],
    "fanduel": ["entry_id", "contest_id", "contest_name", "entry_fee"],
}

_INSTRUCTIONS = ("1. Column A lists all of your contest entries", "2. Your current lineup is listed next to each entry")


def entries_file(site: str, titles: Sequence[str], lineups: Sequence[Sequence[str]]) -> str:
    """Return a file with one entry a lineup, whose cells are as given; the first entry is 9001."""
    lines = [[*ABOUT[site], *titles, "", "Instructions"]]
    for number, cells in enumerate(lineups):
        contest = ["Big, bold contest [20 Entry Max]", "150"] if site == "draftkings" else ["150", "Big contest"]
        cells = list(cells) or [""] * len(titles)
        told = [_INSTRUCTIONS[number]] if number < len(_INSTRUCTIONS) else []
        lines.append([str(9_001 + number), *contest, "$5", *cells, "", *told])
    right = ["", ""] + [""] * (len(titles) + 4)
    lines += [[*right, "Position", "Name + ID", "Name", "ID"], [*right, "D", "Nobody (1)", "Nobody", "1"]]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(lines)
    return out.getvalue()
