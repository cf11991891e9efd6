"""Races drawn: starts, finishes, laps led, fastest laps and laps completed of one chunk, and the scores they make.

A driver's pace is made of skill, the grid and the weekend's form; pace, luck in the race and trouble give the finish.
A car drops out when its own luck and the race's common chaos fall below a line; it has then completed a share of the
laps, and is classified among those who completed as many. Laps led and fastest laps are shared by those who are in
front in an order of its own, made of pace, a part of the same luck, and noise; the winner leads the last laps. No
floating point takes part.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.limits import CHUNK_SCENARIOS
from meshd.kinds.lineups.scenarios.draws import Draws
from meshd.kinds.lineups.scenarios.model import ONE, SHIFT, RaceModel, Sharing, Weights
from meshd.kinds.lineups.scenarios.quantiles import EXPONENTIAL, NORMAL, NORMAL_SD, normal_scores
from meshd.kinds.lineups.scenarios.scoring import Scoring
from meshd.kinds.lineups.scenarios.shares import MAX_REACH, REACH_STEPS, completed_by, front_weights, handed_out

INDEX_BITS = 6
"""Low bits of a sort key that carry the driver, so that keys never tie: up to 64 drivers."""

LEAST_GREEN = 3 * ONE // 10
"""Of the races of 2022-2024 none had less than half of its laps under green; the bound keeps a rare draw plausible."""

LONGEST_CLOSING = 6 * ONE // 10
"""The winner's last stint never takes more of the laps than that; whoever leads them all does it on weight."""


@dataclass(frozen=True, slots=True)
class RaceResults:
    """Raw outcomes of one chunk of races, each [CHUNK_SCENARIOS, drivers]; all 0 for who has withdrawn."""

    start: NDArray[np.int32]
    finish: NDArray[np.int32]
    laps_led: NDArray[np.int32]
    fastest_laps: NDArray[np.int32]
    laps_completed: NDArray[np.int32]

    def scores(self, scoring: Scoring) -> NDArray[np.int16]:
        """Score every driver by a site's rules, in units of 0.05 points."""
        by_finish = np.zeros(1 << (INDEX_BITS + 1), np.int32)
        by_finish[1 : len(scoring.finish) + 1] = scoring.finish
        units = by_finish[self.finish]
        units += scoring.place * (self.start - self.finish)
        units += scoring.lap_led * self.laps_led
        if scoring.fastest_lap:
            units += scoring.fastest_lap * self.fastest_laps
        if scoring.lap_completed:
            units += scoring.lap_completed * self.laps_completed
        return units.astype(np.int16)


def scores(model: RaceModel, chunk: int) -> NDArray[np.int16]:
    """Return chunk `chunk` of the races as [CHUNK_SCENARIOS, drivers] scores in units of 0.05 points.

    A pure function of the model and the chunk's number: the same bits on any device, in any order.
    """
    return race_results(model, chunk).scores(model.scoring)


def race_results(model: RaceModel, chunk: int) -> RaceResults:
    """Draw the races of one chunk."""
    weights, laps, chances = model.weights, model.track.laps, _chances(model, chunk)
    start, grid = _grid(model, chances.qualifying)
    base = (weights.skill * model.skill + weights.grid * grid) >> SHIFT
    pace = base + model.edge + ((weights.form * chances.form) >> SHIFT)
    luck = (model.luck * chances.luck) >> SHIFT
    run = _run(weights, laps, base, pace + luck, chances)

    changes = (weights.green_chaos * chances.chaos + weights.green_noise * chances.green) // NORMAL_SD
    green = (np.clip(weights.green + changes, LEAST_GREEN, ONE) * laps + ONE // 2) >> SHIFT
    lead, fast = weights.lead, weights.fast
    front = pace + ((lead.luck * luck + lead.grid * grid + lead.noise * chances.lead) >> SHIFT)
    in_front = _positions(_order(front))
    speedy = _positions(_order(front + ((fast.noise * chances.fast) >> SHIFT))) if fast.noise else in_front
    results = RaceResults(
        start=start,
        finish=_positions(run.order),
        laps_led=_shared(lead, np.full(CHUNK_SCENARIOS, laps, np.int32), 1, in_front, run, chances, part=0),
        fastest_laps=_shared(fast, green, 0, speedy, run, chances, part=1),
        laps_completed=run.completed,
    )
    return results if len(model.starters) == model.drivers else _on_the_slate(results, model)


@dataclass(frozen=True, slots=True)
class _Chances:
    """What chance decides, as quantiles; of each car [races, starters], or of the race [races]."""

    form: NDArray[np.int32]
    luck: NDArray[np.int32]
    survival: NDArray[np.int32]
    lead: NDArray[np.int32]
    fast: NDArray[np.int32]
    qualifying: NDArray[np.int32]
    jitter: NDArray[np.int32]
    """Exponential; [2, races, starters], for laps led and fastest laps."""

    out: NDArray[np.uint16]
    chaos: NDArray[np.int32]
    green: NDArray[np.int32]
    reach: NDArray[np.int32]
    closing: NDArray[np.int32]
    """Exponential."""

    phases: NDArray[np.uint16]
    """[2, races]"""


def _chances(model: RaceModel, chunk: int) -> _Chances:
    draws = Draws(model.seed, chunk)
    of_cars = draws.uniforms(9, len(model.starters))
    of_races = draws.uniforms(6, 1)[:, :, 0]
    form, luck, survival, lead, fast, qualifying = NORMAL[of_cars[:6]].astype(np.int32)
    chaos, green, reach = NORMAL[of_races[:3]].astype(np.int32)
    return _Chances(
        form=form,
        luck=luck,
        survival=survival,
        lead=lead,
        fast=fast,
        qualifying=qualifying,
        jitter=EXPONENTIAL[of_cars[6:8]].astype(np.int32),
        out=of_cars[8] >> 8,
        chaos=chaos,
        green=green,
        reach=reach,
        closing=EXPONENTIAL[of_races[3]].astype(np.int32),
        phases=of_races[4:],
    )


def _grid(model: RaceModel, qualifying: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return starting positions, and what they say of a car's pace: given ones, or a qualifying for each race."""
    if model.grid is None:
        weights = model.weights
        grid = (weights.qualifying_skill * model.skill + weights.qualifying_luck * qualifying) >> SHIFT
        return _positions(_order(grid)), grid
    ranks = np.argsort(np.argsort(model.grid, kind="stable"), kind="stable")
    return np.broadcast_to(model.grid, qualifying.shape), normal_scores(ranks)[None, :]


@dataclass(frozen=True, slots=True)
class _Run:
    """How the cars came home."""

    order: NDArray[np.int32]
    """Cars from first to last, per race."""

    completed: NDArray[np.int32]
    share: NDArray[np.int32]
    """The share of the race that a car took part in, in ONEths."""


def _run(
    weights: Weights, laps: int, base: NDArray[np.int32], performance: NDArray[np.int32], chances: _Chances
) -> _Run:
    own = weights.survival * chances.survival + weights.pace_survival * base
    sturdiness = (weights.chaos * chances.chaos[:, None] + own) >> SHIFT
    out = sturdiness < weights.drop_out_line
    performance = performance - np.where(sturdiness < weights.trouble_line, weights.trouble_cost, 0)
    share = np.where(out, weights.out_shares[chances.out], np.int32(ONE))
    lost = ((ONE - share) * laps + ONE - 1) >> SHIFT
    # A car that stopped is placed where cars run that are so many laps down.
    stopped = weights.lead_lap_line - (lost + 1) * weights.sd_per_lap
    performance = np.where(out, np.minimum(performance, stopped), performance)
    order = _order(performance)
    # A running car is never so many laps down that it would stand still.
    down = np.clip(-((performance - weights.lead_lap_line) // weights.sd_per_lap), 0, laps // 10)
    completed = laps - np.where(out, lost, down)
    np.put_along_axis(completed, order[:, :1], laps, axis=1)
    return _Run(order, completed, share)


def _shared(
    sharing: Sharing,
    laps: NDArray[np.int32],
    at_least: int,
    places: NDArray[np.int32],
    run: _Run,
    chances: _Chances,
    *,
    part: int,
) -> NDArray[np.int32]:
    """Share each race's laps: the last ones are the winner's, the others go by place, jitter and time on the track."""
    closing = np.minimum((sharing.closing * chances.closing) >> SHIFT, LONGEST_CLOSING)
    last = np.maximum((closing * laps) >> SHIFT, at_least)
    reach = np.int32(sharing.reach) + sharing.reach * ((sharing.reach_sd * chances.reach) >> SHIFT) // NORMAL_SD
    uneven = chances.jitter[0]
    if sharing.common < ONE:
        uneven = (sharing.common * uneven + (ONE - sharing.common) * chances.jitter[1]) >> SHIFT
    jitter = (ONE - sharing.jitter) + ((sharing.jitter * uneven) >> SHIFT)
    weights = front_weights(places, np.clip(reach, REACH_STEPS, MAX_REACH), sharing.power)
    weights *= (jitter * run.share) >> SHIFT
    parts = handed_out(laps - last, weights, chances.phases[part])
    return completed_by(run.order[:, 0], laps, parts, run.completed)


def _order(performance: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cars from best to worst, per race. The car rides in the key's low bits: no two keys are equal."""
    keys = (-performance << INDEX_BITS) | np.arange(performance.shape[1], dtype=np.int32)
    keys.sort(axis=1)
    return keys & ((1 << INDEX_BITS) - 1)


def _positions(order: NDArray[np.int32]) -> NDArray[np.int32]:
    races, field = order.shape
    places = np.empty(races * field, np.int32)
    at = order + field * np.arange(races, dtype=np.int32)[:, None]
    places[at.ravel()] = np.tile(np.arange(1, field + 1, dtype=np.int32), races)
    return places.reshape(races, field)


def _on_the_slate(results: RaceResults, model: RaceModel) -> RaceResults:
    """Put the starters' results into the slate's columns."""

    def columns(values: NDArray[np.int32]) -> NDArray[np.int32]:
        wide = np.zeros((len(values), model.drivers), np.int32)
        wide[:, model.starters] = values
        return wide

    return RaceResults(
        start=columns(results.start),
        finish=columns(results.finish),
        laps_led=columns(results.laps_led),
        fastest_laps=columns(results.fastest_laps),
        laps_completed=columns(results.laps_completed),
    )
