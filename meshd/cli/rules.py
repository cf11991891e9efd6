"""Rules for lineups as options write them, and as a spec does."""

import re
from collections.abc import Sequence

from meshd.errors import BadInput


def exposures(texts: Sequence[str]) -> dict[str, list[float]]:
    """Return the shares of `NAME=MOST` and `NAME=LEAST-MOST`, in percent or not.

    Raises:
        BadInput: one is written in another way.
    """
    found: dict[str, list[float]] = {}
    for text in texts:
        match = re.fullmatch(r"(.+)=\s*(?:(-?[\d.]+%?)\s*-\s*)?(-?[\d.]+%?)\s*", text)
        if match is None:
            raise BadInput(f"--exposure {text}: expected NAME=LEAST-MOST", hint='for example "Kyle Busch=10%-40%"')
        least, most = match[2] or "0", match[3]
        found[match[1].strip()] = [share(least, "--exposure"), share(most, "--exposure")]
    return found


def share(text: str, option: str) -> float:
    """Return a share, written as 0.4 or as 40%.

    Raises:
        BadInput: it is neither.
    """
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise BadInput(f"{option}: {text!r} is not a share", hint="for example 40% or 0.4") from None
    value = round(value / 100, 9) if text.endswith("%") else value
    if value > 1:
        hint = f"did you mean {text}%?" if value <= 100 else "for example 40% or 0.4"
        raise BadInput(f"{option}: {text} is more than 100%", hint=hint)
    return value


def groups(texts: Sequence[str]) -> list[dict[str, object]]:
    """Return the groups of `LEAST-MOST: NAME, NAME …` and `LEAST-MOST if NAME: NAME, …`; most may be left out.

    Raises:
        BadInput: one is written in another way.
    """
    found: list[dict[str, object]] = []
    for text in texts:
        match = re.fullmatch(r"\s*(\d)\s*-\s*(\d?)\s*(?:if\s+([^:]+))?:(.+)", text)
        if match is None:
            raise BadInput(
                f"--group {text}: expected LEAST-MOST: NAME, NAME …",
                hint='for example "0-1: Kyle Busch, Kyle Larson" or "1- if Joey Logano: Ryan Blaney, Austin Cindric"',
            )
        names = [name.strip() for name in match[4].split(",") if name.strip()]
        group: dict[str, object] = {"ids": names, "min": int(match[1])}
        if match[2]:
            group["max"] = int(match[2])
        if match[3]:
            group["if"] = match[3].strip()
        found.append(group)
    return found


def stacks(texts: Sequence[str]) -> list[dict[str, object]]:
    """Return the stacks of `N`, `N of POSITION, …`, `with POSITION: N of POSITION, … from opponent`.

    Raises:
        BadInput: one is written in another way.
    """
    found: list[dict[str, object]] = []
    for text in texts:
        match = re.fullmatch(
            r"\s*(?:with\s+([^:]+):)?\s*(\d{1,2})(?:\s+of\s+(.+?))?(?:\s+from\s+(?:the\s+)?(\w+))?\s*", text
        )
        if match is None:
            raise BadInput(
                f"--stack {text}: expected N of POSITIONS, or with POSITIONS: N of POSITIONS",
                hint='for example "4 of C,1B,2B,3B,SS,OF" or "with QB: 1 of WR,TE from opponent"',
            )
        stack: dict[str, object] = {"min": int(match[2])}
        for name, told in (("with", match[1]), ("of", match[3])):
            if told:
                stack[name] = [each.strip() for each in re.split(r"[,/]", told) if each.strip()]
        if match[4]:
            stack["from"] = match[4]
        found.append(stack)
    return found
