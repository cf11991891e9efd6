import unicodedata
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.errors import Conflict
from meshd.trust.names import meant, only, safe_name
from meshd_protocol.ids import DeviceId
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


class Device(NamedTuple):
    device: DeviceId
    name: str


PC, BOX, ODD = (
    Device(DeviceId("pcpcpcpc"), "pc"),
    Device(DeviceId("boxboxbo"), "Vm"),
    Device(DeviceId("vmvmvmvm"), "pcpc"),
)
OTHER = Device(DeviceId("boxesbox"), "vm")


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("PC", [PC]),
        ("pcpcpcpc", [PC]),
        ("pcpc", [ODD]),
        ("VM", [BOX, OTHER]),
        ("boxb", [BOX]),
        ("box", []),
        ("vmvm", [ODD]),
        ("", []),
    ],
)
def test_an_id_goes_before_a_name_and_a_name_before_the_start_of_an_id(text: str, devices: list[Device]) -> None:
    assert meant(text, [PC, BOX, ODD, OTHER]) == devices


def test_who_can_be_any_of_several_is_refused_with_their_ids() -> None:
    with pytest.raises(Conflict, match=r"^'vm' can be any of Vm \(boxboxbo\), vm \(boxesbox\)$"):
        only("vm", [BOX, OTHER])
    assert only("vm", [BOX]) == BOX
    assert only("vm", []) is None
