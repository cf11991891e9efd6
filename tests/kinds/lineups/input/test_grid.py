"""The starting grid comes in many ways; who is not on it does not start."""

from collections.abc import Callable
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups import kind

MakeSpec = Callable[[int], dict[str, object]]


def drivers_of(spec: dict[str, object]) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", spec["drivers"])


def starts_of(spec: dict[str, object]) -> dict[str, object]:
    return {str(driver["id"]): driver["start_position"] for driver in drivers_of(kind.validate(spec))}


def test_a_grid_may_come_as_names_ids_csv_or_with_the_drivers(small_slate: MakeSpec) -> None:
    spec = {**small_slate(8), "constraints": {"salary_cap": 60_000}}
    expected = {str(100 + number): 8 - number for number in range(8)}
    csv_text = "Driver,Start\r\n" + "".join(f"driver {number},{8 - number}\r\n" for number in range(8))
    given: list[object] = [
        expected,
        {f"Driver {number}": 8 - number for number in range(8)},
        csv_text,
        "\ufeff" + csv_text.split("\r\n", 1)[1],
    ]
    for grid in given:
        assert starts_of({**spec, "grid": grid}) == expected
    for number, driver in enumerate(drivers_of(spec)):
        driver["start_position"] = 8 - number
    assert starts_of(spec) == expected
    with pytest.raises(BadInput, match="given twice"):
        kind.validate({**spec, "grid": expected})


def test_who_is_not_on_the_grid_counts_as_withdrawn_and_is_said(small_slate: MakeSpec) -> None:
    grid = {f"Driver {number}": number + 1 for number in range(8)}
    spec = {**small_slate(9), "constraints": {"salary_cap": 60_000}, "grid": grid}
    resolved = kind.validate(spec)
    assert [driver["withdrawn"] for driver in drivers_of(resolved)] == [False] * 8 + [True]
    assert resolved["notices"] == ["Driver 8 is not on the grid, and counts as withdrawn."]


def test_a_withdrawn_driver_leaves_no_hole_in_the_grid(small_slate: MakeSpec) -> None:
    grid = {f"Driver {number}": number + 1 for number in range(9)}
    rules = {"salary_cap": 60_000, "withdrawn": ["Driver 3"]}
    found = starts_of({**small_slate(9), "constraints": rules, "grid": grid})
    assert found["103"] is None
    assert None not in {place for who, place in found.items() if who != "103"}
