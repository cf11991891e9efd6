"""Presets are complete, may be overridden number by number, and nothing else is taken for one."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.scenarios.tracks import PRESETS, RANGES, TRACK_TYPES, Track, read_track, track_fields

GUIDE = Path(__file__).resolve().parents[4] / "docs" / "guide" / "scenarios.md"


def test_there_is_a_preset_for_every_track_type() -> None:
    assert TRACK_TYPES == ("intermediate", "superspeedway", "short", "road")
    assert {name: track.preset for name, track in PRESETS.items()} == {name: name for name in TRACK_TYPES}


@pytest.mark.parametrize("name", TRACK_TYPES)
def test_every_number_of_a_preset_is_within_its_range(name: str) -> None:
    track = PRESETS[name]
    assert {field.name for field in fields(Track)} == {"preset", "out", *RANGES}
    for number, (low, high) in RANGES.items():
        assert low <= getattr(track, number) <= high, number


@pytest.mark.parametrize("name", TRACK_TYPES)
def test_a_resolved_track_is_read_as_itself_after_its_journey_as_json(name: str) -> None:
    track = replace(PRESETS[name], laps=123, dnf=0.2)
    assert read_track(json.loads(json.dumps(track_fields(track)))) == track


def test_what_is_given_takes_the_presets_place() -> None:
    assert read_track({}) == PRESETS["intermediate"]
    given = {"preset": "short", "laps": 500, "rho": 1 / 8, "out": [0, 0.5, 1]}
    assert read_track(given) == replace(PRESETS["short"], laps=500, rho=0.125, out=(0.0, 0.5, 1.0))


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"preset": "oval"}, "model.preset", "unknown"),
        ({"preset": 3}, "model.preset", "unknown"),
        ({"lap": 3}, "model.lap", "no field"),
        ({"laps": 0}, "model.laps", "from 1 to 600"),
        ({"laps": 267.0}, "model.laps", "whole number"),
        ({"laps": True}, "model.laps", "not a whole number"),
        ({"laps": 10**400}, "model.laps", "from 1 to 600"),
        ({"dnf": "0.1"}, "model.dnf", "not a number"),
        ({"dnf": float("nan")}, "model.dnf", "from 0 to 0.9"),
        ({"dnf": -0.1}, "model.dnf", "from 0 to 0.9"),
        ({"rho": None}, "model.rho", "not a number"),
        ({"out": [0.5]}, "model.out", "quantiles"),
        ({"out": [0.5, 0.1]}, "model.out", "quantiles"),
        ({"out": [0.5, "1"]}, "model.out", "quantiles"),
        ({"out": 0.5}, "model.out", "quantiles"),
    ],
)
def test_anything_else_is_refused_by_name(given: dict[str, object], field: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        read_track(given)
    assert refused.value.field == field


def test_the_guide_tells_the_numbers_of_every_preset() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (.+) \|$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    told = {name: tuple(numbers.split(" | ")) for name, numbers in rows}
    assert told == {name: tuple(f"{getattr(PRESETS[kind], name):g}" for kind in TRACK_TYPES) for name in RANGES}
