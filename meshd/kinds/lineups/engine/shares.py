"""How the time of a job divides among its steps: estimates, for a progress bar.

Costs are in lineups counted in one race; the figures were measured on two cores at 50 billion of these a second.
"""

from dataclasses import dataclass

from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Quantile, Task

RACE = 6_000
"""Simulating one player in one race: 0.11 µs."""

SCORE = 35
"""Scoring one lineup in one race: 0.7 ns."""

BINNED = 150
"""Putting one score into a histogram: 3 ns."""

OPPONENTS = 150_000
"""Finding what a field of 5,000 scores in one race: 3 µs."""

ROUND_FACTOR = 0.75
"""What a round takes of the round before it: each leaves fewer races, or fewer lineups that add much."""

_CANDIDATES = 1_500
_POOL = 5_000


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
    fresh: float
    pass_of_round: float
    """The part of a round that its pass takes."""

    @classmethod
    def of(cls, task: Task) -> "Shares":
        """Estimate them."""
        simulate = task.lineups.players * RACE
        describe = task.diversity.count * BINNED * task.scenarios
        fresh = task.holdout * (simulate + task.diversity.count * SCORE)
        moments = simulate * task.scenarios
        candidates = one_pass = rounds = 0.0
        a_pass, a_choice = task.lineups.total, _POOL * SCORE
        match task.objective:
            case Mean():
                pass
            case Quantile():
                candidates, one_pass = _CANDIDATES * BINNED * task.scenarios, a_pass * task.scenarios
            case Beat():
                one_pass = (a_pass + OPPONENTS) * task.scenarios
            case Cover():
                rounds = 4 * (a_pass + a_choice) * task.scenarios
            case ExpectedMax():
                rounds = 16 * (2 * a_pass + a_choice) * task.scenarios
        whole = moments + candidates + one_pass + rounds + describe + fresh
        return cls(
            moments / whole,
            candidates / whole,
            one_pass / whole,
            rounds / whole,
            describe / whole,
            fresh / whole,
            a_pass / (a_pass + a_choice),
        )

    def of_round(self, number: int) -> RoundShare:
        """Return what round `number` takes, from 0: the first takes most."""
        share = self.rounds * (1 - ROUND_FACTOR) * ROUND_FACTOR**number
        return RoundShare(share * self.pass_of_round, share * (1 - self.pass_of_round))
