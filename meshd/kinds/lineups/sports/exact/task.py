"""What is to be optimized where lineups are too many to hold: a task whose lineups are the choices from some parts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.opponents import Field, draw_field
from meshd.kinds.lineups.engine.rules import Group, Rules
from meshd.kinds.lineups.engine.task import Task
from meshd.kinds.lineups.sports.exact.keeping import keeps
from meshd.kinds.lineups.sports.parts import Part


@dataclass(frozen=True)
class StreamedTask(Task):
    """One optimization; `allowed` and `feasible` are not to be asked for, they would list every lineup."""

    parts: tuple[Part, ...] = ()
    """Of which a lineup holds so many columns each; no column is in two."""

    site: tuple[Group, ...] = ()
    """What the site asks of every lineup, an opponent's too, beyond parts and cap."""

    out: tuple[int, ...] = ()
    """Columns that nobody can choose, whatever the user wants."""

    def __post_init__(self) -> None:
        if sum(part.count for part in self.parts) != self.lineups.size:
            raise ValueError("the parts of a lineup have to make its size")

    @property
    def cap(self) -> int:
        """What a lineup may cost."""
        return _ANY if self.rules.cap is None else self.rules.cap

    @property
    def open_to_places(self) -> list[list[int]]:
        """For each place of a lineup, the columns that can be in it, whatever the user excludes."""
        closed = set(self.out)
        return [[at for at in part.columns if at not in closed] for part in self.parts for _ in range(part.count)]

    def opponents(self, field: Field) -> NDArray[np.int64]:
        """Return the lineups that a field enters, [opponents, size]: some of each part, as the site asks.

        Raises:
            BadInput: hardly any lineup drawn is one.
        """
        rules = Rules(self.rules.salaries, groups=self.site)
        return draw_field(
            field,
            self.rules.salaries,
            self.lineups.size,
            places=self.open_to_places,
            keeps=lambda drawn: keeps(rules, drawn),
        )


_ANY = (1 << 31) - 1
