"""The result of a program as JSON: what JSON cannot say is refused, with the place where it is."""

import math
from typing import cast

import msgspec

from meshd.errors import MeshdError
from meshd.execution import ipc
from meshd.kinds.base import Document
from meshd_protocol.limits import MAX_DEPTH

MAX_PLACE = 80
"""Characters that say where something is."""


class BadResult(MeshdError):
    """A program has returned what no answer can carry."""

    code = "crashed"


def to_json(result: Document) -> bytes:
    """Return a result as JSON.

    Raises:
        BadResult: it holds something that JSON has no form for, or is too long.
    """
    try:
        data = msgspec.json.encode(result)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadResult(
            f"the result cannot be written as JSON: {error}", hint="return numbers, texts, lists and objects only"
        ) from error
    if len(data) > ipc.MAX_RESULT_BYTES:
        raise BadResult(
            f"the result has {len(data):,} bytes, and {ipc.MAX_RESULT_BYTES:,} are allowed", hint="ask for less of it"
        )
    if (trouble := find_trouble(result)) is not None:
        raise BadResult(f"the result cannot be written as JSON: it has {trouble}", hint="return something else there")
    return data


def find_trouble(result: Document) -> str | None:
    """Return what readers could not take, and where, as `nan at scores.3.mean`; None when there is nothing."""
    # Not recursive: what msgspec writes may be nested deeper than Python calls.
    waiting: list[tuple[int, str, object]] = [(1, "", result)]
    while waiting:
        depth, place, holder = waiting.pop()
        if depth > MAX_DEPTH:
            return f"more than {MAX_DEPTH} lists and objects in each other at {place[:MAX_PLACE]}"
        is_list = not isinstance(holder, dict)
        for key, part in enumerate(cast("list[object]", holder)) if is_list else cast("Document", holder).items():
            if isinstance(part, float) and not math.isfinite(part):
                # msgspec would write null, and nobody would know what it stands for.
                return f"{part} at {place}{key}"[:MAX_PLACE]
            if isinstance(part, dict | list | tuple):
                waiting.append((depth + 1, f"{place}{key}.", cast("object", part)))
    return None
