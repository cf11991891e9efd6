"""What placement needs to know of a job."""

from collections.abc import Collection

from msgspec import Struct

from meshd_protocol.ids import DeviceId

LOCAL = "local"
AUTO = "auto"
GPU = "gpu"
POLICIES = (AUTO, LOCAL, GPU)
"""Placements that are no device's name."""


class Work(Struct, frozen=True):
    """One attempt that is to be placed."""

    kind: str
    placement: str
    cost: float | None
    """In units of its kind's rate; None: nobody knows."""

    may_fall_back: bool
    """Whether a job that was to run on one device may run elsewhere, because it has lost that device after a start."""

    avoid: Collection[DeviceId] = ()
    """Devices that lost or declined it lately."""

    memory_bytes: int = 0
    gpu_memory_bytes: int = 0
    """What it needs before it may start; on a GPU, both."""

    input_bytes: int = 0
    """What has to travel to another device first: its checkpoint."""
