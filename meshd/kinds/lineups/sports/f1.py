"""Formula 1: a captain, four drivers and a constructor; every lineup is looked at."""

from meshd.kinds.lineups.sports.base import Sport
from meshd.kinds.lineups.sports.rostered import Rostered

sport: Sport = Rostered("f1", "Formula 1", frozenset({"CNSTR"}))
"""The one instance; it holds no state."""
