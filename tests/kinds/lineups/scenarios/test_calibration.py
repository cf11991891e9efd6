"""Simulated means and standard deviations follow given projections, as far as a race allows."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from meshd.kinds.lineups.scenarios.entries import Entry
from meshd.kinds.lineups.scenarios.field import race_model
from meshd.kinds.lineups.scenarios.race import scores
from meshd.kinds.lineups.scenarios.scoring import DRAFTKINGS, FANDUEL, Scoring
from meshd.kinds.lineups.scenarios.tracks import PRESETS

Field = Callable[..., list[Entry]]


def drawn(entries: list[Entry], track_type: str = "intermediate", scoring: Scoring = DRAFTKINGS) -> NDArray[np.float64]:
    model = race_model(entries, track=PRESETS[track_type], scoring=scoring, seed=77)
    return np.concatenate([scores(model, chunk) for chunk in range(6)]) / 20


def projected(entries: list[Entry], means: NDArray[np.float64]) -> list[Entry]:
    return [replace(entry, mean=round(20 * float(mean))) for entry, mean in zip(entries, means, strict=True)]


@pytest.mark.parametrize(
    ("track_type", "scoring"),
    [("intermediate", FANDUEL), ("superspeedway", DRAFTKINGS), ("short", DRAFTKINGS), ("road", FANDUEL)],
)
def test_simulated_means_follow_projections_that_a_race_can_give(
    track_type: str, scoring: Scoring, invented: Field
) -> None:
    # Such projections are the means of other drivers' races: here of a field whose skills are shuffled.
    skills = np.random.default_rng(5).normal(size=38)
    means: NDArray[np.float64] = drawn(
        [replace(entry, skill=float(skill)) for entry, skill in zip(invented(), skills, strict=True)],
        track_type,
        scoring,
    ).mean(axis=0)
    found: NDArray[np.float64] = drawn(projected(invented(), means), track_type, scoring).mean(axis=0)
    assert np.abs(found - means).max() < 2
    assert np.sqrt(np.mean((found - means) ** 2)) < 0.7
    assert np.corrcoef(found, means)[0, 1] > 0.96


def test_only_differences_between_projections_count(invented: Field) -> None:
    one, other = (
        race_model(
            projected(invented(), np.linspace(50, 10, 38) + more),
            track=PRESETS["intermediate"],
            scoring=DRAFTKINGS,
            seed=1,
        )
        for more in (0, 7)
    )
    assert np.abs(one.edge - other.edge).max() <= 2


def test_the_starting_position_is_part_of_what_a_projection_is_held_against(invented: Field) -> None:
    # Equal projections: who starts in front must then be slower, as places are lost more easily there.
    entries = projected(invented(grid=True), np.full(38, 30.0))
    found = drawn(entries).mean(axis=0)
    assert found.std() < 1
    assert race_model(entries, track=PRESETS["intermediate"], scoring=DRAFTKINGS, seed=1).edge[0] != 0


def test_drivers_without_a_projection_keep_their_pace(invented: Field) -> None:
    entries = invented()
    entries[20], entries[30] = replace(entries[20], mean=300), replace(entries[30], mean=800)
    model = race_model(entries, track=PRESETS["intermediate"], scoring=DRAFTKINGS, seed=1)
    assert np.flatnonzero(model.edge).tolist() == [20, 30]
    found = drawn(entries).mean(axis=0)
    assert found[30] - found[20] == pytest.approx(25, abs=2)


def test_a_projection_for_one_driver_alone_is_followed_and_the_others_give_way(invented: Field) -> None:
    entries = invented()
    usual: NDArray[np.float64] = drawn(entries).mean(axis=0)
    entries[12] = replace(entries[12], mean=round(20 * (float(usual[12]) + 12)))
    found: NDArray[np.float64] = drawn(entries).mean(axis=0)
    assert found[12] - usual[12] == pytest.approx(12, abs=1.5)
    others = np.delete(found - usual, 12)
    assert others.min() > -1.5
    assert others.mean() < 0


def test_a_projection_out_of_reach_is_approached(invented: Field) -> None:
    means = np.array([120.0] + [20.0] * 37)
    found = drawn(projected(invented(), means)).mean(axis=0)
    assert found.argmax() == 0
    assert found[0] > 55


def test_simulated_deviations_follow_given_ones(invented: Field) -> None:
    usual = drawn(invented()).std(axis=0)
    wanted = usual * np.where(np.arange(38) % 2, 0.85, 1.1)
    entries = [replace(entry, sd=round(20 * float(sd))) for entry, sd in zip(invented(), wanted, strict=True)]
    found = drawn(entries).std(axis=0)
    assert np.abs(found / wanted - 1).max() < 0.15
    assert (found[1::2] < usual[1::2]).all()


def test_calibrated_races_are_not_those_that_lineups_are_chosen_by(invented: Field) -> None:
    # The calibration is the same for every seed: no seed's luck is fitted into the model.
    entries = projected(invented(), np.linspace(50, 10, 38))
    edges = [race_model(entries, track=PRESETS["road"], scoring=DRAFTKINGS, seed=seed).edge for seed in (1, 2)]
    assert (edges[0] == edges[1]).all()


def test_a_calibrated_model_has_the_same_bits_on_every_device(invented: Field) -> None:
    entries = [replace(entry, mean=1_000 - 15 * place, sd=400 + place) for place, entry in enumerate(invented())]
    model = race_model(entries, track=PRESETS["short"], scoring=DRAFTKINGS, seed=3)
    bits = b"".join(array.astype("<i4").tobytes() for array in (model.edge, model.luck))
    assert hashlib.sha256(bits).hexdigest()[:16] == "4d712c46bb67fed2"
