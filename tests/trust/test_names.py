import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from meshd.trust.names import safe_name
from meshd_protocol.limits import MAX_NAME


def test_a_plain_name_stays_as_it_is() -> None:
    for name in ("pc", "Anna's Büro-PC", "リビング", "👩"):
        assert safe_name(name, "x") == name


def test_nothing_hides_reorders_or_breaks_a_line() -> None:
    assert safe_name("evil\u202ecp\n\x1b[31m\u200b box\t\r", "x") == "evilcp[31m box"


def test_a_name_of_nothing_is_replaced() -> None:
    assert safe_name(" \u200b\n", "abcd") == "abcd"


@given(st.text())
def test_every_safe_name_is_short_visible_and_safe_already(text: str) -> None:
    name = safe_name(text, "x")

    assert 0 < len(name) <= MAX_NAME
    assert not any(unicodedata.category(char).startswith(("C", "Zl", "Zp")) for char in name)
    assert safe_name(name, "y") == name
