"""The race model: everything the draws depend on, in whole numbers."""

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.scenarios.quantiles import NORMAL, NORMAL_SD
from meshd.kinds.lineups.scenarios.scoring import Scoring
from meshd.kinds.lineups.scenarios.shares import REACH_STEPS
from meshd.kinds.lineups.scenarios.tracks import Track

ONE = 1_024
"""The fixed-point unit of weights and shares."""

SHIFT = ONE.bit_length() - 1

OUT_STEPS = 256
"""Entries of the table that says when a car drops out: a byte picks one."""


def fixed(number: float) -> int:
    """Return a weight or share in units of 1 / ONE."""
    return round(number * ONE)


@dataclass(frozen=True, slots=True)
class Sharing:
    """How laps led, or fastest laps, are shared among those in front."""

    luck: int
    grid: int
    noise: int
    reach: int
    reach_sd: int
    power: int
    jitter: int
    common: int
    """How much of the jitter is that of laps led."""

    closing: int


@dataclass(frozen=True, slots=True)
class Weights:
    """A track's numbers, ready for arithmetic: weights and shares in ONEths, performances in NORMAL_SDths."""

    skill: int
    grid: int
    form: int
    qualifying_skill: int
    qualifying_luck: int
    chaos: int
    survival: int
    pace_survival: int
    drop_out_line: int
    trouble_line: int
    trouble_cost: int
    lead_lap_line: int
    sd_per_lap: int
    lead: Sharing
    fast: Sharing
    green: int
    green_chaos: int
    green_noise: int
    out_shares: NDArray[np.int32]


def weights_of(track: Track) -> Weights:
    """Return the numbers of a track, once and for all draws."""
    skill, grid, form, qualifying = map(fixed, (track.skill, track.grid, track.form, track.qualifying))
    rho, toward = fixed(track.rho), fixed(track.pace_survival)
    green_sd, green_chaos = fixed(track.green_sd), fixed(track.green_chaos)
    # Skill and grid have a standard deviation of one each, and correlate as in qualifying.
    base_variance = skill * skill + grid * grid + 2 * skill * grid * qualifying // ONE
    fragility = isqrt(ONE * ONE + toward * toward * base_variance // (ONE * ONE))
    performance = isqrt(base_variance + form * form + ONE * ONE)
    return Weights(
        skill=skill,
        grid=grid,
        form=form,
        qualifying_skill=qualifying,
        qualifying_luck=isqrt(ONE * ONE - qualifying * qualifying),
        chaos=isqrt(rho * ONE),
        survival=isqrt((ONE - rho) * ONE),
        pace_survival=toward,
        drop_out_line=_quantile(track.dnf) * fragility // ONE,
        trouble_line=_quantile(track.dnf + track.trouble * (1 - track.dnf)) * fragility // ONE,
        trouble_cost=round(track.trouble_cost * NORMAL_SD),
        lead_lap_line=_quantile(1 - track.lead_lap) * performance // ONE,
        sd_per_lap=round(NORMAL_SD / track.laps_down),
        lead=Sharing(
            luck=fixed(track.lead_luck),
            grid=fixed(track.lead_grid),
            noise=fixed(track.lead_noise),
            reach=round(track.lead_reach * REACH_STEPS),
            reach_sd=fixed(track.lead_reach_sd),
            power=track.lead_power,
            jitter=fixed(track.lead_jitter),
            common=ONE,
            closing=fixed(track.closing),
        ),
        fast=Sharing(
            luck=0,
            grid=0,
            noise=fixed(track.fast_noise),
            reach=round(track.fast_reach * REACH_STEPS),
            reach_sd=0,
            power=track.fast_power,
            jitter=fixed(track.fast_jitter),
            common=fixed(track.fast_lead),
            closing=fixed(track.fast_closing),
        ),
        green=fixed(track.green),
        green_chaos=green_sd * green_chaos // ONE,
        green_noise=green_sd * isqrt(ONE * ONE - green_chaos * green_chaos) // ONE,
        out_shares=_between(track.out),
    )


def _quantile(share: float) -> int:
    return int(NORMAL[min(65_535, round(share * 65_536))])


def _between(quantiles: tuple[float, ...]) -> NDArray[np.int32]:
    """Interpolate equally spaced quantiles, in whole numbers."""
    pieces = list(pairwise(fixed(quantile) for quantile in quantiles))
    shares: list[int] = []
    for step in range(OUT_STEPS):
        piece, past = divmod((2 * step + 1) * len(pieces), 2 * OUT_STEPS)
        low, high = pieces[piece]
        shares.append(low + (high - low) * past // (2 * OUT_STEPS))
    return np.array(shares, np.int32)


@dataclass(frozen=True)
class RaceModel:
    """One race and its field. Arrays have one entry for each driver who starts, in the slate's order."""

    drivers: int
    """On the slate, withdrawn ones included: the columns of every result."""

    starters: NDArray[np.int64]
    """The columns of those who start."""

    skill: NDArray[np.int32]
    """In NORMAL_SDths."""

    grid: NDArray[np.int32] | None
    """Known starting positions, from 1; None when the grid is drawn for each race."""

    edge: NDArray[np.int32]
    """Pace beyond skill and grid, as a given projection asks for it, in NORMAL_SDths of luck."""

    luck: NDArray[np.int32]
    """How large a driver's luck in the race is, in ONEths of the usual."""

    track: Track
    scoring: Scoring
    seed: int

    @cached_property
    def weights(self) -> Weights:
        """The track's numbers, ready for arithmetic."""
        return weights_of(self.track)

    @cached_property
    def key(self) -> bytes:
        """A digest of everything above: models with equal keys draw equal races."""
        told = repr((self.drivers, self.track, self.scoring, self.seed, self.grid is None)).encode()
        arrays = (self.starters, self.skill, self.edge, self.luck, *(() if self.grid is None else (self.grid,)))
        return blake2b(b"".join([told, *(array.tobytes() for array in arrays)]), digest_size=16).digest()

    def with_seed(self, seed: int) -> "RaceModel":
        """Return the same race under other luck."""
        return replace(self, seed=seed)
