"""The kind `echo`: returns its text. For tests, for measuring what an attempt costs, and for trying a mesh out.

`behaviour` makes it misbehave in ways that a worker must survive, so that a person can see that it does.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from meshd.errors import BadInput
from meshd.kinds.base import Document

MAX_TEXT = 100_000
"""Enough to try a long text; the spec travels in a message of at most a megabyte."""

MAX_SLEEP_S = 3600.0
"""An hour is long enough for every experiment."""

MAX_PADDING_BYTES = 256 << 20
"""More than any result may have, so that a result that is too large can be tried."""

Behaviour = Literal["crash", "garbage", "hang", "exit0"]


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to return, and when."""

    text: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    sleep_s: Annotated[float, Meta(ge=0, le=MAX_SLEEP_S)] = 0.0
    size_bytes: Annotated[int, Meta(ge=0, le=MAX_PADDING_BYTES)] | None = None
    """Add a `padding` of so many bytes to the result."""

    fail: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    """Fail with this text."""

    behaviour: Behaviour | None = None


class Echo:
    """Checks specs, and knows that a second takes a second everywhere."""

    name = "echo"
    deterministic = True
    retry_safe = True
    accelerated = False
    divisible = False
    program = "meshd.kinds.echo.program"

    def validate(self, spec: Document) -> dict[str, object]:
        """Return the spec with every field filled in."""
        try:
            checked = msgspec.convert(dict(spec), Spec)
        except msgspec.ValidationError as error:
            raise BadInput(f"this is no echo: {error}", hint='for example {"text": "hello", "sleep_s": 1}') from error
        resolved: dict[str, object] = msgspec.to_builtins(checked)
        return resolved

    def cost(self, resolved: Document) -> float | None:
        """Return the seconds that it sleeps."""
        match resolved:
            case {"sleep_s": int() | float() as seconds}:
                return float(seconds)
            case _:
                return None

    def default_name(self, resolved: Document) -> str:
        """Return the beginning of the text."""
        text = str(resolved.get("text", ""))
        return f"echo {text[:40]}".strip()


kind = Echo()
