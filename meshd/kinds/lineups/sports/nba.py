"""Basketball: eight places on DraftKings and nine on FanDuel; lineups are annealed."""

from meshd.kinds.lineups.sports.base import Sport
from meshd.kinds.lineups.sports.rostered import Rostered

sport: Sport = Rostered("nba", "NBA", frozenset({"PG", "SG"}))
"""The one instance; it holds no state."""
