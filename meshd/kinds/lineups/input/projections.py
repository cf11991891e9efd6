"""Somebody's projections: a CSV file with a line for each player, under the titles that such files use."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from meshd.kinds.lineups.input.players import Player, Roll
from meshd.kinds.lineups.input.table import Row, Source, points_in, read_cells, table_below
from meshd.kinds.lineups.limits import MAX_DRIVERS, MAX_NAME_CHARACTERS, MAX_POINTS

SOURCE = Source(
    "The projections file",
    "projections_csv",
    "It needs a line of titles: name or id, and at least one of mean, sd, ownership, min_exposure, max_exposure, team.",
)

TITLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "id": frozenset({"id", "driver_id", "player_id", "dk_id", "fd_id"}),
        "name": frozenset({"name", "driver", "player", "nickname", "player_name", "driver_name"}),
        "mean": frozenset({"mean", "projection", "projected_points", "proj", "points", "fpts", "proj_points"}),
        "sd": frozenset({"sd", "stdev", "std", "std_dev", "stddev", "standard_deviation"}),
        "skill": frozenset({"skill"}),
        "ownership": frozenset({"ownership", "own", "projected_ownership", "proj_own", "pown"}),
        "min_exposure": frozenset({"min_exposure", "min_exp"}),
        "max_exposure": frozenset({"max_exposure", "max_exp"}),
        "start_position": frozenset({"start_position", "start", "starting_position", "grid"}),
        "team": frozenset({"team"}),
        "manufacturer": frozenset({"manufacturer", "make"}),
    }
)
"""What each column may be called; case, the sign between two words, and a percent sign at the end do not count."""

_SHARES = ("ownership", "min_exposure", "max_exposure")
_TEXTS = ("team", "manufacturer")


def with_projections(
    players: Sequence[Player], text: str, otherwise: str = "whom the race model judges alone"
) -> tuple[list[Player], list[str]]:
    """Return the players with what a file projects for them, and what was handled, in sentences.

    `otherwise` says what becomes of those whom it does not name.

    Raises:
        BadInput: it is not such a file, or a figure in it is no number.
    """
    cells = read_cells(text, SOURCE)
    columns = {name: title for title in cells[0] if (name := _meaning(title))}
    if not {"id", "name"} & columns.keys():
        raise SOURCE.refuse("The projections file lacks a column name or id.")
    if not columns.keys() - {"id", "name"}:
        raise SOURCE.refuse("The projections file lacks a column with figures, for example mean.")
    rows = table_below(cells, 0)
    scale = {name: _scale(rows, columns[name]) for name in _SHARES if name in columns}
    roll = Roll(players)
    found: dict[str, dict[str, object]] = {}
    strangers: list[str] = []
    doubles: list[str] = []
    for row in rows:
        told = [row.get(columns[name]) for name in ("id", "name") if name in columns]
        identity = next((known for who in told if who and (known := roll.find(who))), None)
        if identity is None:
            strangers.append(next((who for who in reversed(told) if who), f"line {row.number}"))
        elif identity in found:
            doubles.append(next(who for who in reversed(told) if who))
        else:
            found[identity] = _figures(row, columns, scale, told[-1])
    notices = [
        *_notice("The projections file names {} not on the slate, left out: {}.", strangers),
        *_notice("The projections file has {} more than once, the first line counts: {}.", doubles),
        *_notice(
            f"The projections file lacks {{}}, {otherwise}: {{}}.",
            [player.name for player in players if player.id not in found and not player.withdrawn],
        ),
    ]
    if not found:
        raise SOURCE.refuse("The projections file names nobody who is on the slate.", hint="Is it of another slate?")
    return [_merged(player, found.get(player.id, {})) for player in players], notices


def _meaning(title: str) -> str | None:
    plain = re.sub(r"[\s_\-]+", "_", title.strip().rstrip("%").strip().casefold())
    return next((name for name, titles in TITLES.items() if plain in titles), None)


def _scale(rows: Sequence[Row], title: str) -> float:
    """Return what a share is divided by: 100 where the column is in percent."""
    cells = [row.get(title) for row in rows]
    numbers = [float(plain) for cell in cells if re.fullmatch(r"\d{1,5}(\.\d{0,17})?", plain := cell.rstrip("% "))]
    return 100.0 if "%" in title or any("%" in cell for cell in cells) or max(numbers, default=0.0) > 1.0 else 1.0


def _figures(row: Row, columns: Mapping[str, str], scale: Mapping[str, float], who: str) -> dict[str, object]:
    figures: dict[str, object] = {}
    for name, title in columns.items():
        cell = row.get(title)
        if not cell or name in {"id", "name"}:
            continue
        if name in _TEXTS:
            figures[name] = cell[:MAX_NAME_CHARACTERS]
        elif name == "start_position":
            figures[name] = _position(cell, row, who)
        else:
            value = points_in(cell.rstrip("% ") if name in _SHARES else cell, row, who, name, SOURCE)
            figures[name] = value / scale.get(name, 1.0)
            if name == "mean" and abs(value) > MAX_POINTS:
                raise SOURCE.refuse(f"The mean of {who} (line {row.number}) is {cell}; nobody scores as much.")
            if name in {*_SHARES, "sd"} and not 0 <= value / scale.get(name, 1000.0) <= 1:
                raise SOURCE.refuse(f"The {name} of {who} (line {row.number}) is {cell}, which is out of range.")
    return figures


def _position(cell: str, row: Row, who: str) -> int:
    if not (cell.isascii() and cell.isdigit() and 1 <= int(cell[:9]) <= MAX_DRIVERS):
        raise SOURCE.refuse(f"The start_position of {who} (line {row.number}) is {cell[:40]!r}, not a position.")
    return int(cell)


def _merged(player: Player, figures: dict[str, object]) -> Player:
    low, high = figures.pop("min_exposure", None), figures.pop("max_exposure", None)
    if low is not None or high is not None:
        own = player.exposure
        figures["exposure"] = own[0] if low is None else low, own[1] if high is None else high
    return replace(player, **cast("dict[str, Any]", figures))


def _notice(sentence: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(name[:40] for name in names[:5]) + (", …" if len(names) > 5 else "")
    return [sentence.format("1 player" if len(names) == 1 else f"{len(names)} players", shown)]
