"""Fields of a JSON object: each is what it must be, or is refused in one sentence that names it."""

import difflib
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.lineups.limits import MAX_NAME_CHARACTERS


def refuse_unknown(fields: Mapping[str, object], known: Sequence[str], where: str = "") -> None:
    """Refuse a field that does not exist, with the closest that does."""
    for name in fields:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            raise BadInput(
                f"There is no field {str(name)[:64]!r}{where}.",
                field=str(name)[:64],
                hint=f"Did you mean {close[0]}?" if close else f"The fields are {', '.join(known)}.",
            )


def whole(fields: Mapping[str, object], name: str, low: int, high: int, default: int, *, what: str = "") -> int:
    """Return a whole number from `low` to `high`."""
    return whole_number(fields.get(name, default), low, high, field=name, what=what or name)


def whole_number(value: object, low: int, high: int, *, field: str, what: str) -> int:
    """Return the value, which is a whole number from `low` to `high`; other programs may write it as 7000.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadInput(
            f"{what} is {_shown(value)}, which is not a whole number.",
            field=field,
            hint=f"Write a number from {low:,} to {high:,}, without quotes.",
        )
    if not low <= value <= high:
        raise BadInput(
            f"{what} is {value:,}; it must be from {low:,} to {high:,}.",
            field=field,
            hint=f"Choose a number from {low:,} to {high:,}.",
        )
    return value


def number(value: object, low: float, high: float, *, field: str, what: str) -> float:
    """Return the value, which is a number from `low` to `high`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise BadInput(
            f"{what} is {_shown(value)}, which is not a number.",
            field=field,
            hint=f"Write a number from {low:g} to {high:g}, without quotes, or leave it out.",
        )
    if not low <= value <= high:
        raise BadInput(
            f"{what} is {value:g}; it must be from {low:g} to {high:g}.",
            field=field,
            hint=f"Choose a number from {low:g} to {high:g}.",
        )
    return float(value)


def text(fields: Mapping[str, object], name: str, default: str) -> str:
    """Return a text that fits on a line."""
    value = fields.get(name, default)
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARACTERS:
        raise BadInput(
            f"{name} must be a text of at most {MAX_NAME_CHARACTERS} characters.",
            field=name,
            hint="Leave it out, or shorten it.",
        )
    return value


def items(value: object, *, field: str, most: int) -> list[object]:
    """Return the items of a list; of None, none."""
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise BadInput(f"{field} must be a list.", field=field, hint="Write [ … ], or leave it out.")
    found = list(cast("Sequence[object]", value))
    if len(found) > most:
        raise BadInput(
            f"{field} has {len(found):,} entries; at most {most:,} are taken.", field=field, hint="Shorten it."
        )
    return found


def members(value: object, *, field: str) -> dict[str, object]:
    """Return the fields of an object; of None, none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput(f"{field} must be an object.", field=field, hint='Write {"name": value}, or leave it out.')
    return {str(name): entry for name, entry in cast("dict[object, object]", value).items()}


def _shown(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 40 else told[:39] + "…"
