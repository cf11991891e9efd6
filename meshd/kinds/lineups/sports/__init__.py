"""The sports that lineups can be optimized for. A new sport is a new file here, and a line in `SPORTS`."""

import importlib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.lineups.sports.base import Sport

SPORTS: Mapping[str, str] = MappingProxyType(
    {name: f"meshd.kinds.lineups.sports.{name}" for name in ("nascar", "golf", "f1", "mma", "nba", "nfl", "mlb")}
)
"""Modules by the sport's name, each with an attribute `sport`. The first is what a spec without one means."""

DEFAULT = next(iter(SPORTS))


def find(name: object) -> Sport:
    """Return a sport by its name.

    Raises:
        BadInput: there is none.
    """
    if not isinstance(name, str) or name not in SPORTS:
        raise BadInput(f"The sport {name!r} is unknown.", field="sport", hint=f"Choose one of: {', '.join(SPORTS)}.")
    return _load(name)


def recognise(positions: frozenset[str], roles: frozenset[str]) -> Sport | None:
    """Return the sport whose salary files have these positions and roster positions."""
    return next((sport for sport in map(_load, SPORTS) if sport.recognises(positions, roles)), None)


@cache
def _load(name: str) -> Sport:
    return cast("Sport", importlib.import_module(SPORTS[name]).sport)
