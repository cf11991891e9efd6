"""What is to be optimized where lineups are too many to hold: a task whose lineups are the choices from some parts."""

from dataclasses import dataclass

from meshd.kinds.lineups.engine.task import Task
from meshd.kinds.lineups.sports.parts import Part


@dataclass(frozen=True)
class StreamedTask(Task):
    """One optimization; `allowed` and `feasible` are not to be asked for, they would list every lineup."""

    parts: tuple[Part, ...] = ()
    """Of which a lineup holds so many columns each; no column is in two."""

    def __post_init__(self) -> None:
        if sum(part.count for part in self.parts) != self.lineups.size:
            raise ValueError("the parts of a lineup have to make its size")

    @property
    def cap(self) -> int:
        """What a lineup may cost."""
        return _ANY if self.rules.cap is None else self.rules.cap


_ANY = (1 << 31) - 1
