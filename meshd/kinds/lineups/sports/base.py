"""What a sport must offer, and what a site asks of a lineup in it. No NumPy here: the daemon loads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from meshd.kinds.base import Document


@dataclass(frozen=True, slots=True)
class Contest:
    """What one site asks of a lineup of one sport."""

    site: str
    roster_size: int
    salary_cap: int
    titles: tuple[str, ...]
    """The columns of the site's upload file, one for each place of a lineup."""

    ordered: bool = False
    """Whether it matters who stands in which place: a captain scores more than the others."""


class Sport(Protocol):
    """One sport: how its specs are resolved, and which program computes its lineups."""

    @property
    def name(self) -> str:
        """As a spec names it: `nascar`."""
        ...

    @property
    def contests(self) -> Mapping[str, Contest]:
        """What each site asks, by the site's name."""
        ...

    @property
    def program(self) -> str:
        """The module with the `DivisibleProgram` of this sport's jobs, in an attribute `program`."""
        ...

    def recognises(self, positions: frozenset[str], roles: frozenset[str]) -> bool:
        """Return whether a salary file with these positions and roster positions is one of this sport."""
        ...

    def resolve(self, spec: Document) -> dict[str, object]:
        """Return the resolved spec; raise `BadInput` for anything that is not a spec of this sport."""
        ...

    def cost(self, resolved: Document) -> float:
        """Return the work, in lineups scored in one race or game."""
        ...
