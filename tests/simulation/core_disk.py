"""Level A's disk and memory: plain values. What is on the disk survives a crash, the rest does not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from meshd.jobs.model import Job
from meshd.kinds.base import PackedPartial
from meshd_protocol.ids import AttemptNumber, JobId
from meshd_protocol.machines import delivery, lease
from meshd_protocol.messages import jobs as wire
from tests.simulation.core_world import Session

Key = tuple[str, JobId, AttemptNumber]
"""Origin, job, number."""

Durable = wire.Offer | wire.Cancel | wire.Declined | wire.Finished

Effects: TypeAlias = list[Callable[[], None]]
"""What follows once a transaction is on disk."""

Covered: TypeAlias = list[tuple[int, wire.PartialRef]]


@dataclass(frozen=True, slots=True)
class Task:
    """What there is to compute: for so long, and, in a divisible job, these units."""

    seconds: float
    units: int = 0
    seed: int = 0


@dataclass(slots=True)
class Held:
    """A row of the table of attempts held for peers."""

    kind: str
    state: str
    boot: str
    finished_seq: int | None = None


@dataclass(slots=True)
class CoreDisk:
    """What survives a crash."""

    peers: dict[str, int] = field(default_factory=dict[str, int])
    """The paired devices, with the number of the pairing, in place of a key."""

    former: dict[str, int] = field(default_factory=dict[str, int])
    jobs: dict[JobId, Job] = field(default_factory=dict[JobId, Job])
    tasks: dict[JobId, Task] = field(default_factory=dict[JobId, Task])
    results: dict[JobId, tuple[int, object]] = field(default_factory=dict[JobId, tuple[int, object]])
    """By whom, and the answer of a divisible one."""

    partials: dict[JobId, Covered] = field(default_factory=dict[JobId, Covered])
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    held: dict[Key, Held] = field(default_factory=dict[Key, Held])
    outbound: dict[str, delivery.Outbound] = field(default_factory=dict[str, delivery.Outbound])
    outbox: dict[str, dict[int, Durable]] = field(default_factory=dict[str, dict[int, Durable]])
    inbound: dict[str, delivery.Inbound] = field(default_factory=dict[str, delivery.Inbound])


@dataclass(slots=True)
class Holding:
    """An attempt in memory, of a peer's job or an own one."""

    kind: str
    task: Task
    lease: lease.ExecutorLease | None
    """None: an own job's, which needs none."""

    may_start: bool
    refs: tuple[wire.PartialRef, ...] = ()
    """What it is to go on from."""

    is_here: bool = True
    """Whether that has been fetched."""

    running: bool = False
    stopped: bool = False
    began_at: float = 0.0
    hangs: bool = False
    given: list[PackedPartial] = field(default_factory=list[PackedPartial])
    kept: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Its checkpoints, by digest: all of them, as it lives briefly."""

    newest: dict[tuple[int, int], wire.PartialRef] = field(default_factory=dict[tuple[int, int], wire.PartialRef])


@dataclass(slots=True)
class Talk:
    """One side of a session."""

    session: Session
    inbound: delivery.Inbound | None
    outbound: delivery.Outbound | None = None
    started: bool = False
    sent: int = 0
    asked: dict[int, float] = field(default_factory=dict[int, float])
