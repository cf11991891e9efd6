"""The fastest shape is measured once, and remembered for as long as it is worth anything."""

import json
from pathlib import Path

import pytest

from meshd.kinds.lineups.engine import autotune
from meshd.kinds.lineups.engine.autotune import SHAPES, best_shape, rates
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.tiles import Shape, cells_of

real_rates = rates


class Meter:
    """Stands in for the second that measuring takes."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[Shape, float]:
        self.times += 1
        return {shape: 1e9 * (place + self.times) for place, shape in enumerate(SHAPES)}


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Meter:
    found = Meter()
    monkeypatch.setenv("MESHD_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(autotune, "_measured", found)
    monkeypatch.setattr(autotune, "rates", real_rates.__wrapped__)
    return found


def test_rates_are_read_back_instead_of_measured_again(meter: Meter, tmp_path: Path) -> None:
    first = autotune.rates()
    assert autotune.rates() == first
    assert meter.times == 1
    assert [file.name for file in tmp_path.iterdir()] == ["tiles.json"]


@pytest.mark.parametrize("damage", ["", "[]", '{"fingerprint": 1}', "no json"])
def test_a_damaged_record_is_measured_again(damage: str, meter: Meter, tmp_path: Path) -> None:
    autotune.rates()
    (tmp_path / "tiles.json").write_text(damage)
    autotune.rates()
    autotune.rates()
    assert meter.times == 2


def test_rates_of_another_processor_or_version_are_not_believed(meter: Meter, tmp_path: Path) -> None:
    autotune.rates()
    file = tmp_path / "tiles.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fingerprint": "another"}))
    autotune.rates()
    assert meter.times == 2


def test_without_a_folder_nothing_is_remembered(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHD_JAX_CACHE")
    autotune.rates()
    autotune.rates()
    assert meter.times == 2


def test_the_shape_is_chosen_by_speed_and_by_how_well_it_fits_the_slate(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = SHAPES[0], SHAPES[-1]
    lineups = Lineups(20, 6)
    assert cells_of(lineups, large) > 1.4 * cells_of(lineups, small)
    for speed, chosen in ((1.3, small), (3.0, large)):
        monkeypatch.setattr(autotune, "rates", lambda speed=speed: {large: speed, small: 1.0})
        assert best_shape(lineups) == chosen
