"""What the lineup tests share: small slates, and the real files beside the project."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def small_slate() -> Callable[[int], dict[str, object]]:
    """Return a maker of specs with a few invented drivers whose salaries make the cap bite."""

    def make(drivers: int) -> dict[str, object]:
        return {
            "drivers": [
                {
                    "id": str(100 + number),
                    "name": f"Driver {number}",
                    "salary": 5_500 + 100 * (number * 37 % 54),
                    "avg_points": 10 + number * 29 % 41,
                }
                for number in range(drivers)
            ]
        }

    return make


@pytest.fixture
def real_file(shared_data: Path) -> Callable[[str], str]:
    """Return a reader of the real files beside the project."""
    return lambda name: (shared_data / name).read_text(encoding="utf-8")
