"""What is to be optimized by annealing: players, the places they can fill, rules, an objective."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.diversity import Diversity
from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.opponents import Field, draw_field
from meshd.kinds.lineups.engine.rules import Group, Stack
from meshd.kinds.lineups.engine.task import Objective
from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.sports.annealing.site import keeps_site
from meshd.kinds.lineups.sports.players import Player
from meshd.kinds.lineups.sports.roster import Roster
from meshd.kinds.lineups.sports.ties import Tie

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
    objective: Objective
    diversity: Diversity
    scenarios: int
    seed: int
    holdout: int = 0
    floor: int = 0
    locked: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()
    groups: tuple[Group, ...] = ()
    stacks: tuple[Stack, ...] = ()
    ties: tuple[Tie, ...] = ()
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

    @property
    def lineups(self) -> Lineups:
        """All sets of players of a lineup's size; far too many to be numbered."""
        return Lineups(len(self.players), self.roster.size)

    @property
    def open_to_places(self) -> list[list[int]]:
        """For each place of a lineup, the players who play and can be in it, whatever the user excludes."""
        return [
            [
                at
                for at, player in enumerate(self.players)
                if not player.is_out and set(player.positions) & set(slot.eligible)
            ]
            for slot in self.roster.places
        ]

    def opponents(self, field: Field) -> NDArray[np.int64]:
        """Return the lineups that a field of opponents enters, [opponents, size], as the site asks.

        Raises:
            BadInput: hardly any lineup drawn is one.
        """
        return draw_field(
            field,
            tuple(player.salary for player in self.players),
            self.roster.size,
            places=self.open_to_places,
            keeps=lambda drawn: keeps_site(self.roster, self.players, drawn),
        )

    def without(self, players: tuple[int, ...]) -> "AnnealedTask":
        """Return the same task with more players excluded."""
        return replace(self, excluded=(*self.excluded, *players))
