"""What is to be optimized by annealing: players, the places they can fill, rules, an objective."""

from dataclasses import dataclass, replace

from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.rules import Group, Stack
from meshd.kinds.lineups.engine.task import Beat, Mean, Quantile
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.sports.players import Player
from meshd.kinds.lineups.sports.roster import Roster

CHAINS = 1_024
MOVES = 4_000
"""Finds the optimum of NBA slates with 266 players; a quarter of both does not."""

UNIT_CHAINS = 128
"""Chains of one unit: about a tenth of a second by mean."""


@dataclass(frozen=True)
class AnnealedTask:
    """One optimization. Equal tasks have equal answers."""

    roster: Roster
    players: tuple[Player, ...]
    objective: Mean | Quantile | Beat
    """`Beat` with one score for all races."""

    diversity: Diversity
    scenarios: int
    seed: int
    holdout: int = 0
    floor: int = 0
    locked: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()
    groups: tuple[Group, ...] = ()
    stacks: tuple[Stack, ...] = ()
    banned: tuple[tuple[int, ...], ...] = ()
    chains: int = CHAINS
    moves: int = MOVES

    @property
    def units(self) -> int:
        """How many units a phase of chains has."""
        return -(-self.chains // UNIT_CHAINS)

    @property
    def chunks(self) -> int:
        """How many units a phase over races has."""
        return -(-self.scenarios // CHUNK_SCENARIOS)

    @property
    def holdout_chunks(self) -> int:
        """How many units the phase over fresh races has."""
        return -(-self.holdout // CHUNK_SCENARIOS)

    def without(self, players: tuple[int, ...]) -> "AnnealedTask":
        """Return the same task with more players excluded."""
        return replace(self, excluded=(*self.excluded, *players))
