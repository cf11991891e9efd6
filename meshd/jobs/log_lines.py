"""The lines of a piece of a log that match.

As a program it looks for a regular expression: one that tries every way to match would hold up the daemon for hours,
and a process of its own can be ended.
"""

import json
import re
import sys
from collections.abc import Callable, Sequence

MAX_TEXT_BYTES = 4 << 10
"""What is told of a line."""

CPU_S = 2
"""What a piece may take: a megabyte takes a sensible expression some hundredths of a second."""

Match = tuple[int, int, str]
"""The number of a line, the byte where it begins, and its text."""


def matching(
    data: bytes, matches: Callable[[bytes], object], line: int, offset: int, limit: int
) -> tuple[Sequence[Match], int]:
    """Return the lines in `data` that match, `limit` at most, and how many bytes were looked at.

    `line` is the number of the first one, and `offset` where it begins in its log.
    """
    found: list[Match] = []
    at = 0
    while at < len(data) and len(found) < limit:
        end = data.find(b"\n", at)
        text = data[at : len(data) if end < 0 else end]
        if matches(text):
            found.append((line, offset + at, text[:MAX_TEXT_BYTES].decode(errors="replace")))
        line += 1
        at = len(data) if end < 0 else end + 1
    return found, at


def main() -> None:
    """Read a line of JSON and a piece of a log from stdin; print what was found."""
    try:
        import resource
    except ImportError:
        # Windows: whoever waits for the answer ends this process.
        pass
    else:
        # Also when nobody is left who could end it.
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    pattern, line, offset, limit = json.loads(sys.stdin.buffer.readline())
    search = re.compile(str(pattern)).search

    def matches(text: bytes) -> object:
        return search(text.decode(errors="replace"))

    json.dump(matching(sys.stdin.buffer.read(), matches, line, offset, limit), sys.stdout)


if __name__ == "__main__":
    main()
