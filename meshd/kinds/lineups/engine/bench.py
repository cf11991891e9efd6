"""What a device keeps at hand from one step to the next: prepared passes, and lines that were found already."""

from collections.abc import Generator, Hashable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from meshd.errors import Degraded
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.opponents import Field
from meshd.kinds.lineups.engine.spans import Chunk, Races
from meshd.kinds.lineups.engine.steps import Line, Score
from meshd.kinds.lineups.engine.task import Task

if TYPE_CHECKING:
    from meshd.kinds.lineups.engine.lines import FieldLines
    from meshd.kinds.lineups.engine.passes import CountPass, GainPass

_LINES_KEPT = 8_192
"""Chunks whose lines are remembered: 32 MB, and more chunks than a job of five million races has."""


@contextmanager
def needing_jax() -> Generator[None]:
    """Say what to install where an import in the block fails.

    Raises:
        Degraded: JAX is not installed here.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        raise Degraded(
            "This device cannot count lineups: JAX is not installed.", hint="Install meshd[jax] here."
        ) from missing


def device_name() -> str:
    """Return what runs the passes here, for example `cpu` or `NVIDIA H200`."""
    with needing_jax():
        from meshd.kinds.lineups.engine.device import device_name as name_it
    return name_it()


class Fielded(Protocol):
    """A task with a field of opponents."""

    @property
    def lineups(self) -> Lineups:
        """What lineups are chosen from."""
        ...

    def opponents(self, field: Field) -> NDArray[np.int64]:
        """Return the lineups that a field enters, [opponents, size]."""
        ...


class Bench:
    """Serves one task at a time; another one takes its place."""

    def __init__(self) -> None:
        self._counting: tuple[Hashable, CountPass] | None = None
        self._gaining: tuple[Hashable, GainPass] | None = None
        self._finder: tuple[Hashable, FieldLines] | None = None
        self._found: dict[Hashable, NDArray[np.int32]] = {}

    def count_pass(self, task: Task) -> "CountPass":
        """Return a pass at zero."""
        key = task.lineups, task.rules, task.memory_bytes
        if self._counting is None or self._counting[0] != key:
            with needing_jax():
                from meshd.kinds.lineups.engine.device import room_for
                from meshd.kinds.lineups.engine.passes import CountPass
            self._counting = None  # its memory, before there is another
            self._counting = (
                key,
                CountPass(task.lineups, task.allowed, room=room_for(task.lineups.total, task.memory_bytes)),
            )
        self._counting[1].reset()
        return self._counting[1]

    def gain_pass(self, task: Task) -> "GainPass":
        """Return a pass at zero."""
        key = task.lineups, task.rules, task.memory_bytes
        if self._gaining is None or self._gaining[0] != key:
            with needing_jax():
                from meshd.kinds.lineups.engine.device import room_for
                from meshd.kinds.lineups.engine.passes import GainPass
            self._gaining = None
            self._gaining = (
                key,
                GainPass(task.lineups, task.allowed, room=room_for(task.lineups.total, task.memory_bytes)),
            )
        self._gaining[1].reset()
        return self._gaining[1]

    def lines(self, line: Line, task: Fielded, races: Races, chunk: Chunk) -> NDArray[np.int32]:
        """Return the line in each race of a chunk."""
        if isinstance(line, Score):
            return np.full(len(chunk.scores), line.units, np.int32)
        finder_key, finder = self._finder_of(line, task)
        key = finder_key, races.key, chunk.fresh, chunk.number
        found = self._found.get(key)
        if found is None:
            found = finder(chunk.scores)
            if len(self._found) >= _LINES_KEPT:
                self._found.clear()
            self._found[key] = found
        return found

    def _finder_of(self, field: Field, task: Fielded) -> "tuple[Hashable, FieldLines]":
        key = field, task
        if self._finder is None or self._finder[0] != key:
            with needing_jax():
                from meshd.kinds.lineups.engine.lines import FieldLines
            opponents = task.opponents(field)
            self._finder = key, FieldLines(opponents, task.lineups.players, field.rank)
        return self._finder
