"""Objectives: what lineups are chosen for, written as an object or in one short word."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from meshd.errors import BadInput
from meshd.kinds.lineups.input.fields import members, number, refuse_unknown, whole
from meshd.kinds.lineups.limits import MAX_POINTS, MIN_QUANTILE_SCENARIOS, MIN_TAIL_RACES

MAX_OPPONENTS = 32_000
"""Opponents are counted in 16 bits. The largest contests have more entries, and the same scores to beat."""

FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mean": (),
        "quantile": ("q",),
        "p_beat": ("threshold",),
        "p_top_field": ("field",),
        "portfolio_cover": ("threshold", "field"),
        "portfolio_emax": (),
    }
)
"""Each kind of objective, with the fields it has."""

_FIELD_DEFAULTS: Mapping[str, object] = MappingProxyType({"size": 5_000, "percentile": 0.99, "temperature": 7.0})

_SPENT = 0.96
"""The share of the cap that opponents spend at least, as far as the slate lets them."""

_HUNDREDS = 10_000

_HINT = "Write mean, p90, beat:280, beat:1%, cover:1%, cover:320 or emax, or an object with a kind."

_WORD = re.compile(
    r"p(?P<q>\d{1,2}(?:\.\d{1,3})?)|(?P<kind>beat|cover)(?::(?P<amount>\d{1,4}(?:\.\d{1,3})?)(?P<share>%?))?"
)


def read_objective(given: object, *, scenarios: int, field_floor: int) -> dict[str, object]:
    """Return an objective with every field filled in. Opponents spend at least `field_floor` unless it is said.

    Raises:
        BadInput: it is none, or the scenarios are too few to tell lineups apart by it.
    """
    fields = _in_words(given) if isinstance(given, str) else members(given, field="objective")
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise _unknown(given)
    refuse_unknown(fields, ("kind", *FIELDS[kind]), " in objective")
    resolved: dict[str, object] = {"kind": kind}
    if "q" in FIELDS[kind]:
        resolved["q"] = q = number(fields.get("q", 0.9), 0.01, 0.9999, field="objective", what="The quantile q")
        _refuse_too_few(scenarios, 1.0 - q, f"p{100 * q:g}")
    if "threshold" in FIELDS[kind] and fields.get("threshold") is not None:
        if fields.get("field") is not None:
            raise BadInput(
                "The objective has both a threshold and a field.", field="objective", hint="Give one of them."
            )
        resolved["threshold"] = number(
            fields["threshold"], -MAX_POINTS, MAX_POINTS, field="objective", what="The threshold"
        )
    elif "field" in FIELDS[kind]:
        resolved["field"] = _field(fields.get("field"), scenarios, field_floor)
    elif "threshold" in FIELDS[kind]:
        raise BadInput("The objective p_beat needs a threshold.", field="objective", hint="Write the points to reach.")
    return resolved


def refuse_too_few_to_rank(objective: Mapping[str, object], scenarios: int) -> None:
    """Refuse scenarios that are too few for anything but the mean."""
    if objective["kind"] != "mean" and scenarios < MIN_QUANTILE_SCENARIOS:
        raise BadInput(
            f"{scenarios:,} scenarios are too few to rank lineups by anything but the mean.",
            field="scenarios",
            hint=f"Use at least {MIN_QUANTILE_SCENARIOS:,}.",
        )


def spent_at_least(cheapest: int, dearest: int, cap: int) -> int:
    """Return what opponents spend at least: nearly all of the cap, or of what there is to spend."""
    floor = min(_SPENT * cap, cheapest + 0.6 * (dearest - cheapest), cheapest + 0.8 * (cap - cheapest))
    # Salaries are whole hundreds, or where the cap is small, whole dollars.
    step = 100 if cap >= _HUNDREDS else 1
    return max(0, int(floor) // step * step)


def _field(given: object, scenarios: int, floor: int) -> dict[str, object]:
    fields = members(given, field="objective.field")
    refuse_unknown(fields, (*_FIELD_DEFAULTS, "salary_min"), " in objective.field")
    share = number(fields.get("percentile", 0.99), 0.5, 0.9999, field="objective", what="The field's percentile")
    _refuse_too_few(scenarios, 1.0 - share, f"the chance of the top {100 * (1 - share):g}%")
    temperature = fields.get("temperature", 7.0)
    return {
        "size": whole(fields, "size", 100, MAX_OPPONENTS, 5_000, what="The field's size"),
        "percentile": share,
        "temperature": number(temperature, 0.5, 100, field="objective", what="The field's temperature"),
        "salary_min": whole(fields, "salary_min", 0, 1_000_000, floor, what="The field's salary_min"),
    }


def _in_words(word: str) -> dict[str, object]:
    plain = word.strip().casefold()
    if plain == "mean":
        return {"kind": "mean"}
    if plain == "emax":
        return {"kind": "portfolio_emax"}
    found = _WORD.fullmatch(plain)
    if found is None:
        if plain in FIELDS:
            return {"kind": plain}
        raise _unknown(word)
    if found["q"]:
        return {"kind": "quantile", "q": round(float(found["q"]) / 100, 6)}
    amount = found["amount"]
    if amount and not found["share"]:
        return {"kind": "p_beat" if found["kind"] == "beat" else "portfolio_cover", "threshold": float(amount)}
    share = round(1 - float(amount or 1) / 100, 6)
    return {
        "kind": "p_top_field" if found["kind"] == "beat" else "portfolio_cover",
        "field": {"percentile": share},
    }


def _unknown(given: object) -> BadInput:
    return BadInput(f"The objective {str(given)[:60]!r} is unknown.", field="objective", hint=_HINT)


def _refuse_too_few(scenarios: int, tail: float, what: str) -> None:
    if scenarios * tail < MIN_TAIL_RACES - 1e-6:
        least = -(-MIN_TAIL_RACES * 1_000_000 // round(tail * 1_000_000))
        raise BadInput(
            f"{scenarios:,} scenarios are too few to rank lineups by {what}.",
            field="scenarios",
            hint=f"Use at least {least:,}.",
        )
