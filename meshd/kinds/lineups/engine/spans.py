"""A span under way: which races, of which task, and whom to ask whether to stop."""

import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.base import Context
from meshd.kinds.lineups.engine.task import Task
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.partials import Effort


class Races(Protocol):
    """Where simulated races come from."""

    @property
    def key(self) -> Hashable:
        """Equal for equal races."""
        ...

    def chunk(self, number: int) -> NDArray[np.int16]:
        """Return chunk `number` of the races, [races, players]: 1,024 of them, fewer in the last one."""
        ...

    def fresh(self, number: int) -> NDArray[np.int16]:
        """Return chunk `number` of other races, to judge by."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some races, with what each of them has to be told apart."""

    number: int
    scores: NDArray[np.int16]
    fresh: bool = False

    @property
    def by_player(self) -> NDArray[np.int16]:
        """The scores, [players, races]."""
        return np.ascontiguousarray(self.scores.T)


@dataclass
class Span:
    """Chunks `start <= chunk < stop` of a step."""

    task: Task
    races: Races
    start: int
    stop: int
    context: Context
    best: str = ""
    """The best answer so far, in one short line."""

    races_done: int = 0
    _chunks_done: int = 0
    _began: float = field(default_factory=time.perf_counter)

    def chunks(self, *, fresh: bool = False) -> Iterator[Chunk]:
        """Yield chunk by chunk, and report each when it is done; stop when cancelled."""
        for number in range(self.start, self.stop):
            if self.context.cancelled():
                return
            scores = self.races.fresh(number) if fresh else self.races.chunk(number)
            self.races_done += len(scores)
            self._chunks_done += 1
            yield Chunk(number, scores, fresh)
            self.context.report(self._chunks_done / (self.stop - self.start), best=self.best)

    @property
    def is_last(self) -> bool:
        """Whether the chunk yielded last is the span's last."""
        return self._chunks_done == self.stop - self.start

    def effort(self, device: str, *, each_race: int = 0) -> Effort:
        """Return what the span has taken until now, with so many lineups looked at in each race."""
        elements = each_race * self.races_done
        return Effort(int((time.perf_counter() - self._began) * 1e6), elements, frozenset({device}))


class Batches:
    """Gathers races left over from chunks into whole chunks again: a pass costs as much for one race as for 1,024."""

    def __init__(self) -> None:
        self._scores: list[NDArray[np.int16]] = []
        self._lines: list[NDArray[np.int32]] = []
        self._waiting = 0

    def put(
        self, scores: NDArray[np.int16], *lines: NDArray[np.int32], last: bool
    ) -> Iterator[tuple[NDArray[np.int16], NDArray[np.int32]]]:
        """Take races, with one or more lines for each; yield whole chunks of races, and their lines, [lines, races].

        With the `last` races also those that make no whole chunk any more.
        """
        self._scores.append(scores)
        self._lines.append(np.stack(lines))
        self._waiting += len(scores)
        if self._waiting < CHUNK_SCENARIOS and not last:
            return
        all_scores, all_lines = np.concatenate(self._scores), np.concatenate(self._lines, axis=1)
        whole = self._waiting if last else self._waiting // CHUNK_SCENARIOS * CHUNK_SCENARIOS
        for first in range(0, whole, CHUNK_SCENARIOS):
            stop = min(first + CHUNK_SCENARIOS, whole)
            yield all_scores[first:stop], all_lines[:, first:stop]
        self._scores, self._lines = [all_scores[whole:]], [all_lines[:, whole:]]
        self._waiting -= whole
