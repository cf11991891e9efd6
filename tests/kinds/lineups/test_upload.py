import csv
import io

import msgspec
import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.upload import FORMULA, upload_csv


def result(*names: str) -> bytes:
    ids = [str(number) for number in range(101, 101 + len(names))]
    return msgspec.json.encode({"lineups": [{"ids": ids, "names": names, "salary": 1}], "players": []})


def test_the_upload_has_a_title_for_each_driver_and_names_with_ids() -> None:
    assert upload_csv(result("Ada North", "Bo South")) == "D,D\r\nAda North (101),Bo South (102)\r\n"


@pytest.mark.parametrize("sign", FORMULA)
def test_a_name_that_a_spreadsheet_would_compute_is_defused_and_still_one_cell(sign: str) -> None:
    name = f'{sign}HYPERLINK("x";"y,z")'
    _, cells = csv.reader(io.StringIO(upload_csv(result(name, "Bo South")), newline=""))

    assert cells == [f"'{name} (101)", "Bo South (102)"]


def test_the_signs_of_a_formula_are_those_that_spreadsheets_know() -> None:
    assert set(FORMULA) == {"=", "+", "-", "@", "\t", "\r"}


def test_no_lineups_are_still_a_file_that_the_site_reads() -> None:
    assert upload_csv(b'{"lineups": []}') == "D,D,D,D,D,D\r\n"


@pytest.mark.parametrize("wrong", [b"null", b"{}", b'{"lineups": [{"ids": ["1"], "names": []}]}', b"["])
def test_another_result_is_refused(wrong: bytes) -> None:
    with pytest.raises(BadInput):
        upload_csv(wrong)
