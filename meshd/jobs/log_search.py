"""Finds lines in what an attempt has printed, in bounded steps: a search that is not over says where to go on."""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

from meshd.errors import BadInput
from meshd.jobs.browsing import LogPage
from meshd.jobs.log_lines import CPU_S, Match, matching

MAX_SEARCHED_BYTES = 8 << 20
"""What one request looks at, page by page: a tenth of a second or two."""

MAX_PATTERN = 256

_CURSOR = re.compile(r"(\d{1,15})\.(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Found:
    """What a request has found, and where the next one goes on."""

    attempt: int
    matches: Sequence[Match]
    cursor: str
    done: bool
    """Whether nothing follows."""


async def search(
    read: Callable[[int], Awaitable[LogPage]], pattern: str, *, is_regex: bool, cursor: str, limit: int
) -> Found:
    """Return the next lines that contain `pattern`, or match it; `read` returns what was printed from a byte on.

    A last line without an end counts once nothing follows it.

    Raises:
        BadInput: that is no pattern, or takes too long; or no cursor.
    """
    if not 0 < len(pattern) <= MAX_PATTERN:
        raise BadInput(f"pattern: expected 1 to {MAX_PATTERN} characters", field="pattern")
    if is_regex:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise BadInput(
                f"pattern: {error}", field="pattern", hint="a regular expression, as Python has them"
            ) from None
    at = _CURSOR.fullmatch(cursor or "0.1")
    if at is None:
        raise BadInput("after: not the cursor of a search", field="after")
    offset, line = int(at[1]), int(at[2])
    found: list[Match] = []
    searched = 0
    while True:
        page = await read(offset)
        # Beyond what was asked for, where something is gone.
        offset = page.offset
        whole = len(page.data) if page.done else page.data.rfind(b"\n") + 1
        if not whole and offset + len(page.data) < page.end:
            # A line that goes on behind its page is looked at in pieces.
            whole = len(page.data)
        data = page.data[:whole]
        if data:
            matches, looked = await _matching(data, pattern, line, offset, limit - len(found), is_regex=is_regex)
            found += matches
            line += data.count(b"\n", 0, looked)
            offset += looked
            searched += looked
        is_over = page.done and offset >= page.offset + len(page.data)
        if is_over or not data or len(found) >= limit or searched >= MAX_SEARCHED_BYTES:
            return Found(page.attempt, found, f"{offset}.{line}", done=is_over)


async def _matching(
    data: bytes, pattern: str, line: int, offset: int, limit: int, *, is_regex: bool
) -> tuple[Sequence[Match], int]:
    if not is_regex:
        needle = pattern.encode()
        return await asyncio.to_thread(matching, data, lambda text: needle in text, line, offset, limit)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "meshd.jobs.log_lines",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    question = json.dumps([pattern, line, offset, limit]).encode() + b"\n"
    try:
        async with asyncio.timeout(5 * CPU_S):
            answer, _ = await process.communicate(question + data)
    except TimeoutError:
        answer = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not answer:
        raise BadInput(
            "pattern: it takes too long", field="pattern", hint="without repetitions inside repetitions, it is quick"
        )
    matches, looked = cast("tuple[list[list[int | str]], int]", tuple(json.loads(answer)))
    return [(int(number), int(begins), str(text)) for number, begins, text in matches], looked
