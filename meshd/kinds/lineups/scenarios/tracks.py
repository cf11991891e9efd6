"""Tracks: what kind of race it is, in plain numbers that anyone may override.

The presets are fitted to Cup races of 2019-2024 (see `PRESETS`); the season of 2023 was kept out, to judge them by.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, cast

from meshd.errors import BadInput
from meshd.kinds.lineups.limits import MAX_LAPS

MAX_QUANTILES = 33
"""Of when cars drop out: finer than any fit."""

DEFAULT_PRESET = "intermediate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One kind of race. Weights are in units of the standard deviation of a driver's luck in the race."""

    preset: str
    """The track type that the numbers come from."""

    laps: int

    dnf: float
    """The share of cars that drop out."""

    rho: float
    """How much drop-outs come together: the correlation, through the race's common chaos, of what makes them."""

    out: tuple[float, ...]
    """How much of the race cars complete that drop out: quantiles, equally spaced from the first to the last."""

    pace_survival: float
    """How much better fast cars survive."""

    trouble: float
    """The share of the other cars that meet trouble (damage, a penalty) and fall back."""

    trouble_cost: float
    """How far they fall back."""

    skill: float
    """The weight of a standard deviation of skill."""

    grid: float
    """The weight of a standard deviation of the starting position."""

    qualifying: float
    """The correlation of skill and starting position, where the grid is not known."""

    form: float
    """The weight of the weekend's form: it shows in the lead and in the finish."""

    lead_lap: float
    """The share of untroubled cars that finish on the lead lap."""

    laps_down: float
    """How many laps are lost by being slower by one standard deviation, beyond that."""

    closing: float
    """The share of the laps that the winner leads at the end, beyond what being in front brings; a mean."""

    lead_luck: float
    """How much a driver's luck in the race shows in laps led."""

    lead_grid: float
    """How much the starting position shows in laps led, beyond its part in pace."""

    lead_noise: float
    """The noise in who is in front for laps led."""

    lead_reach: float
    """How many places at the front share the lead."""

    lead_reach_sd: float
    """How much that differs from race to race, as a share of it."""

    lead_power: int
    """How steeply laps led fall with the place: 1 to 3."""

    lead_jitter: float
    """How unevenly two drivers at the same place fare: 0 to 1."""

    fast_closing: float
    """As `closing`, of the fastest laps."""

    fast_noise: float
    """The noise in who is fast, beyond that in who leads."""

    fast_reach: float
    fast_power: int
    fast_jitter: float
    """These three as for laps led."""

    fast_lead: float
    """How much of that unevenness is the same as for laps led."""

    green: float
    """The share of the laps that are driven under green: those count for fastest laps."""

    green_sd: float
    """How much that differs from race to race."""

    green_chaos: float
    """The correlation of laps under green with the chaos that makes cars drop out (fewer of both)."""


RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "laps": (1, MAX_LAPS),
        "dnf": (0, 0.9),
        "rho": (0, 0.95),
        "pace_survival": (-2, 2),
        "trouble": (0, 0.9),
        "trouble_cost": (0, 8),
        "skill": (0, 4),
        "grid": (0, 4),
        "qualifying": (0, 1),
        "form": (0, 4),
        "lead_lap": (0.01, 0.99),
        "laps_down": (0.2, 50),
        "closing": (0, 0.5),
        "lead_luck": (0, 4),
        "lead_grid": (0, 4),
        "lead_noise": (0, 8),
        "lead_reach": (1, 48),
        "lead_reach_sd": (0, 0.5),
        "lead_power": (1, 3),
        "lead_jitter": (0, 1),
        "fast_closing": (0, 0.5),
        "fast_noise": (0, 8),
        "fast_reach": (1, 48),
        "fast_power": (1, 3),
        "fast_jitter": (0, 1),
        "fast_lead": (0, 1),
        "green": (0.3, 1),
        "green_sd": (0, 0.3),
        "green_chaos": (0, 1),
    }
)
"""What each number may be: wide enough for any race, and what keeps every product within its bits."""

PRESETS: Mapping[str, Track] = MappingProxyType(
    {
        "intermediate": Track(
            preset="intermediate",
            laps=267,
            dnf=0.157,
            rho=0.148,
            out=(0.0, 0.23, 0.41, 0.5, 0.63, 0.76, 0.86, 0.94, 1.0),
            pace_survival=0.06,
            trouble=0.23,
            trouble_cost=4.0,
            skill=0.76,
            grid=0.41,
            qualifying=0.61,
            form=0.5,
            lead_lap=0.96,
            laps_down=2.63,
            closing=0.15,
            lead_luck=0.04,
            lead_grid=0.3,
            lead_noise=0.47,
            lead_reach=13.0,
            lead_reach_sd=0.22,
            lead_power=2,
            lead_jitter=0.96,
            fast_closing=0.06,
            fast_noise=0.0,
            fast_reach=29.4,
            fast_power=3,
            fast_jitter=0.72,
            fast_lead=0.2,
            green=0.779,
            green_sd=0.061,
            green_chaos=0.43,
        ),
        "superspeedway": Track(
            preset="superspeedway",
            laps=188,
            dnf=0.294,
            rho=0.083,
            out=(0.01, 0.23, 0.49, 0.67, 0.86, 0.92, 0.95, 0.96, 1.0),
            pace_survival=-0.15,
            trouble=0.07,
            trouble_cost=1.76,
            skill=0.4,
            grid=0.01,
            qualifying=0.67,
            form=0.12,
            lead_lap=0.82,
            laps_down=4.15,
            closing=0.07,
            lead_luck=0.05,
            lead_grid=0.22,
            lead_noise=0.21,
            lead_reach=21.1,
            lead_reach_sd=0.12,
            lead_power=2,
            lead_jitter=0.97,
            fast_closing=0.0,
            fast_noise=8.0,
            fast_reach=37.5,
            fast_power=1,
            fast_jitter=0.28,
            fast_lead=0.0,
            green=0.791,
            green_sd=0.053,
            green_chaos=0.23,
        ),
        "short": Track(
            preset="short",
            laps=400,
            dnf=0.087,
            rho=0.053,
            out=(0.0, 0.19, 0.37, 0.53, 0.6, 0.69, 0.8, 0.88, 1.0),
            pace_survival=0.26,
            trouble=0.36,
            trouble_cost=2.79,
            skill=0.73,
            grid=0.46,
            qualifying=0.6,
            form=0.54,
            lead_lap=0.7,
            laps_down=1.88,
            closing=0.11,
            lead_luck=0.39,
            lead_grid=0.2,
            lead_noise=0.39,
            lead_reach=7.3,
            lead_reach_sd=0.26,
            lead_power=2,
            lead_jitter=0.7,
            fast_closing=0.04,
            fast_noise=0.0,
            fast_reach=34.5,
            fast_power=3,
            fast_jitter=0.73,
            fast_lead=0.53,
            green=0.835,
            green_sd=0.078,
            green_chaos=0.84,
        ),
        "road": Track(
            preset="road",
            laps=90,
            dnf=0.112,
            rho=0.046,
            out=(0.0, 0.18, 0.4, 0.52, 0.67, 0.75, 0.83, 0.91, 0.99),
            pace_survival=0.33,
            trouble=0.17,
            trouble_cost=3.61,
            skill=0.47,
            grid=0.42,
            qualifying=0.64,
            form=0.52,
            lead_lap=0.99,
            laps_down=2.35,
            closing=0.25,
            lead_luck=0.0,
            lead_grid=0.15,
            lead_noise=0.07,
            lead_reach=9.5,
            lead_reach_sd=0.08,
            lead_power=3,
            lead_jitter=0.65,
            fast_closing=0.17,
            fast_noise=0.0,
            fast_reach=24.6,
            fast_power=3,
            fast_jitter=0.82,
            fast_lead=0.02,
            green=0.775,
            green_sd=0.095,
            green_chaos=0.9,
        ),
    }
)

"""Fitted by `python -m tests.bench.race_fit` to Cup races of the seasons 2022 and 2024 (the present car), and of 2019
to 2021 also where there are few: 30 at intermediate tracks, 24 at superspeedways (Atlanta since its rebuilding is one),
19 at short tracks of up to a mile, 23 on road courses. Source of the logs: zax-lab/nascar-dfs-optimizer, race-logs.csv
(MIT). `laps` is a usual distance of the type."""

TRACK_TYPES = tuple(PRESETS)


def read_track(given: Mapping[str, object]) -> Track:
    """Return a preset with what is given in its place: `{"preset": "short", "laps": 400}`.

    Raises:
        BadInput: a name or number is not one of a track.
    """
    preset = given.get("preset", DEFAULT_PRESET)
    if not isinstance(preset, str) or preset not in PRESETS:
        raise BadInput(
            f"The track type {preset!r} is unknown.",
            field="model.preset",
            hint=f"Choose one of: {', '.join(TRACK_TYPES)}.",
        )
    types = {field.name: field.type for field in fields(Track)}
    changes: dict[str, object] = {}
    for name, value in given.items():
        if name == "preset":
            continue
        if name == "out":
            changes[name] = _quantiles(value)
            continue
        if name not in RANGES:
            raise BadInput(
                f"There is no field {name!r} in model.",
                field=f"model.{name}",
                hint=f"The fields are preset, {', '.join(RANGES)}.",
            )
        changes[name] = _number(name, value, whole=types[name] is int)
    return replace(PRESETS[preset], **cast("dict[str, Any]", changes))


def track_fields(track: Track) -> dict[str, object]:
    """Return a track's every field, as a resolved spec holds it: `read_track` makes the same track of it."""
    return asdict(track)


def _number(name: str, value: object, *, whole: bool) -> int | float:
    low, high = RANGES[name]
    kinds = int if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise BadInput(
            f"model.{name} is {value!r}, which is not a {'whole ' if whole else ''}number.",
            field=f"model.{name}",
            hint=f"Write a number from {low:g} to {high:g}, without quotes.",
        )
    # Written so that it also refuses what is not a number.
    if not low <= value <= high:
        raise BadInput(
            f"model.{name} must be from {low:g} to {high:g}.",
            field=f"model.{name}",
            hint="Leave it out to use the preset's.",
        )
    return value if whole else float(value)


def _quantiles(value: object) -> tuple[float, ...]:
    numbers = cast("list[object]", value) if isinstance(value, list | tuple) else []
    shares = tuple(
        float(number)
        for number in numbers
        if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 1
    )
    if not 2 <= len(shares) == len(numbers) <= MAX_QUANTILES or list(shares) != sorted(shares):
        raise BadInput(
            "model.out is not a list of quantiles.",
            field="model.out",
            hint=f"Write 2 to {MAX_QUANTILES} shares from 0 to 1, in ascending order, or leave it out.",
        )
    return shares
