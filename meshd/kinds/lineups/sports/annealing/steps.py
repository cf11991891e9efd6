"""The steps of an annealed optimization: each is one phase of a job; small, JSON."""

from typing import TypeAlias

import msgspec

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups.engine.steps import Line


class SumPlayers(msgspec.Struct, frozen=True, tag_field="step", tag="sum players"):
    """Add up each player's scores and their squares: `Tally`, as if each were a lineup. Units are chunks of races."""


class Anneal(msgspec.Struct, frozen=True, tag_field="step", tag="anneal"):
    """Let chains look for lineups: `Best`. Units are groups of chains."""

    sums: tuple[int, ...]
    """Of each player's scores."""

    number: int
    """Of the phase: chains of each have their own luck."""

    take: int
    chosen: tuple[tuple[int, ...], ...] = ()
    """Lineups that are taken already, those given beforehand included."""

    overlap: int = 0
    """Players that may be shared with each of them."""

    barred: tuple[int, ...] = ()
    needed: tuple[int, ...] = ()
    """Players who must be held."""

    some: int = 0
    among: tuple[int, ...] = ()
    """Of these, a lineup must hold so many."""

    line: Line | None = None
    """What to reach in as many races as possible; None: the highest mean."""

    beyond: bool = False
    """Whether lineups are to add to what is chosen: races in which none of it reaches the line, or without a line
    the points by which they beat the best of it."""


class Prove(msgspec.Struct, frozen=True, tag_field="step", tag="prove"):
    """Let a solver find the highest mean that is open, and prove that none is higher: `Best` of one lineup. One unit.

    Its value is the bound. Of none, where there is none: then `covered` tells whether that is proven.
    """

    asked: Anneal


class Describe(msgspec.Struct, frozen=True, tag_field="step", tag="describe lineups"):
    """Count how often each lineup, given as players, scores what: `Histogram`. Units are chunks of races."""

    members: tuple[tuple[int, ...], ...]
    low: int
    bins: int
    fresh: bool = False
    """In the races that had no part in choosing them."""


class Judge(msgspec.Struct, frozen=True, tag_field="step", tag="judge lineups"):
    """See how the lineups do in fresh races, or in those that choose: `Tally`. Units are chunks of these."""

    members: tuple[tuple[int, ...], ...]
    line: Line | None
    fresh: bool = True


class Pick(msgspec.Struct, frozen=True, tag_field="step", tag="pick"):
    """Choose so many of some lineups, each for what it adds to those before, over all races: `Picks`. One unit."""

    members: tuple[tuple[int, ...], ...]
    totals: tuple[int, ...]
    chosen: tuple[tuple[int, ...], ...]
    """Without those given beforehand."""

    take: int
    line: Line | None


class Follow(msgspec.Struct, frozen=True, tag_field="step", tag="follow"):
    """See how the objective of the lineups settles as races are added: `Trail`. One unit."""

    members: tuple[tuple[int, ...], ...]
    """The first one, or all of a portfolio."""

    line: Line | None
    """What is to be reached in a race, by the best of them."""

    quantile: int | None
    """Which quantile it is, if it is one."""


AnnealStep: TypeAlias = SumPlayers | Prove | Anneal | Describe | Judge | Pick | Follow


def read_anneal_step(params: Document) -> AnnealStep:
    """Return the step that `engine.steps.document_of` wrote down.

    Raises:
        BadInput: it is none.
    """
    try:
        return msgspec.convert(params, AnnealStep, strict=True)
    except msgspec.ValidationError as error:
        raise BadInput(f"A phase of a lineups job cannot be read: {error}.", hint="Submit the job again.") from error
