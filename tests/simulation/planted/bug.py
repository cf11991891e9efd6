"""A planted bug: a mistake that a person could make in production code, put in by a patch."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch


@dataclass(frozen=True, slots=True)
class Bug:
    """A mistake: where it is put, and the level at which it must be found."""

    level: str
    target: object
    name: str
    mistake: object

    @contextmanager
    def planted(self) -> Generator[None]:
        """Have the bug in the code."""
        with patch.object(self.target, self.name, self.mistake):
            yield
