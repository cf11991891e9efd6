import msgspec
import pytest

from meshd.client.lineups import Player, read, short_names
from meshd.errors import BadInput
from meshd_protocol.localapi import NO_DOCUMENT


@pytest.mark.parametrize("raw", [NO_DOCUMENT, msgspec.Raw(b"{}"), msgspec.Raw(b"[1]")])
def test_another_result_is_refused(raw: msgspec.Raw) -> None:
    with pytest.raises(BadInput):
        read(raw)


def test_drivers_are_told_apart_by_as_little_as_it_takes() -> None:
    names = ["Kyle Busch", "Kurt Busch", "Martin Truex Jr.", "Ryan Truex", "Cher", "Chase Elliott"]
    players = [Player(id=str(number), name=name, salary=0, mean=0.0) for number, name in enumerate(names)]

    assert list(short_names(players).values()) == ["Ky. Busch", "Ku. Busch", "M. Truex", "R. Truex", "Cher", "Elliott"]


def test_particles_stay_with_their_surname_and_captains_and_constructors_are_recognised() -> None:
    rows: list[tuple[str, list[str]]] = [
        ("Shane van Gisbergen", []),
        ("Elly De La Cruz", ["SS"]),
        ("Max Verstappen", ["CPT"]),
        ("Max Verstappen", ["D"]),
        ("Red Bull Racing", ["CNSTR"]),
        ("Van Jefferson", ["WR"]),
    ]
    players = [
        Player(id=str(number), name=name, salary=0, mean=0.0, positions=positions)
        for number, (name, positions) in enumerate(rows)
    ]
    assert list(short_names(players).values()) == [
        "van Gisbergen", "De La Cruz", "Verstappen (C)", "Verstappen", "Red Bull Racing", "Jefferson",
    ]  # fmt: skip
