"""How the time of a job divides among its steps: estimates, for a progress bar."""

from dataclasses import dataclass

from meshd.kinds.lineups.cost import POOL, SCORE, work_of
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, FieldLine, Mean, Objective, Quantile, Task

ROUND_FACTOR = 0.75
"""What a round takes of the round before it: each leaves fewer races, or fewer lineups that add much."""

_DESCRIBED_FRESH = 0.3
"""The part of the work on fresh races that goes into describing them; the rest is drawing and judging."""


@dataclass(frozen=True, slots=True)
class RoundShare:
    """What one round of a portfolio takes."""

    one_pass: float
    select: float


@dataclass(frozen=True, slots=True)
class Shares:
    """The share of each step; those of all steps add up to 1 or, where rounds are fewer than thought, to less."""

    moments: float
    candidates: float
    one_pass: float
    rounds: float
    describe: float
    """Of one of two such steps, where lineups are ranked by a quantile."""

    fresh: float
    describe_fresh: float
    pass_of_round: float
    """The part of a round that its pass takes."""

    @classmethod
    def of(cls, task: Task) -> "Shares":
        """Estimate them."""
        work = work_of(
            _kind(task.objective),
            players=task.lineups.players,
            lineups=task.lineups.total,
            scenarios=task.scenarios,
            holdout=task.holdout,
            count=task.diversity.count,
            plain=task.diversity.is_plain,
        )
        # Ranking all lineups is part of planning, which no bar shows.
        whole = work.whole - work.ranking
        return cls(
            work.moments / whole,
            work.candidates / whole,
            work.one_pass / whole,
            work.rounds / whole,
            work.describe / whole / (2 if isinstance(task.objective, Quantile) else 1),
            work.fresh * (1 - _DESCRIBED_FRESH) / whole,
            work.fresh * _DESCRIBED_FRESH / whole,
            task.lineups.total / (task.lineups.total + POOL * SCORE),
        )

    def of_repeat(self, number: int) -> RoundShare:
        """Return what counting and ranking take when they are done again and again, from 0."""
        part = (1 - ROUND_FACTOR) * ROUND_FACTOR**number
        return RoundShare(self.one_pass * part, (self.candidates + self.describe) * part)

    def of_round(self, number: int) -> RoundShare:
        """Return what round `number` takes, from 0: the first takes most."""
        share = self.rounds * (1 - ROUND_FACTOR) * ROUND_FACTOR**number
        return RoundShare(share * self.pass_of_round, share * (1 - self.pass_of_round))


def _kind(objective: Objective) -> str:
    match objective:
        case Mean():
            return "mean"
        case Quantile():
            return "quantile"
        case Beat(line=FieldLine()):
            return "p_top_field"
        case Beat():
            return "p_beat"
        case Cover():
            return "portfolio_cover"
        case ExpectedMax():
            return "portfolio_emax"
