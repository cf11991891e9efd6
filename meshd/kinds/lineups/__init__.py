"""The kind `lineups`: the best DraftKings NASCAR lineups over simulated races, proven best."""

from meshd.kinds.lineups.slate import sample_slate as sample_slate
from meshd.kinds.lineups.spec import kind as kind
