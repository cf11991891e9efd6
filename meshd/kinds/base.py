"""What a kind of job must offer: the daemon's side, and the worker's side.

A kind is two objects. `Kind` lives in the daemon: it checks specs and estimates cost, and imports nothing heavy.
`Program` lives in a worker: it computes, and may import JAX. The kind names its program by module path, so that
the daemon never loads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from meshd.kinds.workshop import Workshop

Document: TypeAlias = Mapping[str, object]
"""A JSON object: what specs, resolved specs and results are made of."""

P = TypeVar("P")


class Kind(Protocol):
    """The daemon's side of one kind of job. Cheap to import, free of side effects."""

    @property
    def name(self) -> str:
        """As users type it: `lineups`."""
        ...

    @property
    def deterministic(self) -> bool:
        """Whether every device computes bit-identical results, so that a late success may be taken."""
        ...

    @property
    def retry_safe(self) -> bool:
        """Whether running it twice has no effect outside meshd."""
        ...

    @property
    def accelerated(self) -> bool:
        """Whether it runs JAX: such attempts share one warm worker per device, because JAX takes every core."""
        ...

    @property
    def divisible(self) -> bool:
        """Whether its program is a `DivisibleProgram`, so that several devices may share one job."""
        ...

    @property
    def program(self) -> str:
        """The module that the worker imports; it has a `program` attribute."""
        ...

    def validate(self, spec: Document) -> dict[str, object]:
        """Return the resolved spec: every default filled in, nothing left to choose.

        Resolving a resolved spec returns it unchanged: the executor checks what the origin sends again.

        Raises:
            BadInput: the spec is not one of this kind; the message says what is wrong and what to do.
        """
        ...

    def cost(self, resolved: Document) -> float | None:
        """Return the work in the units of this kind's rate, or None when nobody can know it beforehand."""
        ...

    def default_name(self, resolved: Document) -> str:
        """Return what to call a job that its user did not name."""
        ...


@dataclass(frozen=True, slots=True)
class Phase:
    """One pass over a fixed grid of units; a job is a chain of phases, each planned from the last one's result."""

    number: int
    units: int
    label: str
    """What a person reads beside the progress bar."""

    weight: float
    """This phase's share of the whole job's time, an estimate; the shares of all phases add up to 1."""

    params: Document
    """What `run_span` needs to know beyond the resolved spec; small, JSON."""


@dataclass(frozen=True, slots=True)
class PackedPartial:
    """The merged result of units `start <= unit < stop` of a phase of `units`, as its program packed it."""

    phase: int
    units: int
    start: int
    stop: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Units `start <= unit < stop` of a phase, handed to one device."""

    phase: Phase
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to compute: the job's result."""

    result: Document


class Context(Protocol):
    """What a running program may ask of its worker."""

    def cancelled(self) -> bool:
        """Return whether to stop; programs ask at least every 100 ms and return early."""
        ...

    def report(self, share: float, *, best: str = "", note: str = "") -> None:
        """Tell how much of the current span is done (0..1), and the best answer so far in one short line."""
        ...


class FileContext(Context, Protocol):
    """What a program of a kind that works with files may ask for besides."""

    @property
    def workshop(self) -> Workshop | None:
        """Return the files of the attempt."""
        ...


class Program(Protocol):
    """The worker's side of a kind that is one indivisible piece."""

    def run(self, resolved: Document, context: Context) -> Document:
        """Compute the result."""
        ...


class DivisibleProgram(Protocol, Generic[P]):
    """The worker's side of a kind whose work is spans of units; partials of type `P` merge in any order.

    `plan` is a pure function of the resolved spec and of the partials of finished phases, and so is
    `run_span` of its phase and span: any device can take over from a checkpoint and get the same bits.
    """

    def plan(self, resolved: Document, finished: tuple[P, ...]) -> Phase | Done:
        """Return the phase that follows the finished ones (one merged partial each), or the result."""
        ...

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> P | None:
        """Compute units `start <= unit < stop` of `phase`; None when the context was cancelled meanwhile."""
        ...

    def merge(self, one: P, other: P) -> P:
        """Join the partials of two disjoint spans of the same phase; associative and commutative."""
        ...

    def pack(self, partial: P) -> bytes:
        """Return the partial as bytes, to be stored or sent."""
        ...

    def unpack(self, data: bytes) -> P:
        """Read what `pack` wrote; raise `BadInput` for anything else."""
        ...

    def calibrate(self) -> float:
        """Measure this device's rate in the kind's units per second; takes about two seconds, compilation included."""
        ...
