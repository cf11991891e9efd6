"""Football: nine places; lineups are annealed."""

from meshd.kinds.lineups.sports.base import Sport
from meshd.kinds.lineups.sports.rostered import Rostered

sport: Sport = Rostered("nfl", "NFL", frozenset({"QB"}), frozenset({"K", "FB"}))
"""The one instance; it holds no state."""
