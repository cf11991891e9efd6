"""Baseball: ten places on DraftKings and nine on FanDuel; lineups are annealed."""

from meshd.kinds.lineups.sports.base import Sport
from meshd.kinds.lineups.sports.rostered import Rostered

sport: Sport = Rostered("mlb", "MLB", frozenset({"P", "SP"}))
"""The one instance; it holds no state."""
