import pytest

from meshd.errors import BadInput
from meshd.trust.policy import DEFAULT_PERMISSIONS, checked, may


def test_numeric_jobs_are_allowed_by_default_and_programs_are_not() -> None:
    assert may(DEFAULT_PERMISSIONS, "lineups")
    assert may(DEFAULT_PERMISSIONS, "function")
    assert not may(DEFAULT_PERMISSIONS, "command")
    assert not may(DEFAULT_PERMISSIONS, "requirement")


def test_nothing_is_allowed_that_was_not_granted() -> None:
    assert not may((), "lineups")
    assert not may(("command",), "comman")


def test_permissions_are_kept_once_and_in_order() -> None:
    assert checked(["lineups", "command", "lineups"]) == ("command", "lineups")


@pytest.mark.parametrize("kinds", [[""], ["two words"], ["x" * 65], [f"k{number}" for number in range(65)]])
def test_what_cannot_be_a_kind_is_refused(kinds: list[str]) -> None:
    with pytest.raises(BadInput):
        checked(kinds)
