"""What a job costs, in lineups counted in one race: what the daemon places it by, and a progress bar divides.

The figures were measured on two cores at 50 billion of these a second.
"""

from dataclasses import dataclass

RACE = 8_000
"""Simulating one player in one race: 0.16 µs."""

LINEUP = 3_000
"""Ranking one lineup in closed form: 0.06 µs."""

SCORE = 35
"""Scoring one lineup in one race: 0.7 ns."""

BINNED = 150
"""Putting one score into a histogram: 3 ns."""

OPPONENTS = 150_000
"""Finding what a field of 5,000 scores in one race: 3 µs."""

CANDIDATES = 1_500
"""Ten times a usual portfolio: measured on five slates, the K-th best of these is the K-th best of all."""

POOL = 5_000
"""Candidates of one round of a portfolio, about."""

QUANTILE_ROUNDS, OPEN = 5, 8_192
"""Passes, and lineups looked at after each, where those chosen by a quantile have to differ."""

COVER_ROUNDS, EMAX_ROUNDS = 4, 16
"""What the rounds of a portfolio of 150 come to, in whole passes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What each step takes."""

    moments: float
    ranking: float
    candidates: float
    one_pass: float
    rounds: float
    describe: float
    fresh: float

    @property
    def whole(self) -> float:
        """What all of them take."""
        return self.moments + self.ranking + self.candidates + self.one_pass + self.rounds + self.describe + self.fresh


def work_of(kind: str, *, players: int, lineups: int, scenarios: int, holdout: int, count: int, plain: bool) -> Work:
    """Estimate what a job takes whose objective is of this kind; `plain`: its lineups have only to differ."""
    simulate = players * RACE
    candidates = one_pass = rounds = 0.0
    describe = count * BINNED * scenarios
    match kind:
        case "quantile":
            candidates, one_pass = max(CANDIDATES, 3 * count) * BINNED * scenarios, lineups * scenarios
            if not plain:
                candidates, one_pass = QUANTILE_ROUNDS * OPEN * BINNED * scenarios, QUANTILE_ROUNDS * one_pass
            # All that reach the line are ranked, and then those that are chosen described.
            describe *= 2
        case "p_beat":
            one_pass = lineups * scenarios
        case "p_top_field":
            one_pass = (lineups + OPPONENTS) * scenarios
        case "portfolio_cover":
            rounds = COVER_ROUNDS * (lineups + POOL * SCORE) * scenarios
        case "portfolio_emax":
            rounds = EMAX_ROUNDS * (2 * lineups + POOL * SCORE) * scenarios
        case _:
            pass
    return Work(
        moments=simulate * scenarios,
        ranking=lineups * LINEUP,
        candidates=candidates,
        one_pass=one_pass,
        rounds=rounds,
        describe=describe,
        fresh=holdout * (simulate + count * (SCORE + BINNED)),
    )
