"""Simulated races keep the rules of racing, in whole numbers that are the same everywhere."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from meshd.kinds.lineups.limits import CHUNK_SCENARIOS, MAX_LAPS
from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.field import race_model
from meshd.kinds.lineups.scenarios.model import RaceModel
from meshd.kinds.lineups.scenarios.race import race_results, scores
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS, FANDUEL, LINEUP_UNITS, Scoring
from meshd.kinds.lineups.scenarios.tracks import PRESETS, RANGES, TRACK_TYPES, Track

Field = Callable[..., list[Entry]]


def model(
    entries: list[Entry], track: Track = PRESETS["intermediate"], *, scoring: Scoring = DRAFTKINGS, seed: int = 1
) -> RaceModel:
    return race_model(entries, track=track, scoring=scoring, seed=seed)


def extremes(end: int) -> list[Track]:
    """Return tracks with all numbers of one kind at an end of their range."""
    track = PRESETS["intermediate"]
    names = [name for name in RANGES if name != "laps"]
    one_by_one = [replace(track, **{name: RANGES[name][end]}) for name in names]
    return [*one_by_one, replace(track, **{name: RANGES[name][end] for name in names})]


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("drivers", [2, 6, 38, 48, 64])
def test_starts_and_finishes_are_permutations_in_every_race(drivers: int, *, grid: bool, invented: Field) -> None:
    results = race_results(model(invented(drivers, grid=grid)), 0)
    places = np.arange(1, drivers + 1)
    assert (np.sort(results.start, axis=1) == places).all()
    assert (np.sort(results.finish, axis=1) == places).all()


@pytest.mark.parametrize("track_type", TRACK_TYPES)
@pytest.mark.parametrize("laps", [1, 2, 90, MAX_LAPS])
def test_laps_led_and_fastest_laps_are_conserved_in_every_race(track_type: str, laps: int, invented: Field) -> None:
    track = replace(PRESETS[track_type], laps=laps)
    results = race_results(model(invented(), track), 3)
    green = results.fastest_laps.sum(axis=1)
    assert (results.laps_led.sum(axis=1) == laps).all()
    assert green.max() <= laps
    assert green.mean() == pytest.approx(track.green * laps, abs=0.02 * laps + 0.5)
    for part in (results.laps_led, results.fastest_laps):
        assert part.min() >= 0
        assert (part <= results.laps_completed).all(), "nobody leads a lap that it does not complete"
    assert results.laps_completed.min() >= 0
    assert results.laps_completed.max() <= laps


@pytest.mark.parametrize("end", [0, 1])
def test_the_rules_hold_at_the_ends_of_all_ranges(end: int, invented: Field) -> None:
    for track in extremes(end):
        results = race_results(model(invented(48, grid=True), replace(track, laps=MAX_LAPS)), 0)
        assert (np.sort(results.finish, axis=1) == np.arange(1, 49)).all(), track
        assert (results.laps_led.sum(axis=1) == MAX_LAPS).all(), track
        assert (results.fastest_laps.sum(axis=1) <= MAX_LAPS).all(), track
        assert (results.laps_completed[results.finish == 1] == MAX_LAPS).all(), track
        assert min(results.laps_led.min(), results.fastest_laps.min(), results.laps_completed.min()) >= 0, track


def test_a_race_in_which_many_drop_out_has_fewer_laps_under_green(invented: Field) -> None:
    results = race_results(model(invented(), PRESETS["short"]), 0)
    out = (results.laps_completed < 360).sum(axis=1)
    green = results.fastest_laps.sum(axis=1)
    assert green[out <= 1].mean() > green[out >= 6].mean() + 20


def test_no_score_is_beyond_the_bounds_of_lineups(invented: Field) -> None:
    for scoring in (DRAFTKINGS, FANDUEL):
        drawn = scores(model(invented(48, grid=True), replace(PRESETS["road"], laps=MAX_LAPS), scoring=scoring), 0)
        best_six, worst_six = np.sort(drawn, axis=1)[:, -6:].sum(axis=1), np.sort(drawn, axis=1)[:, :6].sum(axis=1)
        assert LINEUP_UNITS[0] < worst_six.min() < best_six.max() < LINEUP_UNITS[1]


def test_the_winner_leads_the_last_lap_and_completes_them_all(invented: Field) -> None:
    results = race_results(model(invented()), 0)
    won = results.finish == 1
    assert (results.laps_led[won] >= 1).all()
    assert (results.laps_completed[won] == 267).all()


def test_more_laps_are_completed_by_those_who_finish_ahead(invented: Field) -> None:
    results = race_results(model(invented()), 0)
    by_finish = np.take_along_axis(results.laps_completed, np.argsort(results.finish, axis=1), axis=1)
    assert (np.diff(by_finish, axis=1) <= 2).mean() > 0.99
    assert (by_finish[:, 0] > by_finish[:, -1]).mean() > 0.95


def test_a_given_grid_is_kept(invented: Field) -> None:
    results = race_results(model(invented(grid=True)), 0)
    assert (results.start == np.arange(38, 0, -1)).all()


def test_an_unknown_grid_is_drawn_with_better_drivers_nearer_the_front(invented: Field) -> None:
    start = race_results(model(invented()), 0).start.mean(axis=0)
    assert start[:10].mean() + 8 < start[-10:].mean()


def test_drivers_who_withdrew_score_nothing_and_take_no_place(invented: Field) -> None:
    whole = invented(grid=True)
    entries = [replace(entry, withdrawn=place in {0, 7, 37}) for place, entry in enumerate(whole)]
    results = race_results(model(entries), 0)
    left = [place for place in range(38) if place not in {0, 7, 37}]
    drawn = results.scores(DRAFTKINGS)
    for array in (results.start, results.finish, results.laps_led, results.fastest_laps, results.laps_completed, drawn):
        assert (array[:, [0, 7, 37]] == 0).all()
    assert (np.sort(results.finish[:, left], axis=1) == np.arange(1, 36)).all()
    assert (results.start[:, left] == [entry.start for entry in whole if 38 - (entry.start or 0) in left]).all()


def test_those_who_withdrew_change_nothing_for_the_others(invented: Field) -> None:
    whole = invented()
    entries = [*whole[:5], Entry(salary=9_999, mean=800, withdrawn=True), *whole[5:]]
    assert (np.delete(scores(model(entries), 2), 5, axis=1) == scores(model(whole), 2)).all()


def test_a_chunk_does_not_depend_on_which_came_before(invented: Field) -> None:
    races = model(invented())
    alone = scores(races, 5)
    for chunk in reversed(range(5)):
        scores(races, chunk)
    assert (scores(races, 5) == alone).all()
    assert alone.dtype == np.int16
    assert alone.shape == (CHUNK_SCENARIOS, 38)


def test_chunks_and_seeds_differ(invented: Field) -> None:
    seen = {
        scores(model(invented(), seed=seed), chunk).tobytes()
        for seed in (0, 1, 2**53 - 1)
        for chunk in (0, 1, 1 << 32, (1 << 63) - 1)
    }
    assert len(seen) == 12


def test_models_have_the_same_key_when_they_draw_the_same_races(invented: Field) -> None:
    races = model(invented())
    assert model(list(invented())).key == races.key
    others = [
        races.with_seed(2),
        model(invented(), scoring=FANDUEL),
        model(invented(grid=True)),
        model(invented(), replace(PRESETS["intermediate"], rho=0.2)),
        model([replace(entry, skill=0.5) for entry in invented()]),
        model([replace(entry, mean=place) for place, entry in enumerate(invented())]),
        model([*invented()[:-1], replace(invented()[-1], withdrawn=True)]),
    ]
    assert len({races.key, *(other.key for other in others)}) == 8


@pytest.mark.parametrize("track_type", TRACK_TYPES)
def test_a_chunk_has_the_same_bits_on_every_device(track_type: str, invented: Field) -> None:
    digests = [
        hashlib.sha256(scores(races, 7).astype("<i2").tobytes()).hexdigest()[:16]
        for races in (
            model(invented(), PRESETS[track_type]),
            model(invented(grid=True), PRESETS[track_type], scoring=FANDUEL, seed=2**53 - 1),
        )
    ]
    assert digests == GOLDEN[track_type]


GOLDEN = {
    "intermediate": ["97b3149180335995", "856a0c605df569d2"],
    "superspeedway": ["3923c4054fc4a044", "38d71f2c53a5fd0c"],
    "short": ["fda044800b085608", "aef5dff61408c288"],
    "road": ["578d2cce6accf938", "7520ec102543d4ef"],
}
"""A change here is a change of every result ever computed: devices of mixed versions would not agree any more."""
