"""What an optimization comes to: the lineups, in order, and the proof that they are the best."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.steps import Line
from meshd.kinds.lineups.partials import Effort, Histogram, Moments, Tally, Trail


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over all lineups, and what was chosen on the strength of it."""

    reached: int
    """What the lineups chosen before reached together: races covered, or the sum of the best scores."""

    picks: int


@dataclass(frozen=True, slots=True)
class Proof:
    """Why no other lineups are better."""

    passes: int = 0
    """How often every lineup was scored in every race."""

    line: Line | None = None
    """What had to be reached in a race."""

    required: int = 0
    """In how many races a score has to be reached to be the quantile."""

    complete_set: int = 0
    """How many lineups have a quantile as good as the last one returned, or better; where lineups have to differ, how
    many were looked at one by one."""

    counts: tuple[int, ...] = ()
    """In how many races each lineup returned reaches the line."""

    gains: tuple[int, ...] = ()
    """What each lineup added to those before it."""

    bounds: tuple[int, ...] = ()
    """What no lineup outside the candidates could add more than, at each choice; -1 where there was none outside."""

    rounds: tuple[Round, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The result, in the engine's terms."""

    lineups: NDArray[np.int64]
    """Numbers of the lineups, best first; fewer than asked for where no other lineup was open."""

    moments: Moments
    described: Histogram
    """The scores of the lineups returned, in the same order."""

    proof: Proof
    trail: Trail
    """What the objective came to, race by race."""

    fresh: Tally | None = None
    """How they do in races that had no part in choosing them."""

    fresh_described: Histogram | None = None
    """Their scores in those races."""

    efforts: tuple[Effort, ...] = field(default=())
    """Of all passes over every lineup."""
