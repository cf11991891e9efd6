"""MMA: six fighters, never both of a fight; every lineup is looked at."""

from meshd.kinds.lineups.sports.base import Sport
from meshd.kinds.lineups.sports.rostered import Rostered

sport: Sport = Rostered("mma", "MMA", frozenset({"F"}))
"""The one instance; it holds no state."""
