"""The kind `echo` checks its specs and says what they cost."""

import pytest

from meshd import kinds
from meshd.errors import BadInput

ECHO = kinds.find("echo")


def test_resolving_fills_in_every_default_and_keeps_what_is_resolved() -> None:
    resolved = ECHO.validate({"text": "hello", "sleep_s": 2})

    assert resolved == {"text": "hello", "sleep_s": 2.0, "size_bytes": None, "fail": None, "behaviour": None}
    assert ECHO.validate(resolved) == resolved


@pytest.mark.parametrize(
    "spec",
    [
        {"txt": "hello"},
        {"sleep_s": -1},
        {"sleep_s": 3601},
        {"sleep_s": float("nan")},
        {"behaviour": "dance"},
        {"text": 1},
    ],
    ids=str,
)
def test_what_is_no_echo_is_bad_input(spec: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="this is no echo"):
        ECHO.validate(spec)


def test_it_costs_the_seconds_that_it_sleeps() -> None:
    assert ECHO.cost(ECHO.validate({"sleep_s": 2})) == 2.0
    assert ECHO.default_name(ECHO.validate({"text": "hello"})) == "echo hello"
