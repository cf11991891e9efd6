"""A cursor leads on in the list that gave it, and nowhere else."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.errors import BadInput
from meshd.jobs.query import MAX_CURSOR, Bookmark, JobQuery, cursor, read_cursor
from meshd.store.listing import Place

QUERY = JobQuery(states=("queued",), text="day", sort="name")
MARK = Bookmark(Place("Sunday", 7), 1.5)

keys = st.one_of(st.text(max_size=64), st.floats(allow_nan=False, allow_infinity=False), st.integers(-100, 100))


@given(key=keys, number=st.integers(1, 2**53), at=st.floats(0, 1e10))
def test_a_cursor_says_again_where_a_page_has_ended(key: str | float, number: int, at: float) -> None:
    mark = Bookmark(Place(key, number), at)
    text = cursor(QUERY, mark)

    assert read_cursor(text, QUERY) == mark
    assert len(text) <= MAX_CURSOR
    assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "other",
    [
        replace(QUERY, sort="date"),
        replace(QUERY, is_descending=False),
        replace(QUERY, text="night"),
        replace(QUERY, states=()),
        replace(QUERY, since=1.0),
        replace(QUERY, device="pc"),
    ],
)
def test_the_cursor_of_another_list_is_refused(other: JobQuery) -> None:
    with pytest.raises(BadInput, match="cursor"):
        read_cursor(cursor(QUERY, MARK), other)


@given(text=st.text(max_size=80))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="cursor"):
        read_cursor(text, QUERY)


def test_a_damaged_cursor_is_refused_wherever_it_is_damaged() -> None:
    text = cursor(QUERY, MARK)
    for place, character in enumerate(text):
        damaged = text[:place] + ("A" if character != "A" else "B") + text[place + 1 :]
        # The last character of base64 may have bits that mean nothing.
        if place < len(text) - 1:
            with pytest.raises(BadInput):
                read_cursor(damaged, QUERY)
    for wrong in (text[:-2], text * 40, "", "=" * 8):
        with pytest.raises(BadInput):
            read_cursor(wrong, QUERY)


def test_a_list_has_no_place_that_is_no_number() -> None:
    with pytest.raises(BadInput):
        read_cursor(cursor(QUERY, Bookmark(Place(math.nan, 1), 0.0)), QUERY)
