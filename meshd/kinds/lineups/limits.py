"""The bounds of a lineup job, each with its reason."""

CHUNK_SCENARIOS = 1_024
"""Races in one unit of work: about 35 ms of a count pass on two cores, so a cancel or a checkpoint is never far."""

MAX_DRIVERS = 48
"""No NASCAR entry list has had more than 44. 48 make 12.3 million lineups, of which the working arrays take 0.5 GB."""

MAX_COLUMNS = 1_023
"""Players of any slate: ten bits of a lineup's key. The largest files, of football Sundays, have 800."""

MAX_ROSTER = 12
"""Places of a lineup: ten in baseball, the most."""

MAX_LINEUPS = 1_000
"""DraftKings takes 150 entries in one contest; every lineup returned costs a histogram of its scores."""

MAX_PLAIN_LINEUPS = 500
"""In the plain form every lineup tells all of its drivers again: twice the bytes, and a result travels in 960 KiB."""

MAX_ROSTERED_LINEUPS = 500
"""Of sports whose slates have hundreds of players, each of whom a result tells, too: 700 KiB altogether."""

MAX_SCENARIOS = 5_000_000
"""Four minutes of simulation on two cores; the standard error of a percentile is long below 0.05 points."""

MIN_QUANTILE_SCENARIOS = 1_000
"""Fewer races leave too many lineups with the same percentile to rank them."""

MAX_LAPS = 600
"""Above any race on the calendar (500), and what keeps every score, and every difference of two, inside 16 bits."""

MAX_SEED = (1 << 53) - 1
"""Whole numbers up to here survive any JSON reader."""

MAX_SALARY = 200_000
"""Four times the cap of either site; the bound keeps sums small."""

MAX_SLATE_CHARACTERS = 1_000_000
"""A slate of 48 drivers has 5,000 characters."""

MAX_NAME_CHARACTERS = 100
"""For drivers, ids and slates: what fits on a line."""

MAX_DESCRIBED = 2_048
"""Lineups whose exact score distribution is kept at once: 230 MB in the worst case."""

MAX_GIVEN_LINEUPS = 1_000
"""Lineups that are excluded or kept: as many as a job may return."""

MAX_ENTRIES = 1_000
"""Of one file: six contests of 150 entries, the most that DraftKings takes of one player in one contest."""

MAX_GROUPS = 100
"""Each is one look at every lineup: a few milliseconds, and 2 MB where a conflict is explained."""

MAX_RANDOMNESS = 20.0
"""Points; more would drown what a race says, and lineups with it no longer fit 16 bits."""

MOST_MOVED = 2
"""Standard deviations by which randomness moves anybody at most: what keeps lineups within 16 bits."""

MAX_NOTICES = 50
"""Things that were handled on the way in, each a sentence."""

MIN_TAIL_RACES = 10
"""Races beyond a quantile: fewer leave its standard error as large as the differences between lineups."""

MAX_POINTS = 2_000.0
"""No player of any sport scores as much; the bound keeps sums small."""

MIN_HOLDOUT = 1_000
"""Fresh races; fewer would judge by luck."""

MAX_MEMORY_MB = 1 << 20
"""A terabyte: no job takes a thousandth of it, and the number stays readable."""

MOST_SCREENED = 160
"""The tensors of 160 players take 0.7 GB; with more players, all lineups that fit are counted."""
