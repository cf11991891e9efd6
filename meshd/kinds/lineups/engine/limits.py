"""The bounds of what the engine keeps at once, each with its reason."""

MAX_CANDIDATES = 65_536
"""Lineups whose scores are looked at one by one: a list of their numbers is half a megabyte of JSON."""

MAX_HISTOGRAM_CELLS = 64 << 20
"""Bins of all lineups of one histogram: 256 MB. The bins of 2,000 lineups, one for each score that there is."""

MAX_OPPONENTS = 32_000
"""Opponents are counted in 16 bits. The largest contests have more entries, and the same scores to beat."""

POOL_BYTES = 256 << 20
"""Scores of candidates that are kept while some are chosen among them."""

MAX_POOL = 16_384
"""More candidates take longer to score than another pass over all lineups takes."""

MIN_POOL = 128
"""Fewer would be used up after a few choices; at five million races these take 1.3 GB."""

ANNEALED_POOL = 256
"""Lineups of a phase of chains that are judged by all races."""

LEFT_OVER = 512
"""Lineups of earlier phases among which is chosen once more, where lineups are to do best together."""

MAX_MARKS = 8
"""How often a job tells what its objective came to by then: each time after twice as many races."""
