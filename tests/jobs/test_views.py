"""Instants are shown as people write them, whoever they came from."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from meshd.jobs.views import iso


@given(st.floats(0, 4e9))
def test_an_instant_is_shown_in_utc_to_the_millisecond(at: float) -> None:
    micros = datetime.fromtimestamp(at, UTC)
    assert iso(at) == micros.isoformat(timespec="milliseconds").replace("+00:00", "Z")
