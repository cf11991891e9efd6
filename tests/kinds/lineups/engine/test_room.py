"""Tables fit the memory that there is, and are never smaller than is worth the trouble."""

import psutil
import pytest

from meshd.kinds.lineups.engine.room import LEAST_AT_ONCE, at_once, room_here
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS

WIDTH = 10_000
"""Sums of a scenario: 20 KB."""


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (None, (CHUNK_SCENARIOS, True)),
        (50_000_000, (CHUNK_SCENARIOS, True)),
        (30_000_000, (CHUNK_SCENARIOS, False)),
        (12_000_000, (CHUNK_SCENARIOS // 2, False)),
        (0, (LEAST_AT_ONCE, False)),
    ],
)
def test_tables_take_what_there_is_room_for(room: int | None, expected: tuple[int, bool]) -> None:
    assert at_once(WIDTH, room) == expected


def test_the_room_is_half_of_what_is_free_and_no_more_than_a_limit_leaves() -> None:
    held, free = psutil.Process().memory_info().rss, psutil.virtual_memory().available
    assert 0 < room_here(0, None) <= free
    assert room_here(0, held // 2) == 0
    limit = held + 100_000_000
    assert 0 <= room_here(0, limit) <= 150_000_000
    assert room_here(1_000_000, limit) <= max(0, room_here(0, limit) - 20_000_000)
