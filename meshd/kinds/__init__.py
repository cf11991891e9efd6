"""The kinds of jobs that this device knows: those that come with meshd, and those of other packages.

Another package adds a kind with an entry point in the group `meshd.kinds`, named as users type the kind, whose
object has the attributes of `Kind`. A kind is loaded when it is first asked for, and one that does not load is a
message to those who ask for it, never an error for the others.
"""

import importlib
import logging
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from meshd.errors import BadInput
from meshd.kinds.base import Kind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

log = logging.getLogger(__name__)

GROUP = "meshd.kinds"

BUILT_IN: Mapping[str, str] = MappingProxyType(
    {"command": "meshd.kinds.command", "echo": "meshd.kinds.echo", "lineups": "meshd.kinds.lineups"}
)
"""The modules with the kinds that come with meshd, each in an attribute `kind`. Nobody else can take their names."""

ATTRIBUTES = (
    "name",
    "deterministic",
    "retry_safe",
    "accelerated",
    "divisible",
    "program",
    "validate",
    "cost",
    "default_name",
)


def names() -> tuple[str, ...]:
    """Return the names of all kinds, sorted; one of another package may turn out not to load."""
    return tuple(sorted({*BUILT_IN, *_entry_points()}))


def find(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        BadInput: there is none, or it does not load; the message says which there are, or why it does not.
    """
    if name in BUILT_IN:
        return _built_in(name)
    if name not in _entry_points():
        known = ", ".join(names())
        raise BadInput(f"there is no kind of job called {name[:64]!r}", field="kind", hint=f"known: {known}")
    found = _foreign(name)
    if isinstance(found, str):
        raise BadInput(f"the kind {name!r} does not load: {found}", field="kind")
    return found


def broken() -> Mapping[str, str]:
    """Load all kinds of other packages; return why those that do not load do not."""
    return {name: why for name in _entry_points() if isinstance(why := _foreign(name), str)}


@cache
def _entry_points() -> "Mapping[str, EntryPoint]":
    # Workers import this package for their programs, and would load the e-mail parser behind it for nothing.
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


@cache
def _built_in(name: str) -> Kind:
    return cast(Kind, importlib.import_module(BUILT_IN[name]).kind)


@cache
def _foreign(name: str) -> Kind | str:
    point = _entry_points()[name]
    try:
        kind = point.load()
    except Exception as error:
        # Importing runs code of others: whatever it raises concerns this kind only.
        log.exception("the kind %s of %s does not load", name, point.value)
        return f"{type(error).__name__}: {error}"
    missing = [attribute for attribute in ATTRIBUTES if not hasattr(kind, attribute)]
    if missing:
        log.error("the kind %s of %s lacks %s", name, point.value, ", ".join(missing))
        return f"{point.value} lacks {', '.join(missing)}"
    return cast(Kind, kind)


def forget() -> None:
    """Look again for kinds of other packages at the next call: one was installed or removed."""
    _entry_points.cache_clear()
    _foreign.cache_clear()
