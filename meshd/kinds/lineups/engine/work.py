"""Doing a step: one chunk of races after another, into one partial. Spans of any size, in any order, add up alike."""

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine.bench import Bench, device_name
from meshd.kinds.lineups.engine.scoring import covered_by, histograms, reaching, scored
from meshd.kinds.lineups.engine.selecting import select
from meshd.kinds.lineups.engine.settling import settle
from meshd.kinds.lineups.engine.spans import Batches, Chunk, Span
from meshd.kinds.lineups.engine.steps import (
    AddGains,
    AddLost,
    CountAll,
    CountLost,
    CountOpen,
    FillHistogram,
    Select,
    Settle,
    Step,
    SumMoments,
    TallyFresh,
    checksum,
)
from meshd.kinds.lineups.engine.task import known_members
from meshd.kinds.lineups.partials import Counts, Gains, Histogram, Moments, Partial, Tally, narrowed

_HISTOGRAM_CHUNKS = 8
"""Chunks counted into histograms together: adding up a block of bins then costs less than filling it."""

PROCESSOR = "cpu"
"""What does the steps that need no pass, on every device."""


def run(step: Step, span: Span, bench: Bench) -> Partial | None:
    """Return the partial of a span, None when it was cancelled.

    Raises:
        BadInput: the races' scores are too far apart, or the field cannot be drawn.
        Degraded: the step needs JAX, which is not installed here.
    """
    match step:
        case SumMoments():
            return sum_moments(span)
        case FillHistogram():
            return fill_histogram(step, span)
        case CountAll() | CountOpen() | CountLost():
            return count_lineups(step, span, bench)
        case AddGains() | AddLost():
            return add_gains(step, span, bench)
        case Select():
            return select(step, span, bench)
        case TallyFresh():
            return tally_fresh(step, span, bench)
        case Settle():
            return settle(step, span, bench)


def sum_moments(span: Span) -> Moments | None:
    """Add up scores and products of scores."""
    players = span.task.lineups.players
    sums, products = np.zeros(players, np.int64), np.zeros((players, players), np.int64)
    for chunk in span.chunks():
        by_player = chunk.by_player.astype(np.int64)
        sums += by_player.sum(axis=1)
        # Not `@`: BLAS has no whole numbers, and its threads wait for each other while other jobs hold the cores.
        products += np.einsum("ir,jr->ij", by_player, by_player)
    return Moments(span.races_done, sums, products, span.effort(PROCESSOR)) if span.is_last else None


def fill_histogram(step: FillHistogram, span: Span) -> Histogram | None:
    """Count the scores of the lineups that the step names."""
    lineups = np.array(step.lineups, np.int64)
    members = span.task.lineups.members(lineups)
    counts = np.zeros((len(lineups), step.bins), np.int32)
    waiting: list[NDArray[np.int16]] = []
    for chunk in span.chunks(fresh=step.fresh):
        waiting.append(chunk.scores)
        if len(waiting) == _HISTOGRAM_CHUNKS or span.is_last:
            by_player = np.ascontiguousarray(np.concatenate(waiting).T)
            waiting.clear()
            for rows, found in histograms(members, by_player, step.low, step.bins):
                if span.context.cancelled():
                    return None
                counts[rows] += found
    return Histogram(span.races_done, lineups, step.low, counts, span.effort(PROCESSOR)) if span.is_last else None


def count_lineups(step: CountAll | CountOpen | CountLost, span: Span, bench: Bench) -> Counts | None:
    """Count, for every lineup, the races in which it reaches the line, or those of them that the step is about."""
    task = span.task
    counting = bench.count_pass(task)
    skipped, batches = 0, Batches()
    for chunk in span.chunks():
        scores, lines = chunk.scores, bench.lines(step.line, task, span.races, chunk)
        if not isinstance(step, CountAll):
            counted = _races_meant(step, span, chunk, lines)
            skipped += len(scores) - int(counted.sum())
            scores, lines = scores[counted], lines[counted]
        for some, (some_lines,) in batches.put(scores, lines, last=span.is_last):
            if not counting.add(some, some_lines, span.context.cancelled):
                return None
    if not span.is_last:
        return None
    counts = narrowed(counting.counts()[task.feasible])
    effort = span.effort(device_name(), each_race=task.lineups.total)
    return Counts(span.races_done, checksum(step.line), counts, effort, skipped)


def _races_meant(step: CountOpen | CountLost, span: Span, chunk: Chunk, lines: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which races of a chunk are counted in."""
    by_player, known = chunk.by_player, len(step.chosen) if isinstance(step, CountOpen) else step.known
    meant = ~covered_by(known_members(span.task, step.chosen[:known]), by_player, lines)
    if isinstance(step, CountLost):
        meant &= covered_by(span.task.lineups.members(np.array(step.chosen[known:], np.int64)), by_player, lines)
    return meant


def add_gains(step: AddGains | AddLost, span: Span, bench: Bench) -> Gains | None:
    """Add up, for every lineup, by how much it beats what is chosen, or the part of it that later choices took."""
    task = span.task
    gaining = bench.gain_pass(task)
    known = len(step.chosen) if isinstance(step, AddGains) else step.known
    members = known_members(task, step.chosen[:known])
    later = task.lineups.members(np.array(step.chosen[known:], np.int64))
    total, batches = 0, Batches()
    for chunk in span.chunks():
        by_player = chunk.by_player
        best = scored(members, by_player).max(axis=0).astype(np.int32)
        total += int(best.sum(dtype=np.int64))
        if isinstance(step, AddGains):
            if not gaining.add(chunk.scores, best, span.context.cancelled):
                return None
            continue
        ceiling = scored(later, by_player).max(axis=0).astype(np.int32)
        raised = ceiling > best
        lists = batches.put(chunk.scores[raised], best[raised], ceiling[raised], last=span.is_last)
        for some, (some_best, some_ceiling) in lists:
            if not gaining.add(some, some_best, span.context.cancelled, ceiling=some_ceiling):
                return None
    if not span.is_last:
        return None
    gains = narrowed(gaining.gains()[task.feasible])
    return Gains(span.races_done, total, gains, span.effort(device_name(), each_race=task.lineups.total))


def tally_fresh(step: TallyFresh, span: Span, bench: Bench) -> Tally | None:
    """See how the lineups do in fresh races."""
    members = span.task.lineups.members(np.array(step.lineups, np.int64))
    given = known_members(span.task, ())
    sums, squares, wins = (np.zeros(len(members), np.int64) for _ in range(3))
    covered = best = best_squares = 0
    for chunk in span.chunks(fresh=True):
        found = scored(members, chunk.by_player)
        wide = found.astype(np.int64)
        sums += wide.sum(axis=1)
        squares += (wide * wide).sum(axis=1)
        kept = scored(given, chunk.by_player)
        highest = np.concatenate([found, kept]).max(axis=0).astype(np.int64)
        best += int(highest.sum())
        best_squares += int((highest * highest).sum())
        if step.line is not None:
            lines = bench.lines(step.line, span.task, span.races, chunk)
            wins += np.count_nonzero(reaching(found, lines), axis=1)
            covered += int((highest >= lines).sum())
    if not span.is_last:
        return None
    lineups = np.array(step.lineups, np.int64)
    effort = span.effort(PROCESSOR)
    return Tally(span.races_done, covered, best, best_squares, lineups, sums, squares, wins, effort)
