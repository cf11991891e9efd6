"""Doing a step of a streamed task: ranges of lineups or chunks of races, in spans that add up in any order."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meshd.kinds.lineups.engine import work
from meshd.kinds.lineups.engine.bench import Bench, device_name, needing_jax
from meshd.kinds.lineups.engine.reach import reach_of
from meshd.kinds.lineups.engine.scoring import covered_by, scored
from meshd.kinds.lineups.engine.spans import Batches, Chunk, Span
from meshd.kinds.lineups.engine.task import known_members
from meshd.kinds.lineups.partials import Best, Effort, Gains, Partial, Tally
from meshd.kinds.lineups.sports.exact.halves import Halves, halves_of
from meshd.kinds.lineups.sports.exact.keeping import Open
from meshd.kinds.lineups.sports.exact.scan import Pool, Scan, columns_behind
from meshd.kinds.lineups.sports.exact.steps import CountRanges, CountWins, ExactStep, GainRanges, ScanRanges, SumGains
from meshd.kinds.lineups.sports.exact.task import StreamedTask

if TYPE_CHECKING:
    from meshd.kinds.lineups.sports.exact.search import Search


Lined: TypeAlias = tuple[NDArray[np.int16], NDArray[np.int32]]
"""A chunk of scores, and the line in each race."""


class Desk:
    """What a device keeps at hand from one span to the next; serves one task at a time."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.bench = Bench()
        self._halves: tuple[Hashable, Halves] | None = None
        self._search: tuple[Hashable, Search] | None = None
        self._open: tuple[Hashable, Open] | None = None

    def halves(self, task: StreamedTask, sums: tuple[int, ...]) -> Halves:
        """Return the task's lineups, players with high sums first."""
        key = task.parts, task.lineups, sums
        if self._halves is None or self._halves[0] != key:
            locked, excluded = task.lineups.locked, task.lineups.excluded
            self._halves = key, halves_of(task.parts, locked, excluded, np.array(sums, np.int64))
        return self._halves[1]

    def open(self, task: StreamedTask, chosen: tuple[int, ...]) -> Open:
        """Return what the lineups that are taken leave open."""
        key = task.lineups, task.rules, task.diversity, chosen
        if self._open is None or self._open[0] != key:
            self._open = key, Open(task, chosen)
        return self._open[1]

    def search(self, step: CountRanges | GainRanges, span: Span, task: StreamedTask) -> "Search | None":
        """Return what counts the task's ranges in its races, None when cancelled before it is ready."""
        gains, line = isinstance(step, GainRanges), None if isinstance(step, GainRanges) else step.line
        known = step.chosen if isinstance(step, GainRanges) or step.uncovered else ()
        key = task.parts, task.lineups, task.rules, task.scenarios, line, known, step.sums, span.races.key
        if self._search is None or self._search[0] != key:
            with needing_jax():
                from meshd.kinds.lineups.sports.exact.search import Search
            self._search = None  # its memory, before there is another
            chunks = (
                self._gains_beyond(step, span, task) if isinstance(step, GainRanges) else self._to_count(step, span)
            )
            if chunks is None:
                return None
            most = max(
                (int((reach_of(scores, task.lineups.size)[1] - lines).max()) for scores, lines in chunks), default=0
            )
            halves = self.halves(task, step.sums)
            found = Search.prepared(
                task, halves, chunks, span.context.cancelled, most_gained=max(1, most) if gains else None
            )
            if found is None:
                return None
            self._search = key, found
        return self._search[1]

    def _to_count(self, step: CountRanges, span: Span) -> list[Lined] | None:
        """Return the races in which lines are to be reached, with the lines."""
        found: list[Lined] = []
        batches = Batches()
        for number in range(span.task.chunks):
            if span.context.cancelled():
                return None
            scores = span.races.chunk(number)
            low, high = reach_of(scores, span.task.lineups.size)
            lines = self.bench.lines(step.line, span.task, span.races, Chunk(number, scores))
            meant = _meant(step, span, Chunk(number, scores), lines)
            # A line beyond what any lineup scores counts all or none, wherever it is.
            lines = np.clip(lines, low, high + 1)
            last = number == span.task.chunks - 1
            found += [(some, of[0]) for some, of in batches.put(scores[meant], lines[meant], last=last)]
            if last and not found:
                # A race that nobody wins, where all are won already: the search has something to look at.
                found.append((scores[:1], high[:1] + 1))
        return found

    def _gains_beyond(self, step: GainRanges, span: Span, task: StreamedTask) -> list[Lined] | None:
        """Return all races, with the best score there is already in each."""
        found: list[Lined] = []
        known = known_members(task, step.chosen)
        for number in range(task.chunks):
            if span.context.cancelled():
                return None
            scores = span.races.chunk(number)
            found.append((scores, scored(known, np.ascontiguousarray(scores.T)).max(axis=0).astype(np.int32)))
        return found


def run(step: ExactStep, span: Span, desk: Desk) -> Partial | None:
    """Return the partial of a span of a `StreamedTask`, None when it was cancelled.

    Raises:
        BadInput: the races' scores are too far apart, or the field cannot be drawn.
        Degraded: the step needs JAX, which is not installed here.
    """
    match step:
        case ScanRanges():
            return scan_ranges(step, span, desk)
        case CountRanges() | GainRanges():
            return count_ranges(step, span, desk)
        case CountWins():
            return count_wins(step, span, desk)
        case SumGains():
            return sum_gains(step, span)
        case _:
            return work.run(step, span, desk.bench)


def _task_of(span: Span) -> StreamedTask:
    if not isinstance(span.task, StreamedTask):
        raise TypeError("only a streamed task has ranges")
    return span.task


def scan_ranges(step: ScanRanges, span: Span, desk: Desk) -> Best | None:
    """Keep the lineups with the highest values."""
    task = _task_of(span)
    sums, values = np.array(step.sums, np.int64), np.array(step.values, np.int64)
    scan = Scan(task, desk.halves(task, step.sums), values, sums, desk.open(task, step.chosen))
    pool, covered = Pool(task.lineups.size, step.take), 0
    for unit in range(span.start, span.stop):
        looked_at = scan.block(unit, pool, span.context.cancelled)
        if looked_at is None:
            return None
        covered += looked_at
        span.context.report((unit + 1 - span.start) / (span.stop - span.start), best=span.best)
    return Best(0, step.take, covered, pool.members, pool.values, pool.totals, span.effort(work.PROCESSOR))


def count_ranges(step: CountRanges | GainRanges, span: Span, desk: Desk) -> Best | None:
    """Keep the lineups that reach the line often enough, or gain enough."""
    task = _task_of(span)
    search = desk.search(step, span, task)
    if search is None:
        return None
    halves, open_ = desk.halves(task, step.sums), desk.open(task, step.chosen)
    sums = np.array(step.sums, np.int64)
    pool, covered = Pool(task.lineups.size, step.take), 0
    before = search.elements
    for unit in range(span.start, span.stop):
        block = halves.block(unit)
        for found in search.reaching(block, step.required, open_.used_up, span.context.cancelled):
            if found is None:
                return None
            rows, columns, counts = found
            fits = halves.columns.edges[columns] > block.edges[rows]
            members = np.hstack([block.members[rows[fits]], halves.columns.members[columns[fits]]])
            kept = open_.keeps(members)
            members = np.sort(members[kept], axis=1)
            pool.put(members, counts[fits][kept], sums[members].sum(axis=1))
        covered += int(columns_behind(halves.columns, block.edges).sum())
        span.context.report((unit + 1 - span.start) / (span.stop - span.start), best=span.best)
    plain = span.effort(device_name())
    effort = Effort(plain.microseconds, search.elements - before, plain.devices)
    return Best(task.scenarios, step.take, covered, pool.members, pool.values, pool.totals, effort)


def count_wins(step: CountWins, span: Span, desk: Desk) -> Tally | None:
    """Count the races in which each of some lineups reaches the line."""
    lineups = np.array(step.lineups, np.int64)
    members = span.task.lineups.members(lineups)
    sums, squares, wins = (np.zeros(len(members), np.int64) for _ in range(3))
    covered = best = best_squares = 0
    for chunk in span.chunks():
        lines = desk.bench.lines(step.line, span.task, span.races, chunk)
        found = scored(members, chunk.by_player)
        reached = (found >= lines) & _meant(step, span, chunk, lines)
        wide = found.astype(np.int64)
        sums += wide.sum(axis=1)
        squares += (wide * wide).sum(axis=1)
        wins += reached.sum(axis=1)
        covered += int(reached.any(axis=0).sum())
        highest = found.max(axis=0).astype(np.int64)
        best += int(highest.sum())
        best_squares += int((highest * highest).sum())
    if not span.is_last:
        return None
    effort = span.effort(work.PROCESSOR)
    return Tally(span.races_done, covered, best, best_squares, lineups, sums, squares, wins, effort)


def _meant(step: CountRanges | CountWins, span: Span, chunk: Chunk, lines: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which races of a chunk are counted in."""
    if not step.uncovered:
        return np.ones(len(lines), bool)
    return ~covered_by(known_members(span.task, step.chosen), chunk.by_player, lines)


def sum_gains(step: SumGains, span: Span) -> Gains | None:
    """Add up by how much each of some lineups beats the best of those chosen and given."""
    members = span.task.lineups.members(np.array(step.lineups, np.int64))
    known, gains, total = known_members(span.task, step.chosen), np.zeros(len(members), np.int64), 0
    for chunk in span.chunks():
        best = scored(known, chunk.by_player).max(axis=0).astype(np.int32)
        total += int(best.sum(dtype=np.int64))
        for first in range(0, len(members), _SCORED_AT_ONCE):
            rows = slice(first, first + _SCORED_AT_ONCE)
            above = scored(members[rows], chunk.by_player).astype(np.int32) - best
            gains[rows] += np.maximum(above, 0).sum(axis=1, dtype=np.int64)
    return Gains(span.races_done, total, gains, span.effort(work.PROCESSOR)) if span.is_last else None


_SCORED_AT_ONCE = 512
