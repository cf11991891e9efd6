"""Projections are read under the titles that such files use, and what does not fit is said."""

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.input.players import Player
from meshd.kinds.lineups.input.projections import with_projections

PLAYERS = [Player("1", "Ada North", 9_000), Player("2", "Bo South", 8_000), Player("3", "Cy East", 7_000)]


def read(*lines: str) -> tuple[list[Player], list[str]]:
    return with_projections(PLAYERS, "\n".join(lines))


def test_every_figure_is_read() -> None:
    players, notices = read(
        "Driver,ID,Fpts,Std Dev,Own%,Min Exposure,Max-Exposure,Start,Team,Make,Skill,Whatever",
        "ada  north,1,41.5,12,20,10,40,3,Red,Ford,1.5,x",
        "Bo South,2,.5,,5.5%,,,,,,,y",
        "Cy East,3,-2,,,,,,,,,",
    )
    assert notices == []
    assert players[0] == Player(
        "1", "Ada North", 9_000, mean=41.5, sd=12.0, ownership=0.2, exposure=(0.1, 0.4),
        start_position=3, team="Red", manufacturer="Ford", skill=1.5,
    )  # fmt: skip
    assert (players[1].mean, players[1].ownership, players[1].exposure) == (0.5, 0.055, (0.0, 1.0))
    assert (players[2].mean, players[2].ownership) == (-2.0, None)


@pytest.mark.parametrize("title", ["mean", "Projection", "PROJECTED POINTS", "proj", "Points", "FPTS", "proj_points"])
def test_a_mean_has_many_names(title: str) -> None:
    assert [player.mean for player in read(f"Player,{title}", "Ada North,1", "Bo South,2", "Cy East,3")[0]] == [1, 2, 3]


def test_shares_are_read_as_written_when_all_are_below_one() -> None:
    assert [player.ownership for player in read("name,own", "Ada North,0.2", "Bo South,1")[0]] == [0.2, 1.0, None]


def test_who_is_missing_strange_or_doubled_is_said() -> None:
    _, notices = read("name,mean", "Ada North,1", "Ada North,2", "Zoe Nobody,3")
    assert notices == [
        "The projections file names 1 player not on the slate, left out: Zoe Nobody.",
        "The projections file has 1 player more than once, the first line counts: Ada North.",
        "The projections file lacks 2 players, whom the race model judges alone: Bo South, Cy East.",
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("mean", "1"), "lacks a column name or id"),
        (("name,colour", "Ada North,red"), "lacks a column with figures"),
        (("name,mean", "Ada North,nan"), r"The mean of Ada North \(line 2\) is 'nan', not a number"),
        (("name,mean", "Ada North,inf"), "not a number"),
        (("name,mean", "Ada North,1e9"), "not a number"),
        (("name,mean", "Ada North,9999"), r"The mean of Ada North \(line 2\) is 9999; nobody scores as much"),
        (("name,own", "Ada North,-5"), r"The ownership of Ada North \(line 2\) is -5, which is out of range"),
        (("name,own", "Ada North,250"), "out of range"),
        (("name,min exp", "Ada North,-0.1"), "The min_exposure of Ada North .* is out of range"),
        (("name,sd", "Ada North,-3"), "The sd of Ada North .* is out of range"),
        (("name,start", "Ada North,pole"), "start_position of Ada North .* is 'pole', not a position"),
        (("name,mean", "Zoe,1"), "names nobody who is on the slate"),
        ((" ",), "The projections file is empty"),
        (("<html>", "please log in"), "a web page without a table"),
    ],
)
def test_what_is_no_projection_is_refused_in_a_sentence(lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        read(*lines)
    assert refused.value.field == "projections_csv"
    assert refused.value.hint
