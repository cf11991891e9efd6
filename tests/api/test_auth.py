import os
from pathlib import Path

import pytest

from meshd.api.auth import create_token, holds


def test_each_start_has_a_token_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "api-token"
    first, second = create_token(file), create_token(file)

    assert first != second
    assert file.read_text() == second
    assert len(second) >= 40
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_start_left_half_done_goes_with_the_next(tmp_path: Path) -> None:
    file = tmp_path / "api-token"
    (tmp_path / "api-token.new").write_text("half")

    assert create_token(file) == file.read_text()
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_nobody_else_can_read_the_token_even_where_the_umask_lets_them(tmp_path: Path) -> None:
    file = tmp_path / "api-token"
    file.write_text("old")
    file.chmod(0o644)
    before = os.umask(0)
    try:
        create_token(file)
    finally:
        os.umask(before)

    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer abcd", "Bearer ab\u00e9"]
)
def test_only_the_whole_token_opens(header: str | None) -> None:
    assert not holds(header, "abc")
    assert holds("Bearer abc", "abc")
