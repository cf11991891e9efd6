import msgspec
import pytest

from meshd.client.lineups import Player, read, short_names, upload_csv
from meshd.errors import BadInput
from tests.support.services import lineups_result


def test_the_upload_has_a_title_for_each_driver_and_names_with_ids() -> None:
    title, line, end = upload_csv(read(msgspec.Raw(msgspec.json.encode(lineups_result())))).split("\r\n")

    assert title == "D,D,D,D,D,D"
    assert line.startswith("Ada North (101),Bo South (102),")
    assert end == ""


def test_a_name_that_a_spreadsheet_would_compute_is_quoted() -> None:
    result = lineups_result()
    result["lineups"][0]["names"][0] = '=HYPERLINK("x")'  # pyright: ignore[reportIndexIssue, reportUnknownMemberType]

    text = upload_csv(read(msgspec.Raw(msgspec.json.encode(result))))

    assert "\"'=HYPERLINK(" in text


@pytest.mark.parametrize("raw", [None, msgspec.Raw(b"{}"), msgspec.Raw(b"[1]")])
def test_another_result_is_refused(raw: msgspec.Raw | None) -> None:
    with pytest.raises(BadInput):
        read(raw)


def test_drivers_are_told_apart_by_as_little_as_it_takes() -> None:
    names = ["Kyle Busch", "Kurt Busch", "Martin Truex Jr.", "Ryan Truex", "Cher", "Chase Elliott"]
    players = [Player(id=str(number), name=name, salary=0, mean=0.0) for number, name in enumerate(names)]

    assert list(short_names(players).values()) == ["Ky. Busch", "Ku. Busch", "M. Truex", "R. Truex", "Cher", "Elliott"]
