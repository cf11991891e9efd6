"""Golf: six golfers; every lineup is looked at."""

from meshd.kinds.lineups.sports.base import Sport
from meshd.kinds.lineups.sports.rostered import Rostered

sport: Sport = Rostered("golf", "golf", frozenset({"G"}))
"""The one instance; it holds no state."""
