"""What the scenario tests share: real races, real slates, and a field of invented drivers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from meshd.kinds.lineups.scenarios.entries import Entry
from tests.kinds.lineups.scenarios.race_logs import LoggedRace, read_races
from tests.kinds.lineups.scenarios.slates import JudgedSlate, read_slates


@pytest.fixture(scope="session")
def races(shared_data: Path) -> list[LoggedRace]:
    """Return all real races, oldest first."""
    return read_races(shared_data)


@pytest.fixture(scope="session")
def slates(shared_data: Path, races: list[LoggedRace]) -> list[JudgedSlate]:
    """Return the real salary files whose races have been run."""
    return read_slates(shared_data, races)


@pytest.fixture
def invented() -> Callable[..., list[Entry]]:
    """Return a maker of fields: salaries fall from driver to driver, and the best start at the back if at all told."""

    def make(drivers: int = 38, *, grid: bool = False) -> list[Entry]:
        return [
            Entry(
                salary=11_000 - 170 * place,
                average=900 - 18 * place,
                start=drivers - place if grid else None,
            )
            for place in range(drivers)
        ]

    return make
