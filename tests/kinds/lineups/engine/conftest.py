"""What the engine's tests share."""

import pytest

from meshd.kinds.lineups.engine import autotune
from meshd.kinds.lineups.engine.tiles import Shape
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS


def small_shape(*, looped: bool) -> dict[Shape, float]:
    """Stand in for rates that were measured."""
    return {Shape(1, 64, 128, 16 if looped else CHUNK_SCENARIOS): 1.0}


@pytest.fixture(autouse=True)
def one_small_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one shape instead of timing several: which one is chosen says nothing about what is counted."""
    monkeypatch.setattr(autotune, "rates", small_shape)
