"""Simulated races are like those of a season that no number of the model was fitted to."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from meshd.kinds.lineups.scenarios.field import race_model
from meshd.kinds.lineups.scenarios.race import scores
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS, FANDUEL, Scoring
from meshd.kinds.lineups.scenarios.tracks import PRESETS, TRACK_TYPES, Track, read_track
from tests.kinds.lineups.scenarios.race_figures import entries_of, figures, logged, of_each_race, simulated
from tests.kinds.lineups.scenarios.race_logs import JUDGED_SEASON, LoggedRace, fitted_races, judged_races
from tests.kinds.lineups.scenarios.slates import JudgedSlate

MOST_LEADERS = 20
"""Where every lap's leader is drawn anew, 22 drivers lead a race; nine or ten do, and 17 at superspeedways."""


def of_type(races: list[LoggedRace], track_type: str) -> list[LoggedRace]:
    return [race for race in races if race.track_type == track_type]


def ranks(values: NDArray[np.number]) -> NDArray[np.float64]:
    """Return ranks; equal values share theirs."""
    _, where, times = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(times) - (times - 1) / 2)[where]


def spearman(one: NDArray[np.number], other: NDArray[np.number]) -> float:
    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


def drawn_for(race: LoggedRace, scoring: Scoring) -> NDArray[np.int16]:
    track = read_track({"preset": race.track_type, "laps": race.laps})
    return scores(race_model(entries_of(race), track=track, scoring=scoring, seed=1), 0)


def covered(drawn: NDArray[np.int16], points: NDArray[np.int64]) -> NDArray[np.bool_]:
    low, high = np.percentile(drawn, [10, 90], axis=0)
    return (low <= points) & (points <= high)


def test_the_judged_season_is_kept_out_of_the_fit(races: list[LoggedRace]) -> None:
    for track_type in TRACK_TYPES:
        fitted = fitted_races(races, track_type)
        assert len(fitted) >= 18
        assert JUDGED_SEASON not in {race.season for race in fitted}
    assert len(judged_races(races)) == 34


@pytest.mark.parametrize("scoring", [DRAFTKINGS, FANDUEL], ids=lambda scoring: scoring.site)
def test_eight_of_ten_points_of_a_season_kept_out_lie_between_p10_and_p90(
    scoring: Scoring, races: list[LoggedRace]
) -> None:
    judged = judged_races(races)
    inside = [covered(drawn_for(race, scoring), race.points(scoring)) for race in judged]
    assert 0.77 < float(np.concatenate(inside).mean()) < 0.86
    for track_type in TRACK_TYPES:
        of_this = [found for race, found in zip(judged, inside, strict=True) if race.track_type == track_type]
        assert 0.75 <= float(np.concatenate(of_this).mean()) <= 0.90, track_type


def test_eight_of_ten_points_of_the_real_slates_lie_between_p10_and_p90(slates: list[JudgedSlate]) -> None:
    inside: list[NDArray[np.bool_]] = []
    for slate in slates:
        assert slate.race.season == JUDGED_SEASON
        track = read_track({"preset": slate.race.track_type, "laps": slate.race.laps})
        drawn = scores(race_model(slate.entries(), track=track, scoring=DRAFTKINGS, seed=1), 0)
        assert (drawn[:, ~slate.raced] == 0).all()
        inside.append(covered(drawn, slate.points)[slate.raced])
    assert sum(int((~slate.raced).sum()) for slate in slates) == 1, "one driver of these slates withdrew"
    assert 0.75 <= float(np.concatenate(inside).mean()) <= 0.90


def test_simulated_means_tell_more_than_the_sites_averages(slates: list[JudgedSlate]) -> None:
    by_model: list[float] = []
    by_average: list[float] = []
    for slate in slates:
        track = read_track({"preset": slate.race.track_type, "laps": slate.race.laps})
        drawn = scores(race_model(slate.entries(), track=track, scoring=DRAFTKINGS, seed=1), 0)
        by_model.append(spearman(drawn.mean(axis=0)[slate.raced], slate.points[slate.raced]))
        by_average.append(spearman(slate.averages[slate.raced], slate.points[slate.raced]))
    assert np.mean(by_model) > 0.25
    assert np.mean(by_model) > np.mean(by_average) + 0.1


def test_simulated_means_tell_something_of_a_season_kept_out(races: list[LoggedRace]) -> None:
    found = [
        spearman(drawn_for(race, DRAFTKINGS).mean(axis=0), race.points(DRAFTKINGS)) for race in judged_races(races)
    ]
    assert np.mean(found) > 0.25


@pytest.mark.parametrize("track_type", TRACK_TYPES)
def test_as_many_drop_out_as_in_reality(track_type: str, races: list[LoggedRace]) -> None:
    judged = of_type(judged_races(races), track_type)
    # Who stopped early has completed fewer laps than any running car; so real ones are counted alike.
    real = np.array([(race.out & (race.completed < 0.9 * race.laps)).mean() for race in judged])
    drawn = [dropped_early(race, PRESETS[track_type]) for race in judged]
    expected, spread = np.mean([share.mean() for share in drawn]), np.mean([share.std() for share in drawn])
    assert real.mean() == pytest.approx(expected, abs=3 * spread / np.sqrt(len(judged)))


def test_more_drop_out_at_superspeedways(races: list[LoggedRace]) -> None:
    for shares in (
        {track_type: track.dnf for track_type, track in PRESETS.items()},
        {name: float(np.mean([race.out.mean() for race in of_type(races, name)])) for name in TRACK_TYPES},
    ):
        assert shares["superspeedway"] > 1.5 * shares["intermediate"] > 1.5 * max(shares["short"], shares["road"])


@pytest.mark.parametrize("track_type", TRACK_TYPES)
def test_drop_outs_come_together_as_in_reality(track_type: str, races: list[LoggedRace]) -> None:
    fitted = [race for race in fitted_races(races, track_type) if race.is_known]
    real = np.array([(race.out & (race.completed < 0.9 * race.laps)).mean() for race in fitted])
    drawn = np.concatenate([dropped_early(race, PRESETS[track_type]) for race in fitted])
    alone = np.concatenate([dropped_early(race, replace(PRESETS[track_type], rho=0.0)) for race in fitted])
    assert drawn.std() == pytest.approx(real.std(), rel=0.3)
    assert drawn.std() > 1.1 * alone.std()


def dropped_early(race: LoggedRace, track: Track) -> NDArray[np.float64]:
    drawn = simulated(race, track)
    return (drawn.completed < 0.9 * race.laps).mean(axis=1)


@pytest.mark.parametrize("track_type", TRACK_TYPES)
def test_as_many_lead_as_in_reality(track_type: str, races: list[LoggedRace]) -> None:
    judged = of_type(judged_races(races), track_type)
    real = figures([logged(race) for race in judged])
    drawn = figures([simulated(race, PRESETS[track_type]) for race in judged])
    assert drawn["leaders"] == pytest.approx(real["leaders"], abs=2.5)
    assert drawn["one-lap leaders"] == pytest.approx(real["one-lap leaders"], abs=1.5)
    assert drawn["leaders"] < MOST_LEADERS


@pytest.mark.parametrize("track_type", TRACK_TYPES)
def test_the_figures_of_a_season_kept_out_are_those_of_reality(track_type: str, races: list[LoggedRace]) -> None:
    judged = of_type(judged_races(races), track_type)
    real = [of_each_race(logged(race)) for race in judged]
    drawn = [of_each_race(simulated(race, PRESETS[track_type])) for race in judged]
    far: dict[str, float] = {}
    for name in real[0]:
        seen = np.array([float(row[name][0]) for row in real])
        expected = np.array([row[name].mean() for row in drawn])
        spread = np.sqrt(np.mean([row[name].var() for row in drawn]) / len(judged))
        far[name] = float((seen.mean() - expected.mean()) / (spread + 0.02 * abs(expected.mean())))
    # Normal scores: one in twenty beyond two, and figures go together.
    assert np.sqrt(np.mean(np.square(list(far.values())))) < 2, far
    assert max(map(abs, far.values())) < 5, far


def test_points_by_skill_are_those_of_reality(races: list[LoggedRace]) -> None:
    """At superspeedways the best start in front and have only places to lose: they score less than the others."""
    for track_type in TRACK_TYPES:
        judged = of_type(judged_races(races), track_type)
        real = np.mean([_by_thirds(race, race.points(DRAFTKINGS)) for race in judged], axis=0)
        drawn = np.mean([_by_thirds(race, drawn_for(race, DRAFTKINGS).mean(axis=0)) for race in judged], axis=0)
        assert np.abs(real - drawn).max() < 6 * 20, (track_type, real / 20, drawn / 20)
        falls = all(one > other for one, other in pairwise(drawn))
        assert falls == (track_type != "superspeedway")


def _by_thirds(race: LoggedRace, points: NDArray[np.number]) -> list[float]:
    by_skill = np.array_split(np.argsort(-race.skill, kind="stable"), 3)
    return [float(points[third].mean()) for third in by_skill]
