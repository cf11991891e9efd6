"""What a child under faults writes down as it happens: lines in a file that the faults spare."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from meshd.errors import MeshdError


class Pen:
    """Writes a diary."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, what: str, which: int | str = "", detail: str = "") -> None:
        """Write a line."""
        os.write(self._file, json.dumps([what, str(which), detail]).encode() + b"\n")

    def trouble(self, which: int | str, error: BaseException) -> None:
        """Note an error: `refused` is one that a person was meant to see."""
        if isinstance(error, MeshdError):
            self.note("refused", which, f"{type(error).__name__}: {error.message} ({error.hint})")
        else:
            self.note("broke", which, repr(error))


@dataclass(slots=True)
class Diary:
    """What was written down."""

    lines: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    def of(self, what: str) -> list[str]:
        """Return what was noted under a heading, in order."""
        return [which for heading, which, _ in self.lines if heading == what]

    def details(self, what: str) -> list[str]:
        """Return the details of what was noted under a heading."""
        return [detail for heading, _, detail in self.lines if heading == what]


def read_diary(path: Path) -> Diary:
    """Read what a child has written."""
    if not path.exists():
        return Diary()
    return Diary([(what, which, detail) for what, which, detail in map(json.loads, path.read_text().splitlines())])
