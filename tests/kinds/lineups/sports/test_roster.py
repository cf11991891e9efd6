"""Rosters say what a lineup of each site and sport is made of."""

import subprocess
import sys
from collections.abc import Mapping

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.sports.roster import SITES, SPORTS, read_roster, roster_of

SIZES = {
    ("draftkings", "golf"): (6, 50_000),
    ("fanduel", "golf"): (6, 60_000),
    ("draftkings", "f1"): (6, 50_000),
    ("fanduel", "f1"): (6, 60_000),
    ("draftkings", "mma"): (6, 50_000),
    ("fanduel", "mma"): (6, 100),
    ("draftkings", "nba"): (8, 50_000),
    ("fanduel", "nba"): (9, 60_000),
    ("draftkings", "nfl"): (9, 50_000),
    ("fanduel", "nfl"): (9, 60_000),
    ("draftkings", "mlb"): (10, 50_000),
    ("fanduel", "mlb"): (9, 35_000),
}

SMALL: Mapping[str, object] = {
    "site": "draftkings",
    "sport": "golf",
    "cap": 1,
    "slot": [{"name": "G", "eligible": ["G"]}],
}


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("sport", SPORTS)
def test_every_site_has_a_roster_of_every_sport(site: str, sport: str) -> None:
    roster = roster_of(site, sport)

    assert (roster.site, roster.sport) == (site, sport)
    assert (roster.size, roster.cap) == SIZES[site, sport]
    assert len(roster.places) == roster.size


def test_rules_without_a_source_say_so() -> None:
    assert roster_of("fanduel", "f1").unconfirmed
    assert not roster_of("draftkings", "golf").unconfirmed


@pytest.mark.parametrize(("site", "sport"), [("yahoo", "nba"), ("draftkings", "chess")])
def test_a_site_or_sport_that_is_not_here_is_named(site: str, sport: str) -> None:
    with pytest.raises(BadInput, match="There is no"):
        roster_of(site, sport)


@pytest.mark.parametrize(
    "change",
    [{"cap": 0}, {"slot": []}, {"slot": [{"name": "G", "eligible": ["G"], "count": 0}]}, {"caps": 5}, {"cap": "5"}],
)
def test_a_roster_that_makes_no_sense_is_refused(change: Mapping[str, object]) -> None:
    assert read_roster(SMALL).size == 1

    with pytest.raises(BadInput, match="roster"):
        read_roster({**SMALL, **change})


def test_the_daemons_side_loads_neither_numpy_nor_jax() -> None:
    script = (
        "import sys\n"
        "import meshd.kinds.lineups.sports.players, meshd.kinds.lineups.sports.roster\n"
        "print([name for name in ('numpy', 'jax') if name in sys.modules])"
    )

    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
