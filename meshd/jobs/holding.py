"""One attempt that this device holds for a peer."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from meshd.kinds.base import Kind
from meshd_protocol.machines import lease
from meshd_protocol.messages import jobs as wire

KEPT = 2
"""Checkpoints of one phase that an executor keeps: the newest, and the one that is being fetched."""


@dataclass(slots=True)
class Holding:
    """One attempt of a peer, in memory; what must survive this daemon lies in the store."""

    kind: Kind
    lease: lease.ExecutorLease
    refs: Sequence[wire.PartialRef]
    """The checkpoint to go on from."""

    inputs: Sequence[str] = ()
    """The digests of the files that it needs."""

    retry_safe: bool = True
    """Whether running it twice does no harm."""

    is_part: bool = False
    """Whether it computes some units only, which the origin fetches and then takes the attempt back."""

    is_done: bool = False
    """Whether all units of a part are computed and kept."""

    permitted: bool = False
    """Whether its lease was renewed in the session that is open, so that it may start."""

    running: bool = False
    refused: bool = False
    """Whether its origin was allowed to have it done here, and no longer is."""

    kept: dict[tuple[int, int], deque[wire.PartialRef]] = field(
        default_factory=dict[tuple[int, int], deque[wire.PartialRef]]
    )
    """The checkpoints of this attempt, by phase and start: the newest, and the one before, which its origin may
    be fetching."""
