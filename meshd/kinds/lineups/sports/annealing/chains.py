# pyright: basic
"""Chains: lineups that change a player or two at a time, and keep a change for the worse the less often the later.

Everything is a whole number, chance included: a change for the worse by d is kept where d is less than the temperature
times an exponential variate, which a table turns 16 random bits into. So a chain is a function of its number.
"""

from dataclasses import dataclass, fields
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from meshd.kinds.lineups.scenarios.quantiles import EXPONENTIAL, EXPONENTIAL_MEAN
from meshd.kinds.lineups.sports.annealing.board import Board
from meshd.kinds.lineups.sports.annealing.task import UNIT_CHAINS, AnnealedTask

_SHIFT = EXPONENTIAL_MEAN.bit_length() - 1
_PADS = (0, 32, 256, 2_048)
"""Lineups that others must differ from are filled up to one of these: compiled code is for a shape."""

_WORST = -(1 << 30)

GAINED = 16
"""Parts of a unit in which gains are told, averaged over the races: those of the mean."""

WON = 64
"""What a race won weighs against the mean, by which chains find their way where no race is won more or less."""


def tail_moves(moves: int) -> int:
    """Return how many of so many moves look at races: on a slate of 266 players, twice as many found nothing better."""
    return 3 * moves // 8


@dataclass(frozen=True)
class Temper:
    """How hot chains begin and end, and what breaking a rule costs them; in units of what they make large."""

    first: int
    halvings: int
    """How often the temperature is halved until the end."""

    broken: int
    """For each rule that is broken by one player."""

    overspent: int
    """For each 1,024th of the cap that is overspent."""

    def schedule(self, moves: int) -> np.ndarray:
        """Return the temperature of each move; straight lines from one half to the next, without a rounding."""
        at = np.arange(moves, dtype=np.int64) * self.halvings * 1_024 // max(1, moves)
        whole, part = at >> 10, at & 1_023
        upper, lower = self.first >> whole, self.first >> (whole + 1)
        return (upper - ((upper - lower) * part >> 10)).astype(np.int32)


def tempers(values: np.ndarray, board: Board, cap: int, races: int, *, gains: bool = False) -> tuple[Temper, Temper]:
    """Return how to anneal by mean, and by so many races; found by trying on slates of basketball."""
    best = np.argsort(-values, kind="stable")[: 3 * board.places]
    worth = cap * int(values[best].sum()) // max(1, int(board.costs[best].sum()))
    worth = max(1_024, worth)
    by_mean = Temper(worth // 100, 3, worth // 16, max(1, worth // 700))
    if gains:
        return by_mean, Temper(worth // 300, 6, worth // 16, max(1, worth // 700))
    wins = WON * max(1, races // 1_024)
    return by_mean, Temper(6 * wins, 5, 30 * wins, 4 * wins)


@dataclass(frozen=True)
class Start:
    """What a unit of chains is told: whose luck, and what the lineups have to differ from."""

    seed: int
    round: int
    unit: int
    chosen: tuple[tuple[int, ...], ...]
    overlap: int
    """Players that a lineup may share with each of them."""


@dataclass(frozen=True, eq=False)
class Tail:
    """What chains are driven by where the mean is not what counts."""

    by_player: np.ndarray
    """Scores, [players, races]."""

    lines: np.ndarray
    """What is to be reached in each race, or to be beaten by as much as possible."""

    gains: bool = False


class Chains:
    """Anneals one task's lineups."""

    def __init__(self, task: AnnealedTask, board: Board, values: np.ndarray) -> None:
        """Prepare the tables; `values`, what the players are worth, decide who is tried more often."""
        self._task, self._board, self._values = task, board, values
        counts = board.fits.sum(axis=1)
        candidates = np.zeros((board.places, board.nobody), np.int32)
        for place, fits in enumerate(board.fits):
            candidates[place, : counts[place]] = _by_dominance(np.flatnonzero(fits), board.costs, values)
        self._tables = {each.name: jnp.asarray(getattr(board, each.name)) for each in fields(board)}
        self._tables |= {"candidates": jnp.asarray(candidates), "counts": jnp.asarray(counts, jnp.uint32)}
        roster = task.roster
        limits = [
            roster.cap,
            task.floor,
            board.places if roster.most_of_team is None else roster.most_of_team,
            roster.least_teams,
            roster.least_games,
            max(1, roster.cap >> 10),
        ]
        self._tables["limits"] = jnp.asarray(limits, jnp.int32)
        self._tables["luck"] = jnp.asarray(EXPONENTIAL.astype(np.int32))
        self._stacks = len(task.stacks)
        diversity = task.diversity
        self._differ = len(diversity.given) + (diversity.count if diversity.count > 1 else 0)

    def by_mean(self, start: Start, temper: Temper, moves: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best value of each chain and its lineup, [chains, places]; nobody's where it found none."""
        worth = jnp.asarray(np.append(self._values, 0).astype(np.int32))
        return self._run(start, (worth, None, None), ((temper, moves),))

    def by_races(
        self, tail: Tail, start: Start, tempers: tuple[Temper, Temper], moves: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the most of each chain that a lineup wins, or gains, and the lineup.

        A quarter of the moves go by mean: far from the line no race is won, and nothing shows the way.
        """
        worth = jnp.asarray(np.append(self._values, 0).astype(np.int32))
        scores = jnp.asarray(np.vstack([tail.by_player, np.zeros((1, tail.by_player.shape[1]), np.int16)]))
        legs = (tempers[0], moves // 4), (tempers[1], tail_moves(moves))
        return self._run(start, (worth, scores, tail), legs)

    def _run(self, start: Start, goal: tuple, legs: tuple) -> tuple[np.ndarray, np.ndarray]:
        key = jax.random.key(start.seed & 0xFFFFFFFF, impl="threefry2x32")
        for number in (start.seed >> 32, start.round, start.unit):
            key = jax.random.fold_in(key, number)
        nobody = self._board.nobody
        pad = next(pad for pad in _PADS if pad >= self._differ)
        differs = np.zeros((nobody + 1, pad), np.int8)
        for at, lineup in enumerate(start.chosen):
            differs[list(lineup), at] = 1
        worth, scores, tail = goal
        lines = jnp.zeros(0, jnp.int16) if tail is None else jnp.asarray(tail.lines.astype(np.int16))
        lineup = _begin(self._tables, jax.random.fold_in(key, 0))
        tables = {**self._tables, "differs": jnp.asarray(differs), "overlap": jnp.int32(start.overlap), "worth": worth}
        best = (jnp.zeros(0), jnp.zeros(0))
        for leg, (temper, moves) in enumerate(legs, start=1):
            is_last = leg == len(legs)
            prices = jnp.asarray([temper.broken, temper.overspent], jnp.int32)
            lineup, *best = _anneal(
                {**tables, "prices": prices, "lines": lines},
                scores if is_last else None,
                lineup,
                jax.random.fold_in(key, leg),
                jnp.asarray(temper.schedule(moves)),
                self._stacks,
                tail is not None and tail.gains,
            )
        return np.asarray(best[0]), np.asarray(best[1])


def _by_dominance(players: np.ndarray, costs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return players, those first that the fewest others are better than at no higher salary."""
    cost, value = costs[players], values[players]
    beaten = ((cost[None, :] <= cost[:, None]) & (value[None, :] > value[:, None])).sum(axis=1)
    return players[np.lexsort((players, -value, beaten))]


def _bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.bits(key, shape, jnp.uint32)


@jax.jit
def _begin(tables: dict, key: jax.Array) -> jax.Array:
    """Fill place after place with somebody who fits and is not in the lineup yet."""
    places, players = tables["fits"].shape
    lineup = jnp.full((UNIT_CHAINS, places), players - 1, jnp.int32)
    taken = jnp.zeros((UNIT_CHAINS, players), bool)
    for place in range(places):
        wish = (_bits(jax.random.fold_in(key, place), (UNIT_CHAINS, players)) >> 2).astype(jnp.int32)
        chosen = jnp.where(tables["fits"][place] & ~taken, wish, -1).argmax(axis=1).astype(jnp.int32)
        lineup = lineup.at[:, place].set(chosen)
        taken = taken | (jnp.arange(players) == chosen[:, None])
    return lineup


def _broken(tables: dict, lineup: jax.Array, stacks: int) -> tuple[jax.Array, jax.Array]:
    """Return by how many players each chain's lineup breaks rules, and what it overspends, in 1,024ths of the cap."""
    limits = tables["limits"]
    cost = tables["costs"][lineup].sum(axis=1)
    over = jnp.maximum(0, cost - limits[0]) + jnp.maximum(0, limits[1] - cost)
    earlier = jnp.tril(jnp.ones((lineup.shape[1],) * 2, bool), -1)

    def alike(numbers: jax.Array) -> jax.Array:
        return numbers[:, :, None] == numbers[:, None, :]

    def different(numbers: jax.Array) -> jax.Array:
        return (~(alike(numbers) & earlier).any(axis=2)).sum(axis=1)

    broken = (lineup.shape[1] - different(lineup)) * 4
    largest = alike(tables["teams"][lineup]).sum(axis=2).max(axis=1)
    broken += jnp.maximum(0, largest - limits[2])
    broken += jnp.maximum(0, limits[3] - different(tables["all_teams"][lineup]))
    broken += jnp.maximum(0, limits[4] - different(tables["games"][lineup]))
    if tables["holds"].shape[1]:
        held = tables["holds"][lineup].astype(jnp.int32).sum(axis=1)
        nobody = tables["fits"].shape[1] - 1
        binding = (tables["when"] == nobody) | (lineup[:, :, None] == tables["when"]).any(axis=1)
        misses = jnp.maximum(0, tables["least"] - held) + jnp.maximum(0, held - tables["most"])
        broken += (misses * binding).sum(axis=1)
    if stacks:
        held = tables["stacks"][lineup].astype(jnp.int32).sum(axis=1)
        for stack in range(stacks):
            most = jnp.where(tables["stack_of"] == stack, held, 0).max(axis=1)
            broken += jnp.maximum(0, tables["stack_least"][stack] - most)
    others = ~jnp.eye(lineup.shape[1], dtype=bool)
    for tie in range(len(tables["tie_least"])):
        anchors, counted = tables["anchors"][tie][lineup], tables["counted"][tie][lineup]
        beside = ((anchors[:, :, None] == counted[:, None, :]) & others).sum(axis=2)
        lacking = jnp.maximum(0, tables["tie_least"][tie] - beside)
        broken += jnp.where(anchors >= 0, lacking, 0).sum(axis=1)
    return broken, over // limits[5] + (over > 0)


def _summed(table: jax.Array, lineup: jax.Array) -> jax.Array:
    found = table[lineup[:, 0]]
    for place in range(1, lineup.shape[1]):
        found = found + table[lineup[:, place]]
    return found


@partial(jax.jit, static_argnums=(5, 6))
def _anneal(
    tables: dict,
    scores: jax.Array | None,
    lineup: jax.Array,
    key: jax.Array,
    schedule: jax.Array,
    stacks: int,
    gains: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    places, players = tables["fits"].shape
    chains = jnp.arange(UNIT_CHAINS)

    def judged(lineup: jax.Array, shared: jax.Array, points: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return what a chain makes large, and the value where no rule is broken."""
        broken, over = _broken(tables, lineup, stacks)
        if shared.shape[1]:
            broken = broken + jnp.maximum(0, shared.astype(jnp.int32) - tables["overlap"]).sum(axis=1)
        worth = tables["worth"][lineup].sum(axis=1).astype(jnp.int32)
        if scores is None:
            goal = value = worth
        elif gains:
            # Both are within 16 bits, and so is what one is above the other.
            above = jnp.maximum(points, tables["lines"]) - tables["lines"]
            value = above.sum(axis=1, dtype=jnp.int32)
            goal = value // max(1, points.shape[1] // GAINED) + (worth >> 12)
        else:
            value = (points >= tables["lines"]).sum(axis=1, dtype=jnp.int32)
            goal = value * WON + (worth >> 12)
        price = broken * tables["prices"][0] + over * tables["prices"][1]
        return goal - price, jnp.where((broken == 0) & (over == 0), value, _WORST)

    def candidate(place: jax.Array, bits: jax.Array) -> jax.Array:
        # The product of two random numbers: half of the tries are among the best fifth, and nobody is left out.
        share = ((bits & 0xFFFF) * (bits >> 16)) >> 16
        return tables["candidates"][place, ((share * tables["counts"][place]) >> 16).astype(jnp.int32)]

    def proposed(lineup: jax.Array, bits: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Put somebody else in a place.

        One who is in the lineup already changes places with him who leaves it; where that one cannot play there, he
        goes, and somebody new fills the gap.
        """
        place = (bits[:, 0] % places).astype(jnp.int32)
        comes = candidate(place, bits[:, 1])
        leaves = lineup[chains, place]
        inside = lineup == comes[:, None]
        is_inside, gap = inside.any(axis=1), inside.argmax(axis=1).astype(jnp.int32)
        exchanges = is_inside & tables["fits"][gap, leaves]
        filler = candidate(gap, bits[:, 2])
        # Whoever stands in for the gap must not be in the lineup; he who leaves does not fit there.
        shifts = is_inside & ~exchanges & ~(lineup == filler[:, None]).any(axis=1)
        stays = is_inside & ~exchanges & ~shifts
        new = jnp.where(inside, jnp.where(shifts, filler, leaves)[:, None], lineup).at[chains, place].set(comes)
        new = jnp.where(stays[:, None], lineup, new)
        moved = ~is_inside | shifts
        nobody = jnp.int32(players - 1)
        return new, jnp.where(moved, leaves, nobody), jnp.where(moved, jnp.where(shifts, filler, comes), nobody)

    def move(state: tuple, step: tuple[jax.Array, jax.Array]) -> tuple[tuple, None]:
        lineup, shared, points, energy, best, best_lineup = state
        number, temperature = step
        bits = _bits(jax.random.fold_in(key, number), (UNIT_CHAINS, 8))
        new, leaves, comes = proposed(lineup, bits[:, :3])
        twice, leaves_too, comes_too = proposed(new, bits[:, 3:6])
        both = (bits[:, 6] & 1) == 1
        new = jnp.where(both[:, None], twice, new)
        nobody = jnp.int32(players - 1)
        leaves_too, comes_too = jnp.where(both, leaves_too, nobody), jnp.where(both, comes_too, nobody)

        def changed(table: jax.Array, sums: jax.Array) -> jax.Array:
            return sums + table[comes] + table[comes_too] - table[leaves] - table[leaves_too]

        new_shared = changed(tables["differs"], shared)
        new_points = points if scores is None else changed(scores, points)
        new_energy, value = judged(new, new_shared, new_points)
        allowance = (temperature * tables["luck"][bits[:, 7] & 0xFFFF]) >> _SHIFT
        kept = new_energy + allowance >= energy

        def after(one: jax.Array, other: jax.Array) -> jax.Array:
            return jnp.where(kept.reshape(-1, *[1] * (one.ndim - 1)), one, other)

        better = kept & (value > best)
        state = (
            after(new, lineup),
            after(new_shared, shared),
            points if scores is None else after(new_points, points),
            after(new_energy, energy),
            jnp.where(better, value, best),
            jnp.where(better[:, None], new, best_lineup),
        )
        return state, None

    shared = _summed(tables["differs"], lineup)
    points = jnp.zeros((UNIT_CHAINS, 0), jnp.int16) if scores is None else _summed(scores, lineup)
    energy, value = judged(lineup, shared, points)
    first = (lineup, shared, points, energy, value, jnp.where((value > _WORST)[:, None], lineup, players - 1))
    steps = jnp.arange(len(schedule), dtype=jnp.int32), schedule
    last, _ = lax.scan(move, first, steps)
    return last[0], last[4], last[5]
