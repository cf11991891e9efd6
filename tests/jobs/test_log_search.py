"""Lines are found in logs of any length, in bounded steps, and no pattern holds up the daemon."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from meshd.errors import BadInput
from meshd.jobs import log_search
from meshd.jobs.browsing import LogPage
from meshd.jobs.log_search import MAX_PATTERN, search
from meshd_protocol.messages.jobs import MAX_LOG_PART_BYTES

pytestmark = pytest.mark.asyncio

PAGE_BYTES = 1 << 20


def pages_of(file: Path, *, ended: bool = True, size: int = PAGE_BYTES) -> Callable[[int], Awaitable[LogPage]]:
    async def read(after: int) -> LogPage:
        data = await asyncio.to_thread(file.read_bytes)
        rest = data[after:]
        return LogPage(1, after, rest[:size], len(data), done=ended and len(rest) <= size)

    return read


async def every(file: Path, pattern: str, *, is_regex: bool = False, limit: int = 1000) -> list[tuple[int, int, str]]:
    """Search to the end of a file, as whoever follows the cursor does."""
    lines: list[tuple[int, int, str]] = []
    cursor = ""
    while True:
        found = await search(pages_of(file), pattern, is_regex=is_regex, cursor=cursor, limit=limit)
        assert len(found.matches) <= limit
        lines += found.matches
        cursor = found.cursor
        if found.done:
            return lines


def made_up(folder: Path, lines: int) -> tuple[Path, list[str]]:
    texts = [f"{number} {'odd' if number % 997 == 0 else 'plain'} äö" for number in range(lines)]
    file = folder / "log"
    file.write_bytes("\n".join(texts).encode())
    return file, texts


@pytest.mark.parametrize(("pattern", "is_regex"), [("odd ä", False), (r"^\d+ odd .ö?", True)])
@pytest.mark.parametrize("limit", [7, 1000])
async def test_every_line_that_matches_is_found_once_with_its_number_and_its_offset(
    tmp_path: Path, pattern: str, is_regex: bool, limit: int
) -> None:
    file, texts = made_up(tmp_path, 60_000)
    data = file.read_bytes()

    found = await every(file, pattern, is_regex=is_regex, limit=limit)

    assert [(line, text) for line, _, text in found] == [
        (number + 1, text) for number, text in enumerate(texts) if "odd" in text
    ]
    assert all(data[offset:].startswith(text.encode()) for _, offset, text in found)


async def test_a_line_that_is_still_being_printed_is_found_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"first\nneed")
    before = await search(pages_of(file, ended=False), "need", is_regex=False, cursor="", limit=10)
    file.write_bytes(b"first\nneedle\n")
    after = await search(pages_of(file, ended=False), "need", is_regex=False, cursor=before.cursor, limit=10)

    assert (before.matches, before.done) == ([], False)
    assert (after.matches, after.done) == ([(2, 6, "needle")], False)


async def test_a_line_without_end_is_looked_at_in_pieces(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * (3 * PAGE_BYTES) + b"needle")

    assert [line for line, _, _ in await every(file, "needle")] == [1]


async def test_what_follows_a_long_line_of_a_peer_that_still_prints_is_found(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * (2 * MAX_LOG_PART_BYTES) + b"\nneedle\n")
    pages = pages_of(file, ended=False, size=MAX_LOG_PART_BYTES)

    found = await search(pages, "needle", is_regex=False, cursor="", limit=10)

    assert [line for line, _, _ in found.matches] == [2]
    assert not found.done


async def test_one_request_looks_at_a_bounded_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "MAX_SEARCHED_BYTES", PAGE_BYTES)
    file = tmp_path / "log"
    file.write_bytes(b"plain\n" * PAGE_BYTES)
    found = await search(pages_of(file), "needle", is_regex=False, cursor="", limit=10)

    assert (found.matches, found.done) == ([], False)
    assert int(found.cursor.partition(".")[0]) <= 2 * PAGE_BYTES


@pytest.mark.parametrize(
    ("pattern", "is_regex", "cursor", "says"),
    [
        ("", False, "", "1 to 256"),
        ("x" * (MAX_PATTERN + 1), False, "", "1 to 256"),
        ("(", True, "", "missing \\)"),
        ("x{99999999999}", True, "", "pattern: "),
        ("x", False, "-1.1", "cursor"),
        ("x", False, "1", "cursor"),
    ],
)
async def test_what_is_no_pattern_or_no_cursor_is_refused(
    tmp_path: Path, pattern: str, is_regex: bool, cursor: str, says: str
) -> None:
    file, _ = made_up(tmp_path, 3)
    with pytest.raises(BadInput, match=says):
        await search(pages_of(file), pattern, is_regex=is_regex, cursor=cursor, limit=10)


@pytest.mark.skipif(os.name != "posix", reason="no data: elsewhere it takes ten seconds")
async def test_a_pattern_that_tries_every_way_is_given_up_and_holds_up_nobody(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"a" * 60 + b"b\n")
    turns = 0

    async def look() -> None:
        with pytest.raises(BadInput, match="takes too long"):
            await search(pages_of(file), r"(a+)+$", is_regex=True, cursor="", limit=10)

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        while not looking.done():
            turns += 1
            await asyncio.sleep(0.01)

    assert turns > 20
