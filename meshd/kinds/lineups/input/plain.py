"""The plain form: the few fields that programs written for a simple lineup optimizer send, as a spec of ours."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups.input.fields import members

_DRIVER: Mapping[str, str] = MappingProxyType({"driver_id": "id", "projected_points": "mean"})
_RULES: Mapping[str, str] = MappingProxyType(
    {"min_stack": "min_from_team", "max_stack": "max_from_team", "exclude_drivers": "excluded"}
)
_COMMON = frozenset({"id", "mean", "excluded"})
"""Names of ours that are words of any sentence."""

_MEAN = "The projected_points of"

_TOP: Mapping[str, str] = MappingProxyType({"num_lineups": "lineup_count", "iterations": "scenarios"})


def is_plain(spec: Document) -> bool:
    """Return whether a spec is written in the plain form: by a field that only it has."""
    listed = spec.get("drivers")
    drivers = cast("list[object]", listed) if isinstance(listed, list) else []
    rules = spec.get("constraints")
    return (
        "num_lineups" in spec
        or any(isinstance(driver, dict) and _DRIVER.keys() & cast("dict[str, object]", driver) for driver in drivers)
        or (isinstance(rules, dict) and bool(_RULES.keys() & cast("dict[str, object]", rules)))
    )


def translated(spec: Document) -> dict[str, object]:
    """Return the spec with its fields under our names; the rest is as it was.

    Raises:
        BadInput: something is given under both names.
    """
    found = _renamed(spec, _TOP, "")
    listed = found.get("drivers")
    if isinstance(listed, list):
        found["drivers"] = [
            _renamed(cast("dict[str, object]", driver), _DRIVER, f" of driver {at}")
            if isinstance(driver, dict)
            else driver
            for at, driver in enumerate(cast("list[object]", listed), start=1)
        ]
    if "constraints" in found:
        found["constraints"] = _rules(members(found["constraints"], field="constraints"))
    return {**found, "form": "plain"}


def in_its_words(error: BadInput) -> BadInput:
    """Return what is wrong with a spec in the plain form under the names that its writer knows."""
    told = {ours: name for names in (_TOP, _RULES, _DRIVER) for name, ours in names.items() if ours not in _COMMON}
    pattern = re.compile(rf"\b({'|'.join(told)})\b")

    def said(text: str) -> str:
        text = pattern.sub(lambda found: told[found[0]], text)
        return re.sub(r"\bexcluded names\b", "exclude_drivers names", re.sub(r"\bThe mean of\b", _MEAN, text))

    return BadInput(said(error.message), field=told.get(error.field, error.field), hint=said(error.hint))


def _rules(given: dict[str, object]) -> dict[str, object]:
    rules = _renamed(given, _RULES, " of constraints")
    # In the plain form a stack of none or of one is no stack.
    least = rules.get("min_from_team")
    if isinstance(least, int) and not isinstance(least, bool) and 0 <= least <= 1:
        del rules["min_from_team"]
    return rules


def _renamed(fields: Document, names: Mapping[str, str], where: str) -> dict[str, object]:
    for name, ours in names.items():
        if name in fields and ours in fields:
            raise BadInput(
                f"{name} and {ours}{where} are one thing, given twice.", field=name, hint="Drop one of them."
            )
    return {names.get(name, name): value for name, value in fields.items()}
