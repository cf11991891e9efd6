"""The kind `lineups`: what a spec may say, and what it will cost."""

import csv
import difflib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from math import comb, isfinite
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.base import Document, Kind
from meshd.kinds.lineups.limits import (
    MAX_DRIVERS,
    MAX_LAPS,
    MAX_LINEUPS,
    MAX_NAME_CHARACTERS,
    MAX_SALARY,
    MAX_SCENARIOS,
    MAX_SEED,
    MIN_QUANTILE_SCENARIOS,
)
from meshd.kinds.lineups.slate import Driver, parse_slate

ROSTER_SIZE = 6
"""DraftKings' NASCAR lineup."""

OBJECTIVES = ("mean", "p90")
"""`mean`: expected points. `p90`: the points that a lineup reaches or beats in a tenth of the races."""

DEFAULTS: Mapping[str, object] = {
    "site": "draftkings",
    "slate": "",
    "drivers": None,
    "lineup_count": 20,
    "scenarios": 10_000,
    "objective": "mean",
    "seed": 1,
    "salary_cap": 50_000,
    "salary_min": 0,
    "roster_size": ROSTER_SIZE,
    "laps": 267,
    "grid": None,
}
"""The fields of a resolved spec, in the order in which they are stored. 267 laps: the commonest distance."""

ELEMENTS_PER_DRIVER_RACE = 6_000
"""Simulating one driver in one race takes as long as counting that many elements: 0.11 µs at 50 G/s (two cores)."""

ELEMENTS_PER_LINEUP = {"mean": 3_000, "p90": 8_000}
"""Ranking one lineup in closed form takes as long as counting that many elements: 0.06 and 0.16 µs at 50 G/s."""

ELEMENTS_PER_SAMPLE = 150
"""Putting one score into a histogram takes as long as counting that many elements: 3 ns at 50 G/s."""

CANDIDATES = 1_500
"""Ten times a usual portfolio: measured on five slates, the K-th best of these is the K-th best of all."""


def candidate_count(lineup_count: int) -> int:
    """Return how many lineups get an exact percentile before the count pass."""
    return max(CANDIDATES, 3 * lineup_count)


class LineupsKind:
    """The daemon's side of lineup optimization; its unit of work is one lineup scored in one race."""

    name = "lineups"
    deterministic = True
    retry_safe = True
    accelerated = True
    divisible = True
    program = "meshd.kinds.lineups.program"

    def validate(self, spec: Document) -> dict[str, object]:
        """Return the resolved spec: drivers instead of a file's text, and every default filled in.

        Raises:
            BadInput: the spec is not one of this kind.
        """
        _refuse_unknown(spec, (*DEFAULTS, "slate_csv"), "")
        site = spec.get("site", "draftkings")
        if site != "draftkings":
            raise BadInput(f"The site {site!r} is not supported.", field="site", hint="Only draftkings is.")
        roster_size = spec.get("roster_size", ROSTER_SIZE)
        if roster_size != ROSTER_SIZE or isinstance(roster_size, bool | float):
            raise BadInput(
                f"roster_size is {roster_size!r}; a DraftKings NASCAR lineup has six drivers.",
                field="roster_size",
                hint="Leave it out.",
            )
        slate, drivers, starts = _drivers(spec)
        objective = spec.get("objective", "mean")
        if objective not in OBJECTIVES:
            raise BadInput(
                f"The objective {objective!r} is unknown.",
                field="objective",
                hint=f"Choose one of: {', '.join(OBJECTIVES)}.",
            )
        resolved: dict[str, object] = {
            "site": site,
            "slate": _text(spec, "slate", slate),
            "drivers": [asdict(driver) for driver in drivers],
            "lineup_count": _whole(spec, "lineup_count", 1, MAX_LINEUPS),
            "scenarios": _whole(spec, "scenarios", 1, MAX_SCENARIOS),
            "objective": objective,
            "seed": _whole(spec, "seed", 0, MAX_SEED),
            "salary_cap": _whole(spec, "salary_cap", 1, MAX_SALARY),
            "salary_min": _whole(spec, "salary_min", 0, MAX_SALARY),
            "roster_size": ROSTER_SIZE,
            "laps": _whole(spec, "laps", 1, MAX_LAPS),
            "grid": _grid(spec.get("grid"), starts, drivers),
        }
        _refuse_impossible(resolved, drivers)
        return resolved

    def cost(self, resolved: Document) -> float | None:
        """Return lineups x races that have to be scored, simulation and ranking included at what they weigh.

        The mean needs no race scored lineup by lineup: only simulation and one look at every lineup.
        """
        drivers = len(cast("list[object]", resolved["drivers"]))
        scenarios = cast("int", resolved["scenarios"])
        lineups = comb(drivers, ROSTER_SIZE)
        objective = str(resolved["objective"])
        elements = scenarios * drivers * ELEMENTS_PER_DRIVER_RACE + lineups * ELEMENTS_PER_LINEUP[objective]
        if objective != "mean":
            candidates = min(candidate_count(cast("int", resolved["lineup_count"])), lineups)
            elements += lineups * scenarios + candidates * scenarios * ELEMENTS_PER_SAMPLE
        return float(elements)

    def default_name(self, resolved: Document) -> str:
        """Return, for example, "20 lineups, Pennzoil 400"."""
        count = resolved["lineup_count"]
        lineups = "1 lineup" if count == 1 else f"{count} lineups"
        return f"{lineups}, {resolved['slate']}" if resolved["slate"] else lineups


kind: Kind = LineupsKind()
"""The one instance; it holds no state."""


def _refuse_unknown(fields: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    for name in fields:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            raise BadInput(
                f"There is no field {name!r}{where}.",
                field=str(name),
                hint=f"Did you mean {close[0]}?" if close else f"The fields are {', '.join(known)}.",
            )


def _whole(fields: Mapping[str, object], name: str, low: int, high: int, *, what: str = "") -> int:
    value = fields.get(name, DEFAULTS.get(name))
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadInput(
            f"{what or name} is {value!r}, which is not a whole number.",
            field=name,
            hint=f"Write a number from {low:,} to {high:,}, without quotes.",
        )
    if not low <= value <= high:
        raise BadInput(
            f"{what or name} is {value:,}; it must be from {low:,} to {high:,}.",
            field=name,
            hint=f"Choose a number from {low:,} to {high:,}.",
        )
    return value


def _text(fields: Mapping[str, object], name: str, default: str) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARACTERS:
        raise BadInput(
            f"{name} must be a text of at most {MAX_NAME_CHARACTERS} characters.",
            field=name,
            hint="Leave it out, or shorten it.",
        )
    return value


def _drivers(spec: Document) -> tuple[str, tuple[Driver, ...], dict[str, int]]:
    """Return the slate's name, its drivers, and the starting positions that came with them."""
    text, listed = spec.get("slate_csv"), spec.get("drivers")
    if (text is None) == (listed is None):
        raise BadInput(
            "A lineups job needs either slate_csv or drivers" + (", not both." if text is not None else "."),
            field="slate_csv",
            hint="Put the text of a DraftKings salary file into slate_csv.",
        )
    if text is not None:
        if not isinstance(text, str):
            raise BadInput(
                "slate_csv must be the text of a salary file.", field="slate_csv", hint="Send the file's content."
            )
        slate = parse_slate(text)
        name, rows = slate.name[:MAX_NAME_CHARACTERS], [(driver, None) for driver in slate.drivers]
    else:
        if not isinstance(listed, list):
            raise BadInput(
                "drivers must be a list.", field="drivers", hint='Write [{"id", "name", "salary", "avg_points"}, …].'
            )
        entries = cast("list[object]", listed)
        name, rows = "", [_driver(number, entry) for number, entry in enumerate(entries, start=1)]
    drivers = tuple(driver for driver, _ in rows)
    _refuse_bad_field(drivers)
    return name, drivers, {driver.id: start for driver, start in rows if start is not None}


def _driver(number: int, entry: object) -> tuple[Driver, int | None]:
    if not isinstance(entry, dict):
        raise BadInput(
            f"Driver {number} is not an object.", field="drivers", hint='Write {"id", "name", "salary", "avg_points"}.'
        )
    fields = cast("dict[str, object]", entry)
    _refuse_unknown(fields, ("id", "name", "salary", "avg_points", "start_position"), f" in driver {number}")
    identity = fields.get("id")
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    name = fields.get("name")
    for label, value in (("id", identity), ("name", name)):
        if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_NAME_CHARACTERS:
            raise BadInput(
                f"Driver {number} has no {label}.",
                field="drivers",
                hint=f"Give each driver a {label} of at most {MAX_NAME_CHARACTERS} characters.",
            )
    average = fields.get("avg_points", 0.0)
    if not isinstance(average, int | float) or isinstance(average, bool) or not isfinite(average):
        raise BadInput(
            f"The avg_points of {name} are {average!r}, which is not a number.",
            field="avg_points",
            hint="Write a number, or leave it out when the driver has none.",
        )
    driver = Driver(
        id=cast("str", identity).strip(),
        name=cast("str", name).strip(),
        salary=_whole(fields, "salary", 0, MAX_SALARY, what=f"The salary of {name}"),
        avg_points=float(average),
    )
    if fields.get("start_position") is None:
        return driver, None
    return driver, _whole(fields, "start_position", 1, MAX_DRIVERS, what=f"The start_position of {name}")


def _refuse_bad_field(drivers: tuple[Driver, ...]) -> None:
    for driver in drivers:
        if not driver.id:
            raise BadInput(f"{driver.name} has no ID.", field="drivers", hint="Export the salary file again.")
        if max(len(driver.id), len(driver.name)) > MAX_NAME_CHARACTERS:
            raise BadInput(
                f"The name or id {driver.name[:40]!r}… has more than {MAX_NAME_CHARACTERS} characters.",
                field="drivers",
                hint="Shorten it.",
            )
        if driver.salary > MAX_SALARY or not -1_000 <= driver.avg_points <= 1_000:
            raise BadInput(
                f"The figures of {driver.name} are out of range: salary {driver.salary:,}, "
                f"average points {driver.avg_points:g}.",
                field="drivers",
                hint="Check the file; salaries are about 4,000 to 12,000.",
            )
    for label, values in (("id", [d.id for d in drivers]), ("name", [_folded(d.name) for d in drivers])):
        value, times = Counter(values).most_common(1)[0] if values else ("", 1)
        if times > 1:
            shown = next(d.name for d in drivers if value in (d.id, _folded(d.name)))
            raise BadInput(
                f"{shown} is listed {times} times (same {label}).",
                field="drivers",
                hint="Every driver may appear once; captain slates are not supported.",
            )
    if len(drivers) < ROSTER_SIZE:
        raise BadInput(
            f"The slate has {len(drivers)} drivers; a lineup needs {ROSTER_SIZE}.",
            field="drivers",
            hint="Send the whole slate.",
        )
    if len(drivers) > MAX_DRIVERS:
        raise BadInput(
            f"The slate has {len(drivers)} drivers; at most {MAX_DRIVERS} are enumerated.",
            field="drivers",
            hint="Leave out drivers that will not start.",
        )


def _grid(grid: object, starts: dict[str, int], drivers: tuple[Driver, ...]) -> dict[str, int] | None:
    """Return every driver's starting position by id, or None when none is known."""
    if grid is None:
        places: dict[str, int] = starts
        if not places:
            return None
    elif starts:
        raise BadInput(
            "Starting positions are given twice: in grid and with the drivers.", field="grid", hint="Drop one of them."
        )
    else:
        places = _read_grid(grid, drivers)
    without = [driver.name for driver in drivers if driver.id not in places]
    if without:
        raise BadInput(
            f"The grid lacks {len(without)} of {len(drivers)} drivers: {', '.join(without[:3])}"
            + (", …" if len(without) > 3 else "."),
            field="grid",
            hint="Give all positions or none; leave drivers who do not start out of the slate.",
        )
    place, times = Counter(places.values()).most_common(1)[0]
    if times > 1:
        raise BadInput(f"{times} drivers start {place}.", field="grid", hint="Give each driver another position.")
    return {driver.id: places[driver.id] for driver in drivers}


def _read_grid(grid: object, drivers: tuple[Driver, ...]) -> dict[str, int]:
    ids = {driver.id: driver.id for driver in drivers} | {_folded(driver.name): driver.id for driver in drivers}
    if isinstance(grid, str):
        pairs = _grid_rows(grid)
    elif isinstance(grid, dict):
        pairs = list(cast("dict[str, object]", grid).items())
    else:
        raise BadInput(
            "grid must be an object from drivers to positions, or the text of a CSV file.",
            field="grid",
            hint='Write {"Driver Name": 1, …}.',
        )
    places: dict[str, int] = {}
    for who, place in ((str(who), place) for who, place in pairs):
        identity = ids.get(who.strip()) or ids.get(_folded(who))
        if identity is None:
            raise BadInput(
                f"The grid names {who!r}, who is not in the slate.", field="grid", hint="Use the slate's names or ids."
            )
        if identity in places:
            raise BadInput(f"The grid names {who!r} twice.", field="grid", hint="Give each driver one position.")
        places[identity] = _whole({"grid": place}, "grid", 1, MAX_DRIVERS, what=f"The position of {who}")
    return places


def _grid_rows(text: str) -> list[tuple[str, object]]:
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO(text.lstrip("\ufeff").replace("\r", "\n")))
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise BadInput(
            f"The grid is not a CSV file: {error}.", field="grid", hint="Write a line name,position for each driver."
        ) from error
    if rows and len(rows[0]) > 1 and not rows[0][1].isdigit():
        rows = rows[1:]  # column titles
    pairs: list[tuple[str, object]] = []
    for row in rows:
        if len(row) < 2 or not (row[1].isascii() and row[1].isdigit()):
            raise BadInput(
                f"The grid's line {','.join(row)[:60]!r} is not a name and a position.",
                field="grid",
                hint="Write a line name,position for each driver.",
            )
        pairs.append((row[0], int(row[1][:9])))
    return pairs


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _refuse_impossible(resolved: Document, drivers: tuple[Driver, ...]) -> None:
    """Refuse what no search can answer, with the figures that show it."""
    cap, floor = cast("int", resolved["salary_cap"]), cast("int", resolved["salary_min"])
    salaries = sorted(driver.salary for driver in drivers)
    cheapest, dearest = sum(salaries[:ROSTER_SIZE]), sum(salaries[-ROSTER_SIZE:])
    if floor > cap:
        raise BadInput(
            f"salary_min ({floor:,}) is above salary_cap ({cap:,}).", field="salary_min", hint="Lower salary_min."
        )
    if cheapest > cap:
        raise BadInput(
            f"No lineup fits: the six cheapest drivers cost {cheapest:,}, the cap is {cap:,}.",
            field="salary_cap",
            hint=f"Raise salary_cap to at least {cheapest:,}.",
        )
    if dearest < floor:
        raise BadInput(
            f"No lineup fits: the six dearest drivers cost {dearest:,}, salary_min is {floor:,}.",
            field="salary_min",
            hint=f"Lower salary_min to at most {dearest:,}.",
        )
    count, lineups = cast("int", resolved["lineup_count"]), comb(len(drivers), ROSTER_SIZE)
    if count > lineups:
        raise BadInput(
            f"{count:,} lineups were asked for; {len(drivers)} drivers make only {lineups:,}.",
            field="lineup_count",
            hint=f"Ask for at most {lineups:,}.",
        )
    scenarios = cast("int", resolved["scenarios"])
    if resolved["objective"] != "mean" and scenarios < MIN_QUANTILE_SCENARIOS:
        raise BadInput(
            f"{scenarios:,} scenarios are too few to rank lineups by {resolved['objective']}.",
            field="scenarios",
            hint=f"Use at least {MIN_QUANTILE_SCENARIOS:,}.",
        )
