import csv
import io

import msgspec
import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.upload import FORMULA, upload_csv

OTHERS = ("Bo South", "Cy East", "Di West", "Ed North", "Flo Gale")


def result(*names: str, site: str = "draftkings") -> bytes:
    ids = [str(number) for number in range(101, 101 + len(names))]
    lineups = [{"ids": ids, "names": names, "salary": 1}]
    return msgspec.json.encode({"lineups": lineups, "players": [], "sport": "nascar", "site": site})


def test_draftkings_gets_a_title_for_each_place_and_names_with_ids() -> None:
    told = upload_csv(result("Ada North", *OTHERS))
    assert told.startswith("D,D,D,D,D,D\r\nAda North (101),Bo South (102),")
    assert told.endswith(",Flo Gale (106)\r\n")


def test_fanduel_gets_ids_with_names() -> None:
    told = upload_csv(result("Ada North", *OTHERS[:4], site="fanduel"))
    assert told.startswith("Driver,Driver,Driver,Driver,Driver\r\n101:Ada North,102:Bo South,")


@pytest.mark.parametrize("sign", FORMULA)
def test_a_name_that_a_spreadsheet_would_compute_is_defused_and_still_one_cell(sign: str) -> None:
    name = f'{sign}HYPERLINK("x";"y,z")'
    _, cells = csv.reader(io.StringIO(upload_csv(result(name, *OTHERS)), newline=""))

    assert cells[:2] == [f"'{name} (101)", "Bo South (102)"]


def test_the_signs_of_a_formula_are_those_that_spreadsheets_know() -> None:
    assert set(FORMULA) == {"=", "+", "-", "@", "\t", "\r"}


def test_no_lineups_are_still_a_file_that_the_site_reads() -> None:
    assert upload_csv(b'{"lineups": [], "sport": "nascar", "site": "draftkings"}') == "D,D,D,D,D,D\r\n"


@pytest.mark.parametrize(
    "wrong",
    [
        b"null",
        b"{}",
        b'{"lineups": []}',
        b"[",
        result("Ada"),
        result("Ada North", *OTHERS, site="fanduel"),
        result("A", site="moon"),
    ],
)
def test_another_result_is_refused(wrong: bytes) -> None:
    with pytest.raises(BadInput):
        upload_csv(wrong)
