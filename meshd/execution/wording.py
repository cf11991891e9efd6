"""What programs say, made fit to be sent and to be read: they may say anything, at any length."""

import traceback

MAX_ERROR = 500
"""Characters of an error's own words within a sentence; all of them are in the traceback."""


def one_line(text: str, limit: int) -> str:
    """Return at most `limit` characters of the text in one line that can be sent and printed."""
    # A few times as many, for the space among them goes; not all, for a program may say a gigabyte.
    words = " ".join(text[: 4 * limit].split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words[:limit])


def words_of(error: BaseException) -> str:
    """Return an error's type and text in one line, even when the error cannot tell its text."""
    try:
        text = str(error)
    except BaseException as worse:  # noqa: BLE001 - the code of a program, which may raise what it likes
        text = f"what it says cannot be told: {type(worse).__name__}"
    name = type(error).__name__
    return one_line(f"{name}: {text}" if text else name, MAX_ERROR)


def trace_of(error: BaseException, limit: int) -> str:
    """Return an error's traceback, without its middle where it has more than `limit` characters."""
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception as worse:  # noqa: BLE001 - as above
        trace = f"the traceback cannot be told: {type(worse).__name__}"
    if len(trace) > limit:
        # Where it began, and what it was in the end: the middle of an endless recursion is more of the same.
        trace = f"{trace[: limit // 4]}\n[..]\n{trace[-limit // 2 :]}"
    return trace.encode(errors="replace").decode()
