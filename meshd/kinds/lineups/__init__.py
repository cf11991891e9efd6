"""The kind `lineups`: the best lineups for DraftKings and FanDuel over simulated races, proven best."""

from meshd.kinds.lineups.sample import sample_slate as sample_slate
from meshd.kinds.lineups.spec import kind as kind
