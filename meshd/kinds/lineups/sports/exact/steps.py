"""The steps over ranges of lineups, and all others that a job of this package may take."""

from typing import TypeAlias

import msgspec

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups.engine.steps import Line, Step


class ScanRanges(msgspec.Struct, frozen=True, tag_field="step", tag="scan ranges"):
    """Keep the lineups with the highest sum of their players' values: `Best`. A unit is a range."""

    values: tuple[int, ...]
    sums: tuple[int, ...]
    """Of each player's scores: orders players, and lineups of equal value."""

    take: int
    chosen: tuple[int, ...] = ()
    """Lineups that are taken already: only those count that they leave open."""


class CountRanges(msgspec.Struct, frozen=True, tag_field="step", tag="count ranges"):
    """Keep the lineups that reach the line in so many races, those that do so most often first: `Best`."""

    line: Line
    required: int
    sums: tuple[int, ...]
    take: int
    chosen: tuple[int, ...] = ()
    uncovered: bool = False
    """Whether only those races count in which no lineup that is chosen or given reaches the line."""


class GainRanges(msgspec.Struct, frozen=True, tag_field="step", tag="gain ranges"):
    """Keep the lineups that beat the best of those chosen and given by so many units over all races: `Best`."""

    required: int
    sums: tuple[int, ...]
    take: int
    chosen: tuple[int, ...]


class CountWins(msgspec.Struct, frozen=True, tag_field="step", tag="count wins"):
    """Count in how many races each of some lineups reaches the line: `Tally`. A unit is a chunk of races."""

    lineups: tuple[int, ...]
    line: Line
    chosen: tuple[int, ...] = ()
    uncovered: bool = False


class SumGains(msgspec.Struct, frozen=True, tag_field="step", tag="sum gains"):
    """Add up by how much each of some lineups beats the best of those chosen and given: `Gains`. Chunks of races."""

    lineups: tuple[int, ...]
    chosen: tuple[int, ...]


StreamStep: TypeAlias = ScanRanges | CountRanges | GainRanges | CountWins | SumGains

ExactStep: TypeAlias = Step | StreamStep


def read_exact_step(params: Document) -> ExactStep:
    """Return the step that `engine.steps.document_of` wrote down.

    Raises:
        BadInput: it is none.
    """
    try:
        return msgspec.convert(params, ExactStep, strict=True)
    except msgspec.ValidationError as error:
        raise BadInput(f"A phase of a lineups job cannot be read: {error}.", hint="Submit the job again.") from error
