"""The fastest shape is measured once, and remembered for as long as it is worth anything."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from meshd.kinds.lineups.engine import autotune
from meshd.kinds.lineups.engine.autotune import ACCELERATOR_SHAPES, SHAPES, best_shape, measured, rates
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.tiles import Shape, cells_of

real_rates, real_measured = rates, measured


class Meter:
    """Stands in for the second that measuring takes."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, shapes: Sequence[Shape], *, looped: bool) -> dict[Shape, float]:
        del looped
        self.times += 1
        return {shape: 1e9 * (place + self.times) for place, shape in enumerate(shapes)}


class SetRates:
    """Stands in for rates that were measured."""

    def __init__(self, speed: dict[Shape, float]) -> None:
        self._speed = speed

    def __call__(self, *, looped: bool) -> dict[Shape, float]:
        del looped
        return self._speed


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Meter:
    found = Meter()
    monkeypatch.setenv("MESHD_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(autotune, "measured", found)
    monkeypatch.setattr(autotune, "rates", real_rates.__wrapped__)
    return found


def record_in(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_each_kernel_has_a_record_of_its_own(meter: Meter, tmp_path: Path) -> None:
    looped, fused = autotune.rates(looped=True), autotune.rates(looped=False)
    assert (set(looped), set(fused)) == (set(SHAPES), set(ACCELERATOR_SHAPES))
    assert (autotune.rates(looped=True), autotune.rates(looped=False)) == (looped, fused)
    assert (meter.times, len(list(tmp_path.iterdir()))) == (2, 2)


@pytest.mark.parametrize("looped", [True, False])
def test_measuring_gives_every_shape_a_speed(*, looped: bool) -> None:
    shapes = [Shape(1, 32, 64, 16), Shape(1, 64, 64, 16)]
    assert all(rate > 0 for rate in real_measured(shapes, looped=looped, cells=1).values())


def test_rates_are_read_back_instead_of_measured_again(meter: Meter, tmp_path: Path) -> None:
    first = autotune.rates(looped=True)
    assert autotune.rates(looped=True) == first
    assert meter.times == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", ["", "[]", '{"fingerprint": 1}', "no json"])
def test_a_damaged_record_is_measured_again(damage: str, meter: Meter, tmp_path: Path) -> None:
    autotune.rates(looped=True)
    record_in(tmp_path).write_text(damage)
    autotune.rates(looped=True)
    autotune.rates(looped=True)
    assert meter.times == 2


def test_rates_of_another_processor_or_version_are_not_believed(meter: Meter, tmp_path: Path) -> None:
    autotune.rates(looped=True)
    file = record_in(tmp_path)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fingerprint": "another"}))
    autotune.rates(looped=True)
    assert meter.times == 2


def test_without_a_folder_nothing_is_remembered(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHD_JAX_CACHE")
    autotune.rates(looped=True)
    autotune.rates(looped=True)
    assert meter.times == 2


def test_the_shape_is_chosen_by_speed_and_by_how_well_it_fits_the_slate(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = SHAPES[0], SHAPES[-1]
    lineups = Lineups(20, 6)
    assert cells_of(lineups, large) > 1.4 * cells_of(lineups, small)
    for speed, chosen in ((1.3, small), (3.0, large)):
        monkeypatch.setattr(autotune, "rates", SetRates({large: speed, small: 1.0}))
        assert best_shape(lineups, looped=True) == chosen
