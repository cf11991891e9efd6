"""The steps of an optimization: each is one phase of a job, and says all that a device needs to do its part of it.

A step is small and can be written as JSON: it is a phase's `params`.
"""

from typing import TypeAlias
from zlib import crc32

import msgspec

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups.engine.opponents import Field


class Score(msgspec.Struct, frozen=True, tag="score"):
    """The same line in every race: so many units."""

    units: int


Line: TypeAlias = Score | Field
"""What a lineup has to reach in a race."""


def checksum(line: Line) -> int:
    """Return the line itself where it is one score, else a number that differs from that of other lines."""
    return line.units if isinstance(line, Score) else crc32(msgspec.json.encode(line))


class SumMoments(msgspec.Struct, frozen=True, tag_field="step", tag="moments"):
    """Add up scores and products of scores: `Moments`."""


class FillHistogram(msgspec.Struct, frozen=True, tag_field="step", tag="histogram"):
    """Count how often each of some lineups scores what: `Histogram`."""

    lineups: tuple[int, ...]
    low: int
    bins: int
    fresh: bool = False
    """Whether it is over the fresh races."""


class CountAll(msgspec.Struct, frozen=True, tag_field="step", tag="count"):
    """Count, for every lineup, the races in which it reaches the line: `Counts`."""

    line: Line


class CountOpen(msgspec.Struct, frozen=True, tag_field="step", tag="count open"):
    """Count the same in those races alone in which no lineup that is chosen or given does."""

    line: Line
    chosen: tuple[int, ...]


class CountLost(msgspec.Struct, frozen=True, tag_field="step", tag="count lost"):
    """Count the same in those races alone that the lineups chosen after the first `known` have covered."""

    line: Line
    chosen: tuple[int, ...]
    known: int


class AddGains(msgspec.Struct, frozen=True, tag_field="step", tag="gain"):
    """Add up, for every lineup, by how much it beats the best of those chosen and given: `Gains`."""

    chosen: tuple[int, ...]


class AddLost(msgspec.Struct, frozen=True, tag_field="step", tag="gain lost"):
    """Add up by how much it beats the best of the first `known` chosen, but no more than later ones do: `Gains`."""

    chosen: tuple[int, ...]
    known: int


class Bound(msgspec.Struct, frozen=True):
    """The best of the lineups that are no candidates, as it stood after the last pass: none of them is better now."""

    gain: int
    total: int
    """Sum of its scores, by which equal gains are ordered."""

    lineup: int


class Select(msgspec.Struct, frozen=True, tag_field="step", tag="select"):
    """Choose among candidates for as long as each choice is proven best of all lineups: `Picks`. One unit."""

    chosen: tuple[int, ...]
    candidates: tuple[int, ...]
    gains: tuple[int, ...]
    totals: tuple[int, ...]
    bound: Bound | None
    """None when every lineup that is open is a candidate."""

    line: Line | None
    """What races are covered by reaching; None to choose for the highest expected best score."""


class TallyFresh(msgspec.Struct, frozen=True, tag_field="step", tag="tally"):
    """See how the chosen lineups do in races that had no part in choosing them: `Tally`."""

    lineups: tuple[int, ...]
    line: Line | None


class Settle(msgspec.Struct, frozen=True, tag_field="step", tag="settle"):
    """See how the objective of the chosen lineups settles as races are added: `Trail`. One unit."""

    lineups: tuple[int, ...]
    """The first one, or all of a portfolio."""

    line: Line | None
    """What is to be reached in a race, by the best of them."""

    quantile: int | None
    """Which quantile it is, if it is one."""


Step: TypeAlias = (
    SumMoments | FillHistogram | CountAll | CountOpen | CountLost | AddGains | AddLost | Select | TallyFresh | Settle
)


def document_of(step: msgspec.Struct) -> Document:
    """Return a step as a phase's `params`."""
    return msgspec.to_builtins(step)


def read_step(params: Document) -> Step:
    """Return the step that `document_of` wrote down.

    Raises:
        BadInput: it is none.
    """
    try:
        return msgspec.convert(params, Step, strict=True)
    except msgspec.ValidationError as error:
        raise BadInput(f"A phase of a lineups job cannot be read: {error}.", hint="Submit the job again.") from error
