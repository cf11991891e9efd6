"""What the engine's tests share."""

import pytest

from meshd.kinds.lineups.engine import autotune
from meshd.kinds.lineups.engine.tiles import Shape


@pytest.fixture(autouse=True)
def one_small_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one shape instead of timing several: which one is chosen says nothing about what is counted."""
    monkeypatch.setattr(autotune, "rates", lambda: {Shape(1, 64, 128, 16): 1.0})
